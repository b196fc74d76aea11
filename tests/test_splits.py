"""The held-out split has one name; files and folders that call it `val` are read all the same."""

import ast
from pathlib import Path

import h5py
import numpy as np
import pytest

from places import ROOT
from pointcmt_cli.data.folders.sources import recognise
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.data.store.views import read_index, read_rows, read_shapes
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.splits import HELD_OUT, SPLITS, TEST, TRAIN, key_of, split_of, unit_hash
from toy_meshes import config, notes, run, write_meshes
from toy_student import write_data


def rename(path: Path) -> None:
    """Make a file say `val`, as those of before did."""
    with h5py.File(path, "a") as file:
        said = file["split"].asstr()[:]
        assert HELD_OUT in said
        file["split"][:] = np.where(said == HELD_OUT, "val", said)


def test_what_is_set_apart_of_train_is_held_out() -> None:
    found = {split_of(f"a/{number}", None, 0.2, 0.2) for number in range(100)}
    assert found == set(SPLITS) == {TRAIN, HELD_OUT, TEST}
    assert key_of(HELD_OUT) == "held_out"


CLOUD = "0 0 0\n1 0 0\n0 1 0\n"


def found(
    root: Path, stems: list[str], folder: str, held_out: float, test: float
) -> dict[str, str]:
    """The splits of some shapes of class `a`, by stem; class `b` is large."""
    for name in [*(f"a{folder}/{stem}" for stem in stems), *(f"b{folder}/{n}" for n in range(60))]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.xyz").write_text(CLOUD)
    items = recognise(root, test, held_out).items
    assert {item.split for item in items if item.label == 1} >= {TRAIN, HELD_OUT}
    return {item.name.split("/")[1]: item.split for item in items if item.label == 0}


def by_hash(count: int, salt: str, below: float) -> list[str]:
    """Stems of class `a` that the hash alone would put aside, the smallest hash first."""
    stems = [str(n) for n in range(1000) if unit_hash(f"a/{n}", salt) < below]
    return sorted(stems[:count], key=lambda stem: unit_hash(f"a/{stem}", salt))


@pytest.mark.parametrize(("count", "left"), [(1, 0), (2, 0), (3, 1), (5, 3)])
def test_held_out_leaves_a_class_its_last_two(tmp_path: Path, count: int, left: int) -> None:
    stems = by_hash(count, "held-out", 0.15)
    splits = found(tmp_path, stems, "/train", 0.15, 0.2)
    assert [stem for stem in stems if splits[stem] == HELD_OUT] == stems[:left]
    assert [stem for stem in stems if splits[stem] == TRAIN] == stems[left:]


def test_what_is_tested_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "a/test").mkdir(parents=True)
    (tmp_path / "a/test/x.xyz").write_text(CLOUD)
    [stem] = by_hash(1, "held-out", 0.15)
    assert found(tmp_path, [stem], "/train", 0.15, 0.2) == {stem: TRAIN, "x": TEST}


def test_a_carved_test_split_leaves_a_class_its_last_one(tmp_path: Path) -> None:
    stems = by_hash(3, "test", 0.2)
    assert found(tmp_path / "1", stems[:1], "", 0.15, 0.2) == {stems[0]: TRAIN}
    splits = found(tmp_path / "3", stems, "", 0.15, 0.2)
    assert [splits[stem] for stem in stems] == [TEST, TEST, TRAIN]


@pytest.mark.parametrize("folder", ["", "/train"])
def test_larger_classes_are_split_as_the_hash_says(tmp_path: Path, folder: str) -> None:
    stems = [str(number) for number in range(40)]
    given = "train" if folder else None
    splits = found(tmp_path, stems, folder, 0.15, 0.2)
    assert splits == {stem: split_of(f"a/{stem}", given, 0.2, 0.15) for stem in stems}


def test_new_files_say_held_out_and_old_ones_are_read(tmp_path: Path) -> None:
    write_data(tmp_path)
    views, features = tmp_path / "views.h5", tmp_path / "features.h5"
    for path in (views, features):
        new = read_shapes(path)
        rename(path)
        old = read_shapes(path)
        assert old.splits.tolist() == new.splits.tolist()
        assert old.counts() == new.counts()
        assert len(old.rows(HELD_OUT)) > 0
    assert read_features(features).shapes.counts() == new.counts()
    assert set(read_index(views).splits) == set(SPLITS)
    assert {row.split for row in read_rows(views, range(len(new.splits)))} == set(SPLITS)


def test_an_old_file_is_up_to_date(tmp_path: Path) -> None:
    meshes = write_meshes(tmp_path / "meshes", 8)
    asked = config(meshes, held_out_fraction=0.5)
    assert run(asked)["drawn"] > 0
    rename(tmp_path / "views.h5")
    before = (tmp_path / "views.h5").read_bytes()
    assert run(asked)["drawn"] == 0
    assert (tmp_path / "views.h5").read_bytes() == before
    assert notes(list(render(asked)))[-1].endswith("is up to date")


def test_rows_of_an_old_file_go_into_a_new_one_under_the_new_name(tmp_path: Path) -> None:
    meshes = write_meshes(tmp_path / "meshes", 8)
    asked = config(meshes, held_out_fraction=0.5)
    drawn = run(asked)["drawn"]
    rename(tmp_path / "views.h5")
    next(meshes.rglob("*.off")).unlink()
    result = run(asked)
    assert (result["drawn"], result["kept"]) == (0, drawn - 1)
    with h5py.File(tmp_path / "views.h5") as file:
        assert set(file["split"].asstr()[:]) == set(SPLITS)


@pytest.mark.parametrize("folder", ["val", "held-out"])
def test_a_folder_of_either_name_is_the_held_out_split(tmp_path: Path, folder: str) -> None:
    for split in ("train", folder, "test"):
        place = tmp_path / "bed" / split
        place.mkdir(parents=True)
        (place / f"{split}.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n")
    assert recognise(tmp_path, 0.2, 0.15).counts() == {TRAIN: 1, HELD_OUT: 1, TEST: 1}


def test_the_old_name_stands_in_one_place() -> None:
    core = ROOT / "pointcmt_cli"
    allowed = {core / "splits.py", core / "engine" / "export" / "formats.py"}  # there, torch.fx's
    for path in set(core.rglob("*.py")) - allowed:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Constant) and node.value == "val"), path
