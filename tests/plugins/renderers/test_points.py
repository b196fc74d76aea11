"""The points renderer: where a point lands, how gray it is, a slow obvious twin, and the same bytes by torch."""

import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Shape
from pointcmt_cli.data.cameras.rigs import DISTANCE, cameras
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_renderers.points.points import points
from pointcmt_renderers.points.scene import estimated_normals
from pointcmt_renderers.points.surface import colored_surface
from pointcmt_renderers.raster.raster import raster
from renderer_scenes import SQUARE, from_direction, mesh, shape, square
from toy_meshes import config, run, write_meshes


def test_a_point_is_a_square_whose_gray_is_its_depth() -> None:
    rig, draw = from_direction([0, 0, 1], 128), points()
    for z, expected in ((0.0, 0.45), (1.0, 0.1), (-1.0, 0.8)):
        image = draw(shape([[0, 0, z]]), rig)[0]
        assert (image[62:66, 62:66] == round(255 * expected)).all()
        assert (image < 255).sum() == 16  # SimpleView's 4 x 4 at its 128 pixels


def test_a_pixel_is_the_mean_depth_weighted_by_nearness() -> None:
    rig, z = from_direction([0, 0, 1], 32), np.array([0.5, -0.5])
    distances = DISTANCE - z
    for sharpness in (0.0, 1.0, 16.0):
        image = points(splat_size=3, sharpness=sharpness)(shape([[0, 0, 0.5], [0, 0, -0.5]]), rig)[
            0
        ]
        mean = np.average(distances, weights=distances**-sharpness)
        assert image[16, 16] == round(255 * (0.1 + 0.7 * (mean - DISTANCE + 1) / 2))


@pytest.mark.parametrize("half_height", [None, 0.8])
def test_clouds_equal_the_naive_twin_in_any_order(half_height: float | None) -> None:
    random = np.random.default_rng(0)
    cloud = random.uniform(-0.57, 0.57, (300, 3)).astype(np.float32)
    rig = replace(from_direction([1, 2, 3], 64), half_height=half_height)
    image = points(splat_size=3, sharpness=2.0)(shape(cloud), rig)[0]
    local = cloud @ rig.world_to_camera[0, :3, :3].T + rig.world_to_camera[0, :3, 3]
    away = -local[:, 2]
    divisor = away if half_height is None else 1.0
    column = 32 + rig.scale * local[:, 0] / divisor
    row = 32 - rig.scale * local[:, 1] / divisor
    centres = np.arange(64) + 0.5
    for y, x in np.ndindex(64, 64):
        near = (np.abs(centres[x] - column) < 1.5) & (np.abs(centres[y] - row) < 1.5)
        mean = np.average(away[near], weights=away[near] ** -2) if near.any() else np.inf
        gray = 255 * (0.1 + 0.7 * (mean - DISTANCE + 1) / 2) if near.any() else 255
        assert abs(image[y, x] - gray) < 0.51
    again = points(splat_size=3, sharpness=2.0)(shape(cloud[::-1]), rig)[0]
    np.testing.assert_array_equal(again, image)


def test_a_mesh_is_drawn_by_its_points_else_by_its_vertices() -> None:
    rig, draw = from_direction([0, 0, 1], 128), points()
    drawn = shape(square(0.0), SQUARE)
    assert (draw(drawn, rig) < 255).sum() == 4 * 16
    sampled = replace(drawn, points=np.zeros((1, 3), np.float32))
    assert (draw(sampled, rig) < 255).sum() == 16


def test_render_hands_over_the_points_that_it_stores(tmp_path: Path) -> None:
    meshes = write_meshes(tmp_path / "meshes", 1)
    run(config(meshes, rig="orthogonal6", renderer="points", points=500))
    with h5py.File(tmp_path / "views.h5") as file:
        cloud, views = file["points"][0], file["views"][0]
    rig = cameras("orthogonal6", views.shape[1])
    np.testing.assert_array_equal(views, points()(shape(cloud), rig))


def test_splats_over_the_border_are_cut() -> None:
    rig = from_direction([0, 0, 1], 32)
    edge = DISTANCE * np.tan(rig.field_of_view / 2)
    image = points(splat_size=8)(shape([[edge, edge, 0]]), rig)[0]
    assert (image < 255).sum() == 16
    assert (image[:4, -4:] < 255).all()


def test_points_behind_the_camera_are_left_out() -> None:
    near = from_direction([0, 0, 1], 32, distance=0.5)
    for rig in (near, replace(near, half_height=1.0)):
        assert (points()(shape([[0, 0, 0.9], [0.1, 0, 0.5]]), rig) == 255).all()


