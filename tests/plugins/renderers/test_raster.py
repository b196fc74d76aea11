"""The raster renderer: truths of geometry and light, and a slow obvious twin."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from pointcmt_cli.data.cameras.rigs import DISTANCE, Cameras, cameras, look_at
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import PointCMTError
from pointcmt_renderers.raster.raster import depth_maps, raster
from pointcmt_renderers.raster.scene import Scene
from renderer_scenes import (
    NOTHING,
    SQUARE,
    from_direction,
    mesh,
    ray_cast,
    rays,
    shape,
    square,
    triangles,
)

HEADLIGHT = {"ambient": 0.0, "diffuse": 1.0, "light": (0.0, 0.0)}


def random_rotation(seed: int) -> NDArray[np.float64]:
    turn = trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3))
    return np.asarray(turn[:3, :3])


def depth(drawn: Shape, rig: Cameras) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Depth (H, W), infinite where nothing is, and the seen face (H, W), in the first view."""
    scene = Scene(drawn, rig)
    scene.look(0)
    numbers = scene.keys & ((1 << scene.bits) - 1)
    return scene.depths(0), np.where(numbers == 0, NOTHING, len(scene.faces) - numbers)


@pytest.mark.parametrize("half_height", [None, 1.0])
def test_sphere_has_the_analytic_outline_and_depth(half_height: float | None) -> None:
    radius, rig = 0.8, from_direction([1, 2, 3], 224, half_height=half_height)
    sphere = mesh(trimesh.creation.icosphere(subdivisions=5, radius=radius))
    found = depth_maps(sphere, rig)[0]
    covered = np.isfinite(found)
    outline = rig.scale * (radius if half_height else np.tan(np.arcsin(radius / DISTANCE)))
    assert covered.sum() == pytest.approx(np.pi * outline**2, rel=5e-3)
    start, along = rays(rig)
    a, b, c = (along**2).sum(-1), (along * start).sum(-1), (start**2).sum(-1) - radius**2
    inside = b**2 - a * c
    hit = (inside > 0.1) & covered  # near the outline a polyhedron is no sphere
    expected = (-b - np.sqrt(np.maximum(inside, 0))) / a
    np.testing.assert_allclose(found[hit], expected[hit], atol=1e-3)
    for row in covered:  # no holes: what is covered in a row is one run
        assert np.abs(np.diff(row.astype(int))).sum() in (0, 2)


@pytest.mark.parametrize("half_height", [None, 0.9])
def test_plane_has_the_analytic_depth(half_height: float | None) -> None:
    rig = from_direction([1, -1, 1], 96, half_height=half_height)
    found = depth_maps(shape(square(0.0, 0.6), SQUARE), rig)[0]
    start, along = rays(rig)
    covered = np.isfinite(found)
    np.testing.assert_allclose(found[covered], (-start[..., 2] / along[..., 2])[covered], atol=1e-5)
    assert covered.mean() > 0.05


@pytest.mark.parametrize("half_height", [None, 1.2])
def test_cube_has_the_analytic_outline_and_depth(half_height: float | None) -> None:
    cube, rig = mesh(trimesh.creation.box((1, 1, 1))), from_direction([0, 0, 1], 128)
    rig = replace(rig, half_height=half_height)
    half = rig.scale * 0.5 / (1 if half_height else DISTANCE - 0.5)
    inside = np.abs(np.arange(128) + 0.5 - 64) < half
    expected = np.where(inside[:, None] & inside, DISTANCE - 0.5, np.inf)
    np.testing.assert_allclose(depth_maps(cube, rig)[0], expected, atol=1e-5)
    np.testing.assert_array_equal(raster()(cube, rig)[0] < 255, inside[:, None] & inside)
    corner = replace(from_direction([1, 1, 1], 96), half_height=half_height)
    start, along = rays(corner)
    first = ((0.5 - start) / along).max(-1)  # the last of its three visible sides' planes
    found = depth_maps(cube, corner)[0]
    covered = np.isfinite(found)
    assert covered.mean() > 0.1
    np.testing.assert_allclose(found[covered], first[covered], atol=1e-5)


