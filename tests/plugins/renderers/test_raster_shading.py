"""The raster renderer's shadings, normals, colours and box averages, each beside a slow obvious twin."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from pointcmt_cli.data.cameras.rigs import DISTANCE, Cameras, cameras, look_at
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import PointCMTError
from pointcmt_renderers.raster.raster import raster
from pointcmt_renderers.raster.smooth import CREASE
from renderer_scenes import (
    NOTHING,
    SQUARE,
    Hits,
    face_normals,
    from_direction,
    mesh,
    ray_cast,
    shape,
    square,
    triangles,
)

HEADLIGHT = {"ambient": 0.0, "diffuse": 1.0, "light": (0.0, 0.0)}
WELL_SHADED: dict[str, Any] = {"ambient": 0.15, "diffuse": 0.65, "light": (0.3, 0.6)}


def sides(drawn: Shape, rig: Cameras) -> NDArray[np.float64]:
    """(F,) 1 or -1: which way a face's own normal must be turned to look at the camera."""
    assert drawn.faces is not None
    back, corner = rig.poses[0, :3, 2], drawn.vertices[drawn.faces[:, 0]]
    line = back if rig.orthographic else rig.poses[0, :3, 3] - corner
    return np.where((face_normals(drawn) * line).sum(1) < 0, -1.0, 1.0)


def slow_corner_normals(drawn: Shape) -> NDArray[np.float64]:
    """(F, 3, 3) unit: own and like neighbours' normals weighted by their angle at the same place."""
    assert drawn.faces is not None
    own, corners = face_normals(drawn), drawn.vertices[drawn.faces].astype(np.float64)
    bent = np.empty_like(corners)
    for face in range(len(corners)):
        for corner in range(3):
            total = np.zeros(3)
            for other in range(len(corners)):
                for at in range(3):
                    cosine = own[face] @ own[other]
                    if (corners[other, at] != corners[face, corner]).any():
                        continue
                    if abs(cosine) >= np.cos(CREASE):
                        edges = corners[other, [(at + 1) % 3, (at + 2) % 3]] - corners[other, at]
                        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
                        total += np.sign(cosine) * np.arccos(edges[0] @ edges[1]) * own[other]
            bent[face, corner] = total / np.linalg.norm(total)
    return bent


def normals_of(drawn: Shape, rig: Cameras, hits: Hits, smooth: bool) -> NDArray[np.float64]:
    """(H, W, 3) of the side that is seen."""
    if not smooth:
        return (face_normals(drawn) * sides(drawn, rig)[:, None])[hits.seen]
    bent = slow_corner_normals(drawn) * sides(drawn, rig)[:, None, None]
    mixed = (bent[hits.seen] * hits.shares[..., None]).sum(2)
    return np.asarray(mixed / np.maximum(np.linalg.norm(mixed, axis=-1, keepdims=True), 1e-9))


def levels(drawn: Shape, rig: Cameras, hits: Hits, smooth: bool = False) -> NDArray[np.float64]:
    """(H, W) Lambert's gray."""
    light = rig.poses[0, :3, :3] @ np.array([0.3, 0.6, 1]) / np.linalg.norm([0.3, 0.6, 1])
    cosine = normals_of(drawn, rig, hits, smooth) @ light
    return np.asarray(255 * (0.15 + 0.65 * np.clip(cosine, 0, 1)))


def assert_drawn(
    image: NDArray[np.uint8], expected: NDArray[np.float64], hits: Hits, within: float = 0.51
) -> None:
    """Where a ray is sure of what it meets, the gray is the rounded one; white where it meets nothing."""
    twin = np.where(
        (hits.seen == NOTHING).reshape(hits.seen.shape + (1,) * (image.ndim - 2)), 255, expected
    )
    assert (~hits.doubtful).mean() > 0.75
    assert np.abs(image - twin)[~hits.doubtful].max() < within