def fibonacci_sphere(count: int) -> NDArray[np.float64]:
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - 5**0.5) * np.arange(count)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def test_normals_of_a_plane_and_of_a_sphere() -> None:
    random = np.random.default_rng(0)
    flat = random.uniform(-0.5, 0.5, (200, 3)) * [1, 1, 0]
    turn = trimesh.transformations.random_rotation_matrix(rand=np.array([0.1, 0.5, 0.9]))[:3, :3]
    normals = estimated_normals((flat @ turn.T).astype(np.float32), 8)
    np.testing.assert_allclose(np.abs(normals @ turn[:, 2]), 1, atol=1e-6)
    ball = fibonacci_sphere(2000)
    normals = estimated_normals(ball.astype(np.float32), 12)
    assert np.abs((normals * ball).sum(axis=1)).min() > 0.999
    assert estimated_normals(np.zeros((2, 3), np.float32), 16).shape == (2, 3)


@pytest.mark.parametrize("half_height", [None, 1.02])
def test_lambert_of_a_dense_cloud_is_the_rasters(half_height: float | None) -> None:
    rig = replace(cameras("mvcnn12", 64), half_height=half_height)
    settings = {"light": (-0.4, 0.2), "ambient": 0.1, "diffuse": 0.8}
    cloud = shape(fibonacci_sphere(80000))
    drawn = points(shading="lambert", splat_size=1, sharpness=64.0, **settings)(cloud, rig).astype(
        int
    )  # type: ignore[arg-type]
    wanted = raster(**settings)(mesh(trimesh.creation.icosphere(5)), rig)  # type: ignore[arg-type]
    inside = (drawn < 255) & (wanted < 255)
    assert inside.sum() > 0.95 * (wanted < 255).sum()
    assert np.abs(drawn - wanted)[inside].mean() < 2


def test_colours_are_lit_or_fade_into_the_fog() -> None:
    rig = from_direction([0, 0, 1], 64)
    flat = np.concatenate([square(0.0), square(0.0, 0.3), square(0.0, 0.1)])
    red = replace(shape(flat), vertex_colors=np.tile(np.array([255, 51, 0], np.uint8), (12, 1)))
    for options, expected in (
        ({"shading": "lambert", "light": (0, 0)}, [0.8 * 255, 0.8 * 51, 0]),
        ({"shading": "depth"}, [255, 51 + 204 * 0.45, 255 * 0.45]),
        ({"shading": "silhouette"}, [0, 0, 0]),
    ):
        image = points(color=True, **options)(red, rig)  # type: ignore[arg-type]
        assert image.shape == (1, 64, 64, 3)
        covered = (image < 255).any(axis=-1)
        assert covered.any()
        np.testing.assert_allclose(
            image[covered], np.broadcast_to(expected, (covered.sum(), 3)), atol=0.51
        )
        plain = points(**options)(replace(red, vertex_colors=None), rig)  # type: ignore[arg-type]
        colorless = points(color=True, **options)(replace(red, vertex_colors=None), rig)  # type: ignore[arg-type]
        np.testing.assert_array_equal(colorless, np.repeat(plain[..., None], 3, axis=-1))


SIDES = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)


def box_with_colored_sides() -> Shape:
    """An unindexed box; its sides along x are red, along y green, along z blue."""
    solid = trimesh.creation.box((1.0, 0.8, 0.6))
    solid.unmerge_vertices()
    return replace(
        mesh(solid), face_colors=SIDES[np.abs(np.round(solid.face_normals)).argmax(axis=1)]
    )


@pytest.mark.parametrize("own_points", [True, False])
@pytest.mark.parametrize("by", ["faces", "vertices"])
def test_a_mesh_with_colours_is_its_plain_picture_in_colour(by: str, own_points: bool) -> None:
    box = box_with_colored_sides()
    cloud = sample_points(box, 2048)
    if by == "vertices":
        corners = np.repeat(box.face_colors, 3, axis=0)  # type: ignore[arg-type]
        box = replace(box, face_colors=None, vertex_colors=corners)
    drawn = replace(box, points=cloud) if own_points else box
    rig = cameras("orthogonal6", 96)
    image = points(color=True, shading="lambert")(drawn, rig)
    plain = points()(replace(box, points=cloud), rig)
    for view, axis in enumerate(np.abs(rig.poses[:, :3, 3]).argmax(axis=1)):
        apart = outline(image[view].min(axis=-1)) - outline(plain[view])
        assert np.abs(apart).max() <= 2
        middle = image[view, 40:56, 40:56].reshape(-1, 3)
        seen = middle[(middle < 255).any(axis=1)].astype(float)
        assert len(seen) > 200
        assert (seen[:, axis] > 0.95 * seen.sum(axis=1)).all()


