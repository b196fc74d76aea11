"""Public point layouts through `render`: which axis of theirs points up, and who may say otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from pointcmt_cli.data.store.views import read_images, read_shapes
from pointcmt_cli.engine.deployed.predict import file_points
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import StaleError
from pointcmt_cli.records import Note
from toy_meshes import config, run

POST = np.random.default_rng(0).uniform(-1, 1, (8, 200, 3)).astype(np.float32) * [0.1, 1, 0.2]
"""(8, 200, 3): posts that stand along y, wider along z than along x."""


def modelnet_h5(root: Path) -> Path:
    (root / "shape_names.txt").write_text("post\npole\n")
    for split, rows in (("train", slice(0, 6)), ("test", slice(6, 8))):
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"] = POST[rows]
            file["label"] = np.arange(len(POST[rows]), dtype=np.uint8)[:, None] % 2
    return root


def normal_resampled(root: Path) -> Path:
    names = [f"{('post', 'pole')[row % 2]}_{row:04d}" for row in range(8)]
    (root / "modelnet40_shape_names.txt").write_text("post\npole\n")
    (root / "modelnet40_train.txt").write_text("\n".join(names[:6]))
    (root / "modelnet40_test.txt").write_text("\n".join(names[6:]))
    for name, cloud in zip(names, POST, strict=True):
        (root / name[:4]).mkdir(exist_ok=True)
        np.savetxt(root / name[:4] / f"{name}.txt", np.hstack([cloud, cloud]), "%.9g", ",")
    return root


def scanobjectnn(root: Path) -> Path:
    folder = root / "main_split_nobg"
    folder.mkdir()
    for part, rows in (("training", slice(0, 6)), ("test", slice(6, 8))):
        with h5py.File(folder / f"{part}_objectdataset.h5", "w") as file:
            file["data"] = POST[rows]
            file["label"] = np.arange(len(POST[rows]), dtype=np.uint8) % 2
    return folder


LAYOUTS = [modelnet_h5, normal_resampled, scanobjectnn]


def spans(points: NDArray[Any]) -> NDArray[Any]:
    """Extents (S, 3) of clouds (S, P, 3)."""
    found: NDArray[Any] = np.ptp(points, axis=1)
    return found


def source(make: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The layout, in a folder beside which the output will lie."""
    (tmp_path / "data").mkdir()
    return make(tmp_path / "data")


@pytest.mark.parametrize("make", LAYOUTS)
def test_a_known_layout_is_y_up_and_is_stored_and_drawn_standing(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    settings = config(source(make, tmp_path), renderer="points", work=tmp_path, image_size=64)
    run(settings)
    stored = read_shapes(tmp_path / "views.h5")
    assert stored.attributes["up"] == "y"
    assert (spans(stored.points).argsort(axis=1) == [0, 1, 2]).all()  # x, then what was z, then y
    for picture in read_images(tmp_path / "views.h5", range(8)).reshape(-1, 64, 64):
        rows, columns = np.nonzero(picture != picture[0, 0])
        assert np.ptp(rows) > 1.5 * np.ptp(columns)


@pytest.mark.parametrize("make", LAYOUTS)
def test_the_summary_says_the_axis_and_who_says_so(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = source(make, tmp_path)
    first = next(iter(render(config(root, work=tmp_path))))
    assert isinstance(first, Note)
    whose = "its authors'" if make is scanobjectnn else "PointNet's own"
    assert first.text.endswith(f"), y up (as {whose} code takes it)")
    first = next(iter(render(config(root, work=tmp_path, up="z"))))
    assert isinstance(first, Note)
    assert first.text.endswith("), z up (--up)")


@pytest.mark.parametrize("make", LAYOUTS)
def test_up_overrides_a_layout(make: Callable[[Path], Path], tmp_path: Path) -> None:
    root = source(make, tmp_path)
    run(config(root, work=tmp_path))
    run(config(root, work=tmp_path, up="z", out=tmp_path / "z.h5"))
    run(config(root, work=tmp_path, up="y", out=tmp_path / "y.h5"))
    standing, lying, said = (read_shapes(tmp_path / f"{name}.h5") for name in ("views", "z", "y"))
    assert (lying.attributes["up"], said.attributes["up"]) == ("z", "y")
    np.testing.assert_array_equal(said.points, standing.points)
    x, y, z = lying.points.transpose(2, 0, 1)
    np.testing.assert_allclose(standing.points, np.stack([x, -z, y], axis=2), atol=1e-5)


def test_a_file_from_before_is_noticed_and_never_mixed_with(tmp_path: Path) -> None:
    """It says `auto`, and its points lie on their side."""
    root = source(modelnet_h5, tmp_path)
    run(config(root, work=tmp_path))
    with h5py.File(tmp_path / "views.h5", "r+") as file:
        file.attrs["up"] = "auto"
    with pytest.raises(StaleError, match=r"views\.h5 was made with up auto, now y: --force"):
        run(config(root, work=tmp_path))
    with pytest.raises(StaleError, match=r"views\.h5 was made with up auto, now y: --force"):
        run(config(root, work=tmp_path, only=("post/*",)))
    assert run(config(root, work=tmp_path, force=True))["drawn"] == 8


def test_predict_reads_a_raw_file_as_it_was_stored(tmp_path: Path) -> None:
    root = source(normal_resampled, tmp_path)
    run(config(root, work=tmp_path))
    stored = read_shapes(tmp_path / "views.h5")
    row = stored.names.index("post/post_0006")
    file = root / "post" / "post_0006.txt"
    points = file_points(file, stored.points.shape[1], stored.attributes["up"])
    np.testing.assert_array_equal(points, stored.points[row])