SCENES = [
    pytest.param(
        triangles(seed), from_direction([seed, 2, -1], 48, half_height=half), id=f"{seed}-{half}"
    )
    for seed in range(3)
    for half in (None, 0.8)
]
SCENES.append(
    pytest.param(
        triangles(3), Cameras("inside", look_at(np.array([[0.1, 0.1, 0.2]])), 48, field_of_view=1.5), id="inside"
    )
)  # fmt: skip


@pytest.mark.parametrize(("drawn", "rig"), SCENES)
def test_gray_shadings_equal_the_naive_twin(drawn: Shape, rig: Cameras) -> None:
    hits = ray_cast(drawn, rig)
    assert_drawn(raster()(drawn, rig)[0], levels(drawn, rig, hits), hits)
    assert_drawn(raster(shading="silhouette")(drawn, rig)[0], np.zeros((48, 48)), hits)
    middle = rig.poses[0, :3, 3] @ rig.poses[0, :3, 2]
    share = np.clip((np.where(hits.seen == NOTHING, 0, hits.depth) - middle + 1) / 2, 0, 1)
    assert_drawn(raster(shading="depth")(drawn, rig)[0], 255 * (0.1 + 0.7 * share), hits)


@pytest.mark.parametrize(("drawn", "rig"), SCENES)
def test_colours_and_normals_equal_the_naive_twin(drawn: Shape, rig: Cameras) -> None:
    hits, random = ray_cast(drawn, rig), np.random.default_rng(0)
    gray = levels(drawn, rig, hits)[..., None]
    assert drawn.faces is not None
    assert_drawn(raster(color=True)(drawn, rig)[0], gray.repeat(3, -1), hits)
    by_face = random.integers(0, 256, (len(drawn.faces), 3), np.uint8)
    image = raster(color=True)(replace(drawn, face_colors=by_face), rig)[0]
    assert_drawn(image, gray * by_face[hits.seen] / 255, hits)
    by_vertex = random.integers(0, 256, (len(drawn.vertices), 3), np.uint8)
    image = raster(color=True)(replace(drawn, vertex_colors=by_vertex), rig)[0]
    mixed = (by_vertex[drawn.faces][hits.seen] * hits.shares[..., None]).sum(2)
    assert_drawn(image, gray * mixed / 255, hits, within=0.6)
    for smooth in (False, True):
        local = normals_of(drawn, rig, hits, smooth) @ rig.poses[0, :3, :3]
        draw = raster(color=True, shading="normal", normals="smooth" if smooth else "flat")
        assert_drawn(draw(drawn, rig)[0], 127.5 * (local + 1), hits, within=0.6)


def test_smooth_normals_equal_the_naive_twin_over_a_mesh_that_shares_no_vertices() -> None:
    solid = trimesh.creation.icosphere(subdivisions=1, radius=0.9)
    solid.vertices[:6] *= 0.7  # some edges are sharp
    turned = np.where(np.arange(80)[:, None] % 3 == 0, solid.faces[:, ::-1], solid.faces)
    drawn = shape(np.asarray(solid.vertices)[turned].reshape(-1, 3), np.arange(240))
    rig = from_direction([1, 2, 3], 64)
    hits = ray_cast(drawn, rig)
    image = raster(normals="smooth")(drawn, rig)[0]
    assert_drawn(image, levels(drawn, rig, hits, smooth=True), hits, within=0.6)
    assert np.abs(image.astype(int) - raster()(drawn, rig)[0]).max() > 5


def test_a_smooth_sphere_has_the_spheres_own_light_and_a_smooth_box_keeps_its_edges() -> None:
    rig = from_direction([1, 2, 3], 96)
    coarse = mesh(trimesh.creation.icosphere(subdivisions=3, radius=0.9))
    fine = mesh(trimesh.creation.icosphere(subdivisions=6, radius=0.9))
    expected = raster(**HEADLIGHT)(fine, rig)[0].astype(int)
    from_middle = np.abs(np.arange(96) - 47.5)
    inside = np.hypot(from_middle, from_middle[:, None]) < 30  # an outline has corners
    assert (
        np.abs(raster(normals="smooth", **HEADLIGHT)(coarse, rig)[0] - expected)[inside].max() <= 3
    )
    assert np.abs(raster(**HEADLIGHT)(coarse, rig)[0] - expected)[inside].max() > 5
    box = mesh(trimesh.creation.box((1, 0.8, 0.6)))
    np.testing.assert_array_equal(raster(normals="smooth")(box, rig), raster()(box, rig))


