"""Verify: counts against what is published, one line for each damaged file; the catalogue's own consistency."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pointcmt_cli.cli import app
from pointcmt_cli.config import DownloadConfig, VerifyConfig
from pointcmt_cli.data.folders import corrupted
from pointcmt_cli.data.public import catalogue
from pointcmt_cli.data.public.catalogue import CATALOGUE, MODELNET10, MODELNET40, find, published
from pointcmt_cli.engine.datasets import download
from pointcmt_cli.engine.datasets.verify import verify
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Result

OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


def run(source: Path, workers: int = 1, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """The Result's values and the warnings."""
    records = list(verify(VerifyConfig(source, workers=workers, **options)))
    assert isinstance(records[-1], Result)
    warned = [each.text for each in records if isinstance(each, Note) and each.warning]
    return dict(records[-1].values), warned


def modelnet10(root: Path) -> Path:
    """40 + 20 meshes, all the same."""
    names = MODELNET10.split()
    for split, count in (("train", 40), ("test", 20)):
        for name in names:
            (root / name / split).mkdir(parents=True)
        for index in range(count):
            name = names[index % len(names)]
            (root / name / split / f"{name}_{split}_{index:04d}.off").write_text(OFF)
    return root


def benchmark_file(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["data"] = np.random.default_rng(0).normal(size=(count, 4, 3)).astype(np.float32)
        file["label"] = np.arange(count)[:, None] % 15


def test_modelnet10_is_whole_until_a_shape_is_lost_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(find("modelnet10"), shapes={"train": 40, "test": 20})
    monkeypatch.setattr(catalogue, "CATALOGUE", (small,))
    root = modelnet10(tmp_path / "anything")
    result, warned = run(root, workers=2)
    assert (result["whole"], warned) == (True, [])
    (checked,) = result["checked"]
    assert checked["published_as"] == "modelnet10"
    assert checked["counts"] == {"train": 40, "test": 20}
    (root / "bed" / "train" / "bed_train_0001.off").write_text(OFF[:20])
    (root / "sofa" / "test" / "sofa_test_0007.off").unlink()
    (root / "toilet" / "train" / "toilet_train_0009.off").write_text("")
    result, warned = run(root)
    assert not result["whole"]
    text = "\n".join(warned)
    assert "bed_train_0001.off: " in text
    assert "toilet_train_0009.off: is empty" in text
    assert "test: 19 shapes, 20 are published" in warned
    assert len(result["checked"][0]["damaged"]) == 2


def test_damaged_benchmark_files_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "shape_names.txt").write_text("\n".join(MODELNET40.split()))
    for name in ("train0", "train1", "test0"):
        benchmark_file(tmp_path / f"ply_data_{name}.h5", 20)
    result, warned = run(tmp_path)
    assert result["checked"][0]["expected"] == {"train": 9840, "test": 2468}
    assert warned == ["test: 20 shapes, 2468 are published", "train: 40 shapes, 9840 are published"]
    for name in ("train1", "test0"):
        path = tmp_path / f"ply_data_{name}.h5"
        path.write_bytes(path.read_bytes()[:1000])
    result, warned = run(tmp_path)
    assert [Path(re.split(r":| cannot", line)[0]).name for line in warned[:2]] == [
        "ply_data_test0.h5",
        "ply_data_train1.h5",
    ]
    assert not result["whole"]


def test_every_variant_of_scanobjectnn_is_looked_at(tmp_path: Path) -> None:
    for folder, suffix, train, test in [
        ("main_split", "", 2309, 581),
        ("main_split", "_augmentedrot", 30, 15),
        ("main_split_nobg", "", 2309, 580),
        ("split1", "", 30, 15),
    ]:
        for part, count in (("training", train), ("test", test)):
            benchmark_file(tmp_path / folder / f"{part}_objectdataset{suffix}.h5", count)
    result, warned = run(tmp_path)
    found = {(Path(each["variant"]).name, each["whole"]) for each in result["checked"]}
    assert found == {("OBJ_BG", True), ("PB_T50_R", True), ("OBJ_ONLY", False)}
    assert len(result["checked"]) == 4
    assert "test: 580 shapes, 581 are published" in warned
    one, _ = run(tmp_path, variant="PB_T50_R")
    assert [each["variant"] for each in one["checked"]] == ["PB_T50_R"]


def modelnet40_c(root: Path) -> Path:
    root.mkdir()
    for name in corrupted._NPY.split():
        for level in range(1, 6):
            np.save(root / f"data_{name}_{level}.npy", np.zeros((6, 4, 3), np.float32))
    np.save(root / "label.npy", np.arange(6)[:, None])
    return root


