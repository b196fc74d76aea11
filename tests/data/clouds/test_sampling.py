"""Sampled points: on the surface, uniform by area, in the unit sphere, and the same bytes everywhere."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.geometry import face_areas
from pointcmt_cli.data.shape import Shape

SCRIPT = """
import hashlib, sys
import numpy as np
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.shape import Shape
corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
faces = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], np.int32)
for shape in (Shape("a/b", corners, faces), Shape("a/b", corners)):
    print(hashlib.sha256(sample_points(shape, 500).tobytes()).hexdigest())
assert "torch" not in sys.modules and "trimesh" not in sys.modules and "numba" not in sys.modules
"""


def box(sizes: tuple[float, float, float], name: str = "box/1") -> Shape:
    corners = np.array(np.meshgrid(*[(-s / 2, s / 2) for s in sizes], indexing="ij"))
    vertices = corners.reshape(3, -1).T.astype(np.float32)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)]
    return Shape(name, vertices, np.array(faces, np.int32))


def test_areas_have_the_closed_form() -> None:
    shape = box((1.0, 2.0, 3.0))
    assert shape.faces is not None
    areas = face_areas(shape.vertices, shape.faces)
    np.testing.assert_allclose(areas, np.repeat([3, 3, 1.5, 1.5, 1, 1], 2), rtol=1e-6)


def test_mesh_points_are_uniform_by_area() -> None:
    """Chi-square over the six sides of a flat box, each cut in four: 23 degrees of freedom, 41.6 is its 99 % point."""
    sizes = np.array([0.2, 1.0, 1.5])
    count = 20000
    points = sample_points(box(tuple(sizes)), count).astype(np.float64)
    points *= sizes / 2 / np.abs(points).max(axis=0)  # the scale of pc_normalize, undone
    side = np.abs(np.abs(points) / (sizes / 2) - 1).argmin(axis=1)
    cells = []
    for axis in range(3):
        others = [each for each in range(3) if each != axis]
        on = points[side == axis]
        code = ((on > 0) * [4, 2, 1])[:, [axis, *others]].sum(axis=1)
        share = sizes[others].prod() / (2 * sum(sizes.prod() / size for size in sizes)) / 4
        cells += [((code == each).sum(), share * count) for each in range(8)]
    observed, expected = np.array(cells).T
    assert ((observed - expected) ** 2 / expected).sum() < 41.6


def test_mesh_points_lie_on_the_surface() -> None:
    """A tetrahedron's points, moved and scaled back, satisfy one of its four plane equations."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], np.int32)
    points = sample_points(Shape("t/1", vertices, faces), 4000).astype(np.float64)
    low = points.min(axis=0)
    inside = (points - low) / (
        points - low
    ).max()  # the three planes through 0, up to 1 / sqrt(4000)
    distance = np.minimum(inside.min(axis=1), np.abs(inside.sum(axis=1) - 1))
    assert np.quantile(distance, 0.99) < 0.02


@pytest.mark.parametrize("count", [1, 2, 100, 2048])
@pytest.mark.parametrize("is_mesh", [True, False])
def test_points_are_centred_in_the_unit_sphere(count: int, is_mesh: bool) -> None:
    shape = box((1.0, 0.5, 0.25))
    if not is_mesh:
        shape = Shape("c/1", np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32))
    points = sample_points(shape, count)
    assert points.shape == (count, 3)
    assert points.dtype == np.float32
    assert np.abs(points.mean(axis=0, dtype=np.float64)).max() < 1e-6
    radius = np.linalg.norm(points.astype(np.float64), axis=1).max()
    assert radius == pytest.approx(0.0 if count == 1 else 1.0, abs=1e-6)


def test_a_cloud_is_a_subset_without_repeats_or_itself_with_some() -> None:
    cloud = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    fewer = sample_points(Shape("c/1", cloud), 150)
    assert len(np.unique(fewer, axis=0)) == 150
    more = sample_points(Shape("c/1", cloud), 250)
    assert len(np.unique(more[:200], axis=0)) == 200
    assert len(np.unique(more, axis=0)) == 200
    same = sample_points(Shape("c/1", cloud), 200).astype(np.float64)
    centred = cloud - cloud.mean(axis=0, dtype=np.float64)
    whole = centred / np.linalg.norm(centred, axis=1).max()
    np.testing.assert_allclose(np.sort(same, axis=0), np.sort(whole, axis=0), atol=1e-6)
    assert not np.allclose(
        same, whole, atol=1e-3
    )  # the first few of a sorted scan are no fair cloud


def test_the_name_is_the_seed() -> None:
    first, second = box((1, 1, 1), "a/1"), box((1, 1, 1), "a/2")
    assert (sample_points(first, 64) == sample_points(first, 64)).all()
    assert (sample_points(first, 64) != sample_points(second, 64)).any()


def test_bytes_are_the_same_in_another_process() -> None:
    """And sampling needs nothing heavy there."""
    run = [sys.executable, "-c", SCRIPT]
    outputs = {subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in "ab"}
    assert len(outputs) == 1
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    here = hashlib.sha256(sample_points(Shape("a/b", vertices), 500).tobytes()).hexdigest()
    assert outputs.pop().split()[1] == here


def test_a_face_without_area_is_never_chosen() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], np.float32)
    faces = np.array([[3, 3, 3], [0, 1, 2], [3, 3, 3]], np.int32)
    points = sample_points(Shape("t/1", vertices, faces), 1000)
    assert np.ptp(points[:, 2]) < 1e-6
