"""ModelNet-C's corruptions have the statistics of their definitions; rotations are uniform; every shape is alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from pointcmt_cli.data.clouds import corruption
from pointcmt_cli.data.clouds.corruption import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    numbers,
    rotate_fully,
)

Array = NDArray[np.float64]


def cloud(count: int = 1024, seed: int = 0) -> Array:
    """Points and their mirror images: the mean is 0 and stays it when axes are scaled."""
    half = np.random.default_rng(seed).normal(size=(count // 2, 3))
    points = np.concatenate([half, -half])
    mixed = np.random.default_rng(seed).permutation(points)
    scaled: Array = mixed / np.linalg.norm(mixed, axis=1).max()
    return scaled


def draws(name: str, severity: int, count: int, points: Array) -> list[Array]:
    return [
        CORRUPTIONS[name](points, severity, numbers(0, name, severity, index))
        for index in range(count)
    ]


def is_in(points: Array, among: Array) -> NDArray[np.bool_]:
    rows = {tuple(row) for row in among.tolist()}
    return np.array([tuple(row) in rows for row in points.tolist()])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_scale_is_uniform_per_axis_and_ends_in_the_unit_sphere(severity: int) -> None:
    points, most = cloud(), (1.6, 1.7, 1.8, 1.9, 2.0)[severity - 1]
    factors = []
    for changed in draws("scale", severity, 400, points):
        assert np.linalg.norm(changed, axis=1).max() == pytest.approx(1, abs=1e-6)
        assert np.abs(changed.mean(axis=0)).max() < 1e-6
        factor = changed[5] / points[5]
        np.testing.assert_allclose(changed, points * factor, atol=1e-6)
        factors.append(factor)
    ratios = np.array(factors)[:, :2] / np.array(factors)[:, 2:]  # the unit sphere's factor goes
    assert 1 / most**2 <= ratios.min() < 1.15 / most**2
    assert 0.87 * most**2 < ratios.max() <= most**2
    middle = (most + 1 / most) / 2  # E[a / b] = E[a] E[1 / b], both uniform
    expected = middle * 2 * np.log(most) / (most - 1 / most)
    assert ratios.mean() == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jitter_is_gaussian_of_the_published_sigma(severity: int) -> None:
    points = cloud()
    noise = np.concatenate(draws("jitter", severity, 20, points)) - np.tile(points, (20, 1))
    assert noise.std() == pytest.approx(0.01 * severity, rel=0.01)
    assert kstest(noise.ravel() / (0.01 * severity), "norm").pvalue > 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rotate_is_by_uniform_euler_angles(severity: int) -> None:
    points, limit = cloud(64), np.radians(6 * severity)
    angles = []
    for turned in draws("rotate", severity, 300, points):
        matrix = np.linalg.lstsq(points, turned, rcond=None)[0]
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        angles.append(Rotation.from_matrix(matrix).as_euler("xyz"))
    assert np.linalg.det(matrix) == pytest.approx(1)
    found = np.array(angles)
    assert 0.97 * limit < np.abs(found).max() <= limit + 1e-9
    for axis in range(3):
        assert kstest(found[:, axis], "uniform", args=(-limit, 2 * limit)).pvalue > 1e-3


def test_the_rotation_is_rz_ry_rx_from_the_right() -> None:
    """Written out as the definition has it."""
    points = cloud(16)
    a, b, c = numbers(0, "r").uniform(-np.pi / 6, np.pi / 6, 3)
    x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    expected = points @ (np.array(z) @ np.array(y) @ np.array(x))
    np.testing.assert_allclose(corruption.rotate(points, 5, numbers(0, "r")), expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_drop_global_takes_the_published_share_at_random(severity: int) -> None:
    points, kept = cloud(), (768, 640, 512, 384, 256)[severity - 1]
    places = []
    for changed in draws("drop-global", severity, 20, points):
        assert changed.shape == (kept, 3)
        assert is_in(changed, points).all()
        assert len(np.unique(changed, axis=0)) == kept
        places.append(np.flatnonzero(is_in(points, changed)))
    assert kstest(np.concatenate(places) / 1024, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_drop_local_takes_clusters(severity: int) -> None:
    points = cloud()
    single = 0
    for index, changed in enumerate(draws("drop-local", severity, 40, points)):
        assert changed.shape == (1024 - 100 * severity, 3)
        assert is_in(changed, points).all()
        random = numbers(0, "drop-local", severity, index)
        if random.integers(1, 8) > 1:
            continue
        single += 1  # one cluster: a point and all that are nearer to it than any that is left
        dropped = points[~is_in(points, changed)]
        from_dropped = np.linalg.norm(dropped[:, None] - dropped, axis=2).max(axis=1)
        from_kept = np.linalg.norm(dropped[:, None] - changed, axis=2).min(axis=1)
        assert (from_dropped <= from_kept).any()
    assert single > 0


@pytest.mark.parametrize("severity", SEVERITIES)
def test_add_global_fills_the_unit_ball_uniformly(severity: int) -> None:
    points, added = cloud(), []
    for changed in draws("add-global", severity, 60, points):
        assert changed.shape == (1024 + 10 * severity, 3)
        np.testing.assert_array_equal(changed[:1024], points)
        added.append(changed[1024:])
    every = np.concatenate(added)
    radius = np.linalg.norm(every, axis=1)
    assert kstest(radius**3, "uniform").pvalue > 1e-3
    assert kstest(every[:, 2] / radius, "uniform", args=(-1, 2)).pvalue > 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_add_local_adds_gaussian_clusters_around_points(severity: int) -> None:
    points = cloud() * 0.2  # all clusters stay far inside the sphere
    spreads = []
    for index, changed in enumerate(draws("add-local", severity, 60, points)):
        assert changed.shape == (1024 + 100 * severity, 3)
        np.testing.assert_array_equal(changed[:1024], points)
        if numbers(0, "add-local", severity, index).integers(1, 8) == 1:
            cluster = changed[1024:]
            spreads.append(cluster.std(axis=0).mean())
            nearest = np.linalg.norm(points - cluster.mean(axis=0), axis=1).min()
            assert nearest < 0.05
    assert 0.07 < min(spreads) < max(spreads) < 0.13


def test_added_points_outside_the_sphere_come_to_one_over_their_distance() -> None:
    points = np.repeat([[0.0, 0.0, 1.0]], 1024, axis=0)
    added = corruption.add_local(points, 5, numbers(1))[1024:]
    assert np.linalg.norm(added, axis=1).max() <= 1
    random = numbers(1)
    sizes = random.multinomial(500, [1 / (many := int(random.integers(1, 8)))] * many)
    random.permutation(1024)
    spreads = np.repeat(random.uniform(0.075, 0.125, many), sizes)
    before = np.array([0, 0, 1]) + spreads[:, None] * random.normal(size=(500, 3))
    radius = np.linalg.norm(before, axis=1)
    outside = radius > 1
    assert outside.sum() > 100
    after = np.linalg.norm(added, axis=1)
    np.testing.assert_allclose(after[outside], 1 / radius[outside])
    np.testing.assert_allclose(after[~outside], radius[~outside])


def test_there_are_one_to_seven_clusters_alike_and_every_point_is_in_one() -> None:
    many = []
    for index in range(1400):
        sizes = corruption._cluster_sizes(300, numbers("sizes", index))
        assert sizes.sum() == 300
        many.append(len(sizes))
    counts = np.bincount(many, minlength=8)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 200).max() < 60


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_shape_s_cloud_depends_on_its_name_and_the_seed_alone(name: str) -> None:
    clouds = np.stack([cloud(seed=index) for index in range(3)]).astype(np.float32)
    names = ["a/1", "a/2", "b/1"]
    together = corrupt(name, clouds, names, 3, 0)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(corrupt(name, clouds[2:], names[2:], 3, 0)[0], together[2])
    assert not np.array_equal(corrupt(name, clouds, names, 3, 1), together)
    same = corrupt(name, clouds[[0, 0]], names[:2], 3, 0)
    assert not np.array_equal(same[0], same[1])


def test_counts_follow_the_number_of_points() -> None:
    half = cloud(512)
    counts = {name: len(draws(name, 5, 1, half)[0]) for name in CORRUPTIONS}
    assert counts == {
        "scale": 512, "jitter": 512, "rotate": 512, "drop-global": 128, "drop-local": 262,
        "add-global": 537, "add-local": 762,
    }  # fmt: skip


def test_rotations_are_uniform() -> None:
    names = [str(index) for index in range(400)]
    clouds = np.tile(np.eye(3, dtype=np.float32), (400, 1, 1))
    z = rotate_fully("z", clouds, names, 0)
    np.testing.assert_allclose(z[:, :, 2], clouds[:, :, 2], atol=1e-6)
    angles = np.arctan2(z[:, 0, 1], z[:, 0, 0])
    assert kstest(angles, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3
    free = rotate_fully("so3", clouds, names, 0)
    np.testing.assert_allclose(np.linalg.det(free), 1, atol=1e-5)
    for row, column in ((0, 0), (1, 2), (2, 2)):  # each entry of a uniform rotation is uniform
        assert kstest(free[:, row, column], "uniform", args=(-1, 2)).pvalue > 1e-3