def test_nearer_face_wins_from_either_side_and_in_either_order() -> None:
    both = np.concatenate([square(0.2), square(-0.2, 0.3)])
    faces = np.concatenate([np.array(SQUARE), np.array(SQUARE) + 4])
    for order in (faces, faces[::-1]):
        for side, near in ((1, 0), (-1, 1)):
            _, seen = depth(shape(both, order), from_direction([0, 0, side]))
            assert order[seen[32, 32]][0] // 4 == near


def test_z_is_up_and_x_is_right_seen_from_minus_y() -> None:
    rig = from_direction([0, -1, 0])
    cube = trimesh.creation.box((0.2, 0.2, 0.2))
    for offset, rows, columns in (
        ((0, 0, 0.5), slice(0, 32), slice(0, 64)),
        ((0.5, 0, 0), slice(0, 64), slice(32, 64)),
    ):
        covered = raster()(mesh(cube.copy().apply_translation(offset)), rig)[0] < 255
        assert covered[rows, columns].sum() == covered.sum() > 0


@pytest.mark.parametrize("half_height", [None, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_random_triangles_equal_the_naive_twin(seed: int, half_height: float | None) -> None:
    drawn, direction = triangles(seed), np.random.default_rng(seed).normal(size=3)
    rig = from_direction(direction, 48, half_height=half_height)
    found, seen = depth(drawn, rig)
    expected = ray_cast(drawn, rig)
    sure = ~expected.doubtful
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(seen[sure], expected.seen[sure])
    np.testing.assert_allclose(found[sure], expected.depth[sure], atol=1e-5)
    np.testing.assert_array_equal(depth_maps(drawn, rig)[0], found.astype(np.float32))


def test_the_order_of_vertices_and_faces_does_not_matter() -> None:
    random = np.random.default_rng(0)
    solid = trimesh.creation.icosphere(subdivisions=2, radius=0.9)
    solid.vertices = solid.vertices @ random_rotation(1)
    faces, rig = np.asarray(solid.faces), from_direction([1, 2, 3])
    expected = raster()(mesh(solid), rig)
    moved = random.permutation(len(solid.vertices))
    for vertices, changed in (
        (solid.vertices, faces[random.permutation(len(faces))]),
        (solid.vertices, np.roll(faces, 1, axis=1)),
        (solid.vertices, faces[:, ::-1]),
        (solid.vertices[moved], np.argsort(moved)[faces]),
    ):
        np.testing.assert_array_equal(raster()(shape(vertices, changed), rig), expected)


@pytest.mark.parametrize(
    ("vertices", "faces"),
    [
        (square(0.0), [[0, 0, 0], [0, 0, 1], [1, 2, 1]]),  # repeated corners
        ([[-0.5, 0, 0], [0, 0, 0], [0.5, 0, 0]], [[0, 1, 2]]),  # on one line
        ([[0, 0, 0]] * 3, [[0, 1, 2]]),  # on one point
        ([[0, -0.5, 0], [0, 0.5, 0], [0, 0, 0.5]], [[0, 1, 2]]),  # edge on, seen from +z
        ([[0, 0, 0.1], [1e-4, 0, 0.1], [0, 1e-4, 0.1]], [[0, 1, 2]]),  # between pixel centres
        (square(0.0), []),
    ],
    ids=["repeated", "line", "point", "edge-on", "tiny", "no faces"],
)
def test_faces_without_area_leave_no_mark(vertices: Any, faces: Any) -> None:
    image = raster()(shape(vertices, faces), from_direction([0, 0, 1]))
    assert (image == 255).all()


def test_slivers_stay_inside_their_depth() -> None:
    random = np.random.default_rng(0)
    a, b = random.uniform(-0.5, 0.5, (2, 500, 3))
    c = a + (b - a) * random.random((500, 1)) + random.normal(scale=1e-6, size=(500, 3))
    vertices = np.stack([a, b, c], axis=1).reshape(-1, 3)
    found, seen = depth(shape(vertices, np.arange(1500)), from_direction([0, 0, 1], 512))
    hit = seen != NOTHING
    ends = DISTANCE - vertices.reshape(-1, 3, 3)[seen[hit]][..., 2]
    assert (found[hit] > ends.min(1) - 1e-5).all()
    assert (found[hit] < ends.max(1) + 1e-5).all()


def test_what_is_behind_the_camera_or_beside_the_image_is_left_out() -> None:
    inside = Cameras("inside", look_at(np.array([[0.0, 0.0, 0.25]])), 32)
    behind = shape(square(0.5), SQUARE)
    beside = shape(square(0.0) + np.array([5, 0, 0]), SQUARE)
    for drawn in (behind, beside):
        assert (raster()(drawn, inside) == 255).all()
    wide = shape(square(0.0, 50.0), SQUARE)  # reaches far over the image's borders
    assert (raster()(wide, inside) < 255).all()


@pytest.mark.parametrize("half_height", [None, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_a_camera_inside_the_shape_equals_the_naive_twin(
    seed: int, half_height: float | None
) -> None:
    random = np.random.default_rng(seed)
    drawn = shape(random.uniform(-0.57, 0.57, (90, 3)), np.arange(90))
    at = random.uniform(-0.2, 0.2, (1, 3))
    rig = Cameras("inside", look_at(at), 48, field_of_view=1.5, half_height=half_height)
    found, seen = depth(drawn, rig)
    expected = ray_cast(drawn, rig)
    sure = ~expected.doubtful
    assert sure.mean() > 0.8
    assert (expected.seen != NOTHING).mean() > 0.2
    np.testing.assert_array_equal(seen[sure], expected.seen[sure])
    np.testing.assert_allclose(found[sure], expected.depth[sure], atol=1e-4)


def test_walls_around_a_camera_have_no_gaps() -> None:
    """Every face crosses the image's border or the plane of the camera; each edge is shared."""
    room = mesh(trimesh.creation.icosphere(subdivisions=1))
    rig = Cameras("inside", look_at(np.array([[0.1, 0.2, 0.3]])), 200, field_of_view=2.4)
    found, _ = depth(room, rig)
    assert np.isfinite(found).all()


def test_one_pixel_and_odd_sizes() -> None:
    sphere = mesh(trimesh.creation.icosphere(radius=0.9))
    for size in (1, 7):
        image = raster()(sphere, cameras("orthogonal6", size))
        assert image.shape == (6, size, size)
        assert (image[:, size // 2, size // 2] < 255).all()


# light


def test_cube_faces_have_lamberts_gray() -> None:
    cube = mesh(trimesh.creation.box((1, 1, 1)))
    axis, corner = from_direction([0, 0, 1]), from_direction([1, 1, 1])
    assert raster(**HEADLIGHT)(cube, axis)[0, 32, 32] == 255
    assert set(np.unique(raster(**HEADLIGHT)(cube, corner))) == {round(255 / 3**0.5), 255}
    assert raster(light=(0.0, 0.0))(cube, axis)[0, 32, 32] == 204
    cosine = 1 / np.sqrt(1 + 0.3**2 + 0.6**2)
    assert raster()(cube, axis)[0, 32, 32] == round(255 * (0.15 + 0.65 * cosine))
    assert len(np.unique(raster()(cube, corner))) == 4  # three sides apart, and the background


def test_the_light_is_over_the_right_shoulder() -> None:
    image = raster()(mesh(trimesh.creation.icosphere(subdivisions=4)), from_direction([1, 0, 0]))[0]
    assert image[20, 40] > image[32, 32] > image[44, 24]


def test_both_sides_of_a_face_are_lit_alike() -> None:
    rig = from_direction([1, 2, 3])
    for faces in (SQUARE, np.array(SQUARE)[:, ::-1]):
        image = raster()(shape(square(0.0), faces), rig)
        assert len(np.unique(image)) == 2
        assert image.min() > 100


def test_views_of_a_rig_are_those_of_its_cameras_alone() -> None:
    rig = cameras("dodecahedron20", 40)
    solid = mesh(trimesh.creation.box((1, 0.6, 0.3)))
    all_views = raster()(solid, rig)
    assert all_views.dtype == np.uint8
    for number in (0, 7, 19):
        alone = replace(rig, poses=rig.poses[number : number + 1])
        np.testing.assert_array_equal(raster()(solid, alone)[0], all_views[number])


def test_raster_refuses_a_cloud() -> None:
    with pytest.raises(
        PointCMTError,
        match=r"chair/one: the raster renderer draws meshes and this is a cloud; use --renderer points",
    ):
        raster()(shape(square(0.0), name="chair/one"), cameras("orthogonal6", 8))