def modelnet_c(root: Path) -> Path:
    root.mkdir()
    for name in ["clean", *(f"{n}_{v}" for n in corrupted._H5.split() for v in range(5))]:
        benchmark_file(root / f"{name}.h5", 6)
    return root


@pytest.mark.parametrize("make", [modelnet40_c, modelnet_c])
def test_corrupted_sets(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupted, "SHAPES", 6)
    root = make(tmp_path / "c")
    result, warned = run(root)
    assert (result["whole"], warned) == (True, [])
    files = sorted(path for path in root.iterdir() if path.stem not in ("label", "clean"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:100])
    if files[2].suffix == ".npy":
        np.save(files[2], np.full((6, 4, 3), np.nan, np.float32))
        np.save(files[3], np.zeros((5, 4, 3), np.float32))
    else:
        with h5py.File(files[2], "a") as file:
            file["data"][3] = np.nan
        files[3].unlink()
        benchmark_file(files[3], 5)
    result, warned = run(root)
    assert not result["whole"]
    assert [line.split(":")[0].split(" ")[0] for line in warned] == [
        str(each) for each in files[:4]
    ]
    assert "no such file" in warned[0]
    assert "is not finite" in warned[2]
    assert result["checked"][0]["counts"]["files"] == len(files) + (make is modelnet_c) - 4


def test_the_command_ends_with_1_where_something_is_wrong(tmp_path: Path) -> None:
    runner = CliRunner()
    for name in ("a/train/1", "b/train/1", "b/test/2"):
        path = tmp_path / f"{name}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OFF)
    done = runner.invoke(app, ["data", "verify", str(tmp_path)])
    assert done.exit_code == 0
    assert "mesh tree: whole: 2 train, 1 test (its counts are not published)" in done.stdout
    (tmp_path / "a" / "train" / "1.off").write_text("no")
    done = runner.invoke(app, ["data", "verify", str(tmp_path), "--json"])
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["checked"][0]["damaged"]) == 1
    missing = runner.invoke(app, ["data", "verify", str(tmp_path / "none")])
    assert isinstance(missing.exception, UsageError)
    assert "no such folder" in str(missing.exception)


def test_the_catalogue_is_shown() -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["data", "list"]).stdout
    for each in CATALOGUE:
        assert each.name in shown
    listed = json.loads(runner.invoke(app, ["data", "list", "--json"]).stdout)["data_sets"]
    assert [each["name"] for each in listed] == [each.name for each in CATALOGUE]


def test_the_catalogue_says_where_everything_comes_from() -> None:
    addresses = [mirror.url for each in CATALOGUE for mirror in each.mirrors]
    assert len(set(addresses)) == len(addresses)
    for each in CATALOGUE:
        assert each.mirrors or each.by_hand, each.name
        for mirror in each.mirrors:
            assert mirror.source
            known = mirror.checksum or "none"
            assert re.fullmatch(r"none|md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", known)
            assert mirror.checksum or "no checksum is published" in mirror.source
            assert mirror.url.startswith("https:") or (mirror.checksum or "").startswith("sha256:")
            assert mirror.size is None or mirror.size < each.largest
    assert [len(each.split()) for each in (MODELNET10, MODELNET40)] == [10, 40]
    assert set(MODELNET10.split()) < set(MODELNET40.split())


def test_names_and_what_is_published() -> None:
    assert find("ModelNet40-C").name == "modelnet40_c"
    with pytest.raises(
        UsageError, match=r"no data set named 'modelnet4'; did you mean modelnet40\?"
    ):
        find("modelnet4")
    assert published("mesh tree", None, ["a", "b"]) is None
    assert published("ScanObjectNN", "PB_T25", []) is None
    assert published("modelnet10_normal_resampled", "modelnet10", []) == (
        "modelnet10_normal_resampled",
        {"train": 3991, "test": 908},
    )
    with pytest.raises(DataError, match=r"Google Drive alone.*pointcmt data verify modelnet_c"):
        list(download.download(DownloadConfig("modelnet_c")))


def test_the_download_command_names_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modelnet10" / "bed").mkdir(parents=True)
    done = CliRunner().invoke(app, ["data", "download", "modelnet10", "--work", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.strip() == f"next: pointcmt render {tmp_path / 'modelnet10'}"
    refused = CliRunner().invoke(app, ["data", "download", "scanobjectnn", "--work", str(tmp_path)])
    assert isinstance(refused.exception, UsageError)
    assert "--accept-terms" in str(refused.exception)
    assert catalogue.find("scanobjectnn").terms in str(refused.exception)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_meshes_can_all_be_read(meshes36: Path) -> None:
    result, warned = run(meshes36)
    assert (result["whole"], warned) == (True, [])
    assert result["checked"][0]["counts"] == {"train": 844, "test": 366}
