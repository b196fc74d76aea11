"""The demo's shapes: valid, the same every time, and not to be told apart by a mean cloud."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pointcmt_cli.data import demo_shapes, reading
from pointcmt_cli.data.clouds import sampling
from pointcmt_cli.data.folders import sources


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert demo_shapes.write_demo_meshes(folder, 16, 8, seed=0) == 12 * 24
    return folder


def test_twelve_classes_in_both_splits(meshes: Path) -> None:
    source = sources.recognise(meshes, 0.2, 0.15)
    assert len(source.classes) == len(demo_shapes.CLASSES) == 12
    assert source.counts()["test"] == 12 * 8
    assert source.counts()["held-out"] > 0


def test_the_same_seed_gives_the_same_files_and_finished_ones_stay(
    meshes: Path, tmp_path: Path
) -> None:
    demo_shapes.write_demo_meshes(tmp_path, 2, 1, seed=0)
    one = "mug/train/mug_0001.off"
    assert (tmp_path / one).read_bytes() == (meshes / one).read_bytes()
    (tmp_path / one).write_text("kept")
    demo_shapes.write_demo_meshes(tmp_path, 2, 1, seed=0)
    assert (tmp_path / one).read_text() == "kept"


def clouds(meshes: Path) -> tuple[dict[str, list[np.ndarray]], dict[str, list[int]]]:
    found: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for item in sources.recognise(meshes, 0.2, 0.0).items:
        shape, _ = reading.read(item)
        found[item.split].append(sampling.sample_points(shape, 256))
        labels[item.split].append(item.label)
    return found, labels


def test_a_nearest_centroid_guess_fails(meshes: Path) -> None:
    found, labels = clouds(meshes)

    def occupancy(cloud: np.ndarray) -> np.ndarray:
        cells = np.clip(((cloud + 1) * 4).astype(int), 0, 7)
        return np.bincount(np.ravel_multi_index(cells.T, (8, 8, 8)), minlength=512) / len(cloud)

    def radii(cloud: np.ndarray) -> np.ndarray:
        return np.sort(np.linalg.norm(cloud, axis=1))

    for describe in (occupancy, radii):
        train = np.array([describe(cloud) for cloud in found["train"]])
        test = np.array([describe(cloud) for cloud in found["test"]])
        means = np.array([train[np.array(labels["train"]) == k].mean(0) for k in range(12)])
        guesses = cKDTree(means).query(test)[1]
        assert (guesses == np.array(labels["test"])).mean() < 0.6