def outline(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """First and last row and column (2, 2) that are not white."""
    places = np.argwhere(image < 255)
    return np.stack([places.min(axis=0), places.max(axis=0)])


def test_colours_between_vertices_and_the_same_bytes_again() -> None:
    corners = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 0], [0, 255, 0]], np.uint8)
    flat = replace(shape(square(0.0), SQUARE), vertex_colors=corners)
    found = colored_surface(flat, 500)
    assert found is not None
    places, colors = found
    assert np.linalg.norm(places, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-6)
    slopes, _, _, _ = np.linalg.lstsq(
        np.concatenate([places[:, :2], np.ones((500, 1))], axis=1), colors[:, :2], rcond=None
    )
    assert abs(slopes[0, 0] - slopes[1, 1]) < 1e-3 * slopes[0, 0]
    np.testing.assert_allclose(slopes[:2][[0, 1], [1, 0]], 0, atol=1e-3)
    np.testing.assert_allclose(slopes[2], 127.5, atol=2)
    counts, _, _ = np.histogram2d(*(colors[:, :2].T / 255), bins=5, range=[[0, 1], [0, 1]])
    assert np.abs(counts - 20).max() <= 6  # of 500 in each of 25 cells
    rig = from_direction([1, 2, 3], 64)
    for shading in ("depth", "lambert", "silhouette"):
        options: dict[str, Any] = {"color": True, "shading": shading}
        image = points(**options)(flat, rig)
        np.testing.assert_array_equal(points(**options)(flat, rig), image)
        np.testing.assert_array_equal(points(**options, device="cpu")(flat, rig), image)


def test_a_mesh_with_colours_but_no_surface_is_its_vertices() -> None:
    rig = from_direction([0, 0, 1], 128)
    black = np.zeros((4, 3), np.uint8)
    for faces in ([], [[0, 0, 0]]):
        drawn = replace(shape(square(0.0), faces), vertex_colors=black)
        assert (points(color=True)(drawn, rig) < 255).any(axis=-1).sum() == 16 * 4


def random_scene(seed: int) -> tuple[Shape, Cameras]:
    random = np.random.default_rng(seed)
    cloud = random.normal(size=(random.integers(1, 600), 3))
    cloud /= np.linalg.norm(cloud, axis=1).max()
    if seed == 2:
        cloud = np.round(cloud * 4) / 4  # many at the same place and at the same depth
    colors = random.integers(0, 256, cloud.shape).astype(np.uint8)
    rig = replace(cameras("orthogonal6", 64), half_height=1.02 if seed % 2 else None)
    return replace(shape(cloud), vertex_colors=colors), rig


@pytest.mark.parametrize("seed", range(4))
def test_torch_draws_the_same_bytes(seed: int) -> None:
    drawn, rig = random_scene(seed)
    for shading, color, splat_size, sharpness in product(
        ("depth", "lambert", "silhouette"), (False, True), (1, 3, None), (0.0, 2.5, 16.0)
    ):
        options: dict[str, Any] = {"shading": shading, "color": color}
        options |= {"splat_size": splat_size, "sharpness": sharpness}
        one, two = points(**options)(drawn, rig), points(**options, device="cpu")(drawn, rig)
        np.testing.assert_array_equal(one, two, err_msg=str(options))
    close = replace(rig, poses=rig.poses.copy())
    close.poses[:, :3, 3] *= (
        0.15  # amid the cloud: points behind the camera, splats over the border
    )
    np.testing.assert_array_equal(points()(drawn, close), points(device="cpu")(drawn, close))


def test_torch_is_not_imported_unless_asked_for() -> None:
    code = (
        "import sys; from pointcmt_renderers.points.points import points; points(); assert 'torch' not in sys.modules;"
        "points(device='cpu'); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splat_size": 0}, "splat_size 0 must be at least 1 pixel"),
        ({"sharpness": 65}, r"sharpness 65 must be in \[0, 64\]"),
        ({"near": 2}, r"near 2 and far 0.8 must be in \[0, 1\]"),
        ({"neighbours": 2}, "neighbours 2 must be at least 3"),
        (
            {"ambient": 0.9},
            "ambient 0.9 and diffuse 0.65 must be at least 0 and together at most 1",
        ),
        ({"light": (0, float("nan"))}, r"light \(0, nan\) must be two finite numbers: right, up"),
        ({"device": "quark"}, "torch cannot draw on device 'quark' .*; leave out device="),
        ({"device": "meta"}, "torch cannot draw on device 'meta' .*; leave out device="),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PointCMTError, match=f"points: {message}"):
        points(**options)
