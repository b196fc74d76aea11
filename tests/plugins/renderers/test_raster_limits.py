"""The raster renderer at its limits: any size and place, what cannot be drawn, a million faces, memory, and OpenGL."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from places import DATA, SUPPORT
from pointcmt_cli.data.cameras.rigs import Cameras, cameras, look_at
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import PointCMTError
from pointcmt_renderers.raster.raster import depth_maps, raster
from renderer_scenes import SQUARE, from_direction, mesh, shape, square, triangles


@pytest.mark.parametrize("half_height", [None, 0.9])
@pytest.mark.parametrize(
    ("unit", "offset"), [(1e-20, 0.0), (1e-3, 0.0), (1e3, 0.0), (1e20, 0.0), (64.0, 8192.0)]
)
def test_shapes_of_any_size_and_place_are_drawn_alike(
    unit: float, offset: float, half_height: float | None
) -> None:
    drawn, rig = triangles(0), from_direction([1, 2, 3], 64, half_height=half_height)
    poses = rig.poses.copy()
    poses[:, :3, 3] = poses[:, :3, 3] * unit + offset
    moved = shape(drawn.vertices.astype(np.float64) * unit + offset, drawn.faces)
    there = replace(rig, poses=poses, half_height=half_height and half_height * unit)
    image = raster()(drawn, rig).astype(int)
    assert (np.abs(raster()(moved, there) - image) > 1).mean() < 2e-3
    at = np.isfinite(depth_maps(drawn, rig))
    at &= np.isfinite(depth_maps(moved, there))
    expected = depth_maps(drawn, rig)[at]
    gaps = np.abs(depth_maps(moved, there)[at] / np.float32(unit) - expected)
    assert np.quantile(gaps, 0.99) < 1e-3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vertex_that_is_not_finite_is_refused(value: float) -> None:
    vertices = square(0.0)
    vertices[3, 1] = value
    with pytest.raises(
        PointCMTError, match=r"a/b: a vertex is not finite; repair the mesh before drawing it"
    ):
        raster()(shape(vertices, SQUARE, name="a/b"), from_direction([0, 0, 1]))


def test_an_image_too_large_to_pack_is_refused() -> None:
    with pytest.raises(PointCMTError, match="an image of 40000 pixels is too large; at most 32767"):
        raster(supersample=2)(shape(square(0.0), SQUARE), cameras("orthogonal6", 20000))


def test_a_mesh_without_vertices_or_faces_is_white() -> None:
    for drawn in (shape(np.empty((0, 3)), []), shape(square(0.0), [])):
        for options in ({}, {"normals": "smooth", "color": True}, {"shading": "depth"}):
            images = raster(**options)(drawn, cameras("orthogonal6", 9))  # type: ignore[arg-type]
            assert (images == 255).all()
        assert np.isinf(depth_maps(drawn, cameras("orthogonal6", 9))).all()


@pytest.mark.parametrize("half_height", [None, 0.01])
def test_faces_far_off_the_screen_do_not_wrap_around(half_height: float | None) -> None:
    """Close to a corner of a large mesh, most of it lies a million pixels away."""
    pose = look_at(np.array([[0.0, 0.0, 0.02]]))
    rig = Cameras("close", pose, 64, field_of_view=0.3, half_height=half_height)
    hole = shape(
        [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0.5, 0.5, 0]], [[0, 1, 4], [2, 3, 2]]
    )
    assert (raster()(hole, rig) == 255).all()
    whole = shape([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]], SQUARE)
    assert (raster()(whole, rig) < 255).all()
    np.testing.assert_allclose(depth_maps(whole, rig), 0.02, rtol=1e-4)


def globe(rows: int) -> Shape:
    """A sphere of 2 (rows - 1) ** 2 faces."""
    down, around = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, rows), indexing="ij"
    )
    places = [np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)]
    number = np.arange(rows**2).reshape(rows, rows)
    a, b, c, d = (
        number[top : top + rows - 1, left : left + rows - 1].ravel()
        for top, left in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return shape(np.stack(places, -1).reshape(-1, 3), faces)


def test_a_million_faces_from_outside_and_from_within() -> None:
    drawn, rig = globe(709), from_direction([1, 2, 3], 224)
    assert drawn.faces is not None
    assert len(drawn.faces) > 1_000_000
    covered = raster()(drawn, rig)[0] < 255
    outline = rig.scale * np.tan(np.arcsin(0.9999999 / np.linalg.norm(rig.poses[0, :3, 3])))
    assert covered.sum() == pytest.approx(np.pi * outline**2, rel=1e-3)
    inside = replace(rig, poses=look_at(np.array([[0.1, 0.2, 0.3]])), field_of_view=2.0)
    assert np.isfinite(depth_maps(drawn, inside)).all()


MEMORY = """
import resource, sys
import numpy as np
import trimesh
from pointcmt_cli.api import Cameras, Shape
from pointcmt_cli.data.cameras.rigs import cameras, look_at
from pointcmt_renderers.raster.raster import raster

solid = trimesh.creation.icosphere(subdivisions=3)
drawn = Shape("a/b", solid.vertices.astype("f4"), solid.faces.astype("i4"))
outside = cameras("dodecahedron20", 64)
inside = Cameras("inside", look_at(np.full((1, 3), 0.2)), 64)
renderers = [raster(), raster(normals="smooth", color=True, supersample=2)]

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

def draw(views):
    for _ in range(views // 40):
        for renderer in renderers:
            renderer(drawn, outside)
            renderer(drawn, inside)

draw(2000)
before = resident()
draw(10_000)
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is in /proc")
def test_memory_stays_flat_over_ten_thousand_views() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 4.0  # MiB


@pytest.mark.slow
def test_opengl_draws_the_same(tmp_path: Path) -> None:
    """moderngl on EGL, wherever it works: less than 1 gray level apart, outlines on 0.5 % of the pixels."""
    bent = trimesh.creation.torus(0.6, 0.25)
    bent.apply_transform(trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.5, 0.7])))
    shapes = [
        mesh(bent),
        triangles(0, count=200),
        mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.9)),
    ]
    real = DATA / "modelnet_meshes"
    shapes += [read_file(file) for file in sorted(real.rglob("*.off"))]
    files = [tmp_path / f"{number}.npz" for number in range(len(shapes))]
    for file, drawn in zip(files, shapes, strict=True):
        assert drawn.faces is not None
        np.savez(file, vertices=drawn.vertices, faces=drawn.faces)
    script = SUPPORT / "gl_lambert.py"
    done = subprocess.run(
        [sys.executable, script, *files], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(records) == 2 * len(shapes)
    for record in records:
        assert record["covered"] > 0.02, record
        assert record["difference"] < 1.0, record
        assert record["outline"] < 5e-3, record