def test_where_hundreds_of_faces_meet_each_keeps_its_own_normal() -> None:
    cone = mesh(trimesh.creation.cone(0.5, 0.8, sections=700))
    image = raster(normals="smooth")(cone, from_direction([0, 0, 1], 64))
    assert np.abs(image.astype(int) - raster()(cone, from_direction([0, 0, 1], 64))).max() <= 2


def test_a_square_seen_square_on_has_the_normals_of_its_axes() -> None:
    draw = raster(color=True, shading="normal")
    facing = draw(shape(square(0.0), SQUARE), from_direction([0, 0, 1]))[0]
    assert facing[32, 32].tolist() == [128, 128, 255]
    slanted = draw(shape(square(0.0), SQUARE), from_direction([0, -1, 1]))[0, 32, 32]
    assert slanted.tolist() == [128, round(127.5 * (1 + 0.5**0.5)), round(127.5 * (1 + 0.5**0.5))]


def test_depth_is_dark_where_it_is_near_as_the_points_renderer_draws_it() -> None:
    for z, gray in ((1.0, 0.1), (0.0, 0.45), (-1.0, 0.8), (-1.5, 0.8)):
        image = raster(shading="depth")(shape(square(z), SQUARE), from_direction([0, 0, 1]))[0]
        assert abs(int(image[32, 32]) - 255 * gray) < 0.51


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shading": "silhouette"},
        {"shading": "depth", "color": True},
        {"shading": "normal", "color": True, "normals": "smooth"},
    ],
    ids=str,
)
def test_supersampling_is_the_mean_of_a_picture_twice_as_large(options: dict[str, Any]) -> None:
    drawn, rig = triangles(0), cameras("orthogonal6", 33)
    large = raster(**options)(drawn, replace(rig, size=66)).astype(int)
    parts = [large[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    image = raster(supersample=2, **options)(drawn, rig)
    np.testing.assert_array_equal(image, (sum(parts) + 2) // 4)


def test_gray_repeats_in_colour_and_colours_do_not_change_gray() -> None:
    drawn, rig = triangles(1), cameras("orthogonal6", 32)
    tinted = replace(drawn, vertex_colors=np.full((30, 3), 9, np.uint8))
    for shading in ("lambert", "depth", "silhouette"):
        gray = raster(shading=shading)(drawn, rig)  # type: ignore[arg-type]
        np.testing.assert_array_equal(raster(shading=shading)(tinted, rig), gray)  # type: ignore[arg-type]
        if shading != "lambert":
            image = raster(shading=shading, color=True)(tinted, rig)  # type: ignore[arg-type]
            np.testing.assert_array_equal(image, gray[..., None].repeat(3, -1))


def test_normals_in_gray_are_refused() -> None:
    with pytest.raises(
        PointCMTError, match=r"raster: the shading 'normal' is a picture in RGB; add --color"
    ):
        raster(shading="normal")


def test_a_distance_of_cameras_changes_no_level_of_an_orthographic_view() -> None:
    drawn = triangles(2)
    near, far = (
        from_direction([1, 2, 3], 48, distance=distance, half_height=1.0)
        for distance in (1.5, float(DISTANCE))
    )
    for shading in ("lambert", "depth"):
        draw = raster(shading=shading)  # type: ignore[arg-type]
        differ = np.abs(draw(drawn, near).astype(int) - draw(drawn, far))
        assert (differ > 1).mean() < 1e-3
