"""`render` of shapes that nobody has labelled: where they lie, what they are called, and what stays as it was."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pointcmt_cli.data.folders.sources import recognise
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, StaleError, UsageError
from pointcmt_cli.splits import NO_LABEL, UNLABELLED
from toy_meshes import CLASSES, config, notes, run, write_mesh, write_meshes

PILE = ("b.off", "deep/er/a.off", "deep/a.off")
NAMES = ["unlabelled/b", "unlabelled/deep/a", "unlabelled/deep/er/a"]


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """12 small meshes of 3 classes."""
    return write_meshes(tmp_path / "meshes", 4)


def write_pile(folder: Path, names: tuple[str, ...] = PILE) -> Path:
    for number, name in enumerate(names):
        write_mesh(folder / name, 500 + number)
    return folder


def in_file(path: Path) -> list[str]:
    """Names of the unlabelled rows, which are checked to be nothing but that."""
    shapes = read_shapes(path)
    rows = shapes.rows(UNLABELLED)
    assert (shapes.labels[rows] == NO_LABEL).all()
    assert (shapes.labels == NO_LABEL).sum() == len(rows)
    assert rows.tolist() == list(range(len(shapes.names) - len(rows), len(shapes.names)))
    return [shapes.names[row] for row in rows]


@pytest.mark.parametrize("folder", ["unlabelled", "Unlabeled", "beside"])
def test_they_go_in_behind_the_others(meshes: Path, folder: str) -> None:
    out = meshes.parent / "views.h5"
    run(config(meshes))
    before = read_shapes(out)
    beside = folder == "beside"
    pile = write_pile((meshes.parent if beside else meshes) / folder)
    asked = config(meshes, unlabelled=pile if beside else None)
    *records, last = render(asked)
    result = last.values  # type: ignore[union-attr]
    assert "3 classes, 15 meshes (" in notes(records)[0]
    assert notes(records)[0].endswith("3 test, 3 unlabelled)")
    assert (result["drawn"], result["kept"]) == (3, 12)
    assert (result["counts"]["unlabelled"], result["classes_in"]["unlabelled"]) == (3, 0)
    assert result["classes"] == list(CLASSES)
    assert in_file(out) == NAMES
    after = read_shapes(out)
    np.testing.assert_array_equal(after.points[:12], before.points)
    assert after.splits[:12].tolist() == before.splits.tolist()
    assert run(asked)["drawn"] == 0
    assert notes(render(asked))[-1].endswith("views.h5 is up to date")
    written = out.read_bytes()
    run(config(meshes, unlabelled=asked.unlabelled, force=True, workers=2))
    assert out.read_bytes() == written


def test_both_places_and_the_same_place_twice(meshes: Path) -> None:
    write_pile(meshes / "unlabelled")
    beside = write_pile(meshes.parent / "more", ("c.off",))
    run(config(meshes, unlabelled=beside))
    assert in_file(meshes.parent / "views.h5") == [*NAMES, "unlabelled/c"]
    same = recognise(meshes, 0.2, 0.15, unlabelled=meshes / "unlabelled")
    assert same.items == recognise(meshes, 0.2, 0.15).items
    write_mesh(beside / "b.off", 600)
    with pytest.raises(
        DataError, match=r"two shapes are named unlabelled/b: unlabelled.b\.off and .*more"
    ):
        run(config(meshes, unlabelled=beside))


def test_one_that_changes_is_drawn_again_and_one_that_goes_is_said(meshes: Path) -> None:
    pile = write_pile(meshes / "unlabelled")
    out = meshes.parent / "views.h5"
    run(config(meshes))
    write_mesh(pile / "deep/a.off", 900)
    (pile / "b.off").unlink()
    *records, last = render(config(meshes))
    assert (last.values["drawn"], last.values["kept"]) == (1, 13)  # type: ignore[union-attr]
    assert f"1 shapes of {out} are no longer in {meshes}: they will be removed" in notes(records)
    assert in_file(out) == NAMES[1:]


def test_a_pile_beside_is_not_lost_because_it_is_not_typed_again(meshes: Path) -> None:
    pile = write_pile(meshes.parent / "pile")
    run(config(meshes, unlabelled=pile))
    with pytest.raises(StaleError, match="was made with unlabelled pile, now None: --force"):
        run(config(meshes))
    other = write_pile(meshes.parent / "other")
    with pytest.raises(StaleError, match="unlabelled pile, now other"):
        run(config(meshes, unlabelled=other))
    assert run(config(meshes, force=True))["drawn"] == 12


def test_files_without_any_are_as_before(meshes: Path) -> None:
    run(config(meshes))
    with h5py.File(meshes.parent / "views.h5") as file:
        assert UNLABELLED not in file.attrs
        assert set(file["split"].asstr()[:]) <= {"train", "held-out", "test"}


def test_only_and_previews(meshes: Path) -> None:
    write_pile(meshes / "unlabelled")
    sheet, look = meshes.parent / "sheet.png", meshes.parent / "look.png"
    run(config(meshes, preview=sheet))
    with Image.open(sheet) as image:
        four = image.size
    run(config(meshes, only=("unlabelled/deep/a",), preview=look))
    assert look.exists()
    assert run(config(meshes, only=("unlabelled/deep/*",)))["drawn"] == 2
    assert in_file(meshes.parent / "views.h5") == NAMES
    for path in (meshes / "unlabelled").rglob("*.off"):
        path.unlink()
    run(config(meshes, preview=sheet))
    with Image.open(sheet) as image:
        assert image.size != four  # a card for each class and one for the others


def test_pictures_and_back_again(meshes: Path) -> None:
    write_pile(meshes / "unlabelled")
    images = meshes.parent / "images"
    asked = config(meshes, format="png", out=images, preview=meshes.parent / "sheet.png")
    assert run(asked)["counts"]["unlabelled"] == 3
    assert len(list(images.glob("unlabelled/deep/er/a_0??.png"))) == 12
    assert (images / "unlabelled/b_001.png").exists()
    assert run(asked)["drawn"] == 0
    given = {"views_from": images, "renderer": None, "image_size": None}
    *records, last = render(config(meshes, **given))
    assert not any("match no shape" in note for note in notes(records))
    assert last.values["failures"] == []  # type: ignore[union-attr]
    assert in_file(meshes.parent / "views.h5") == NAMES
    beside = write_pile(meshes.parent / "more", ("c.off",))
    result = run(config(meshes, format="png", out=images, unlabelled=beside))
    assert (result["drawn"], result["kept"]) == (1, 15)
    (beside / "c.off").rename(beside / "d.off")
    *records, _ = render(config(meshes, format="png", out=images, unlabelled=beside))
    assert f"12 pictures in {images} are of no shape here, unlabelled/c_001.png" in "".join(
        notes(records)
    )


def test_a_benchmark_takes_a_pile(tmp_path: Path) -> None:
    root = tmp_path / "modelnet40_ply_hdf5_2048"
    root.mkdir()
    (root / "shape_names.txt").write_text("chair\nlamp\n")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"] = rng.normal(size=(6, 32, 3)).astype(np.float32)
            file["label"] = np.array([0, 1] * 3)[:, None]
    (tmp_path / "pile/x").mkdir(parents=True)
    np.save(tmp_path / "pile/x/cloud.npy", rng.normal(size=(32, 3)))
    (root / "unlabelled").mkdir()
    (root / "unlabelled/cloud.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    run(config(root, unlabelled=tmp_path / "pile"))
    assert in_file(tmp_path / "views.h5") == ["unlabelled/cloud", "unlabelled/x/cloud"]
    with pytest.raises(DataError, match=r": holds .*2048, whose shapes are in .* already"):
        run(config(root, unlabelled=tmp_path))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.xyz"],
            r"pile: its shapes without a class are point clouds \(1\.xyz first\), those of .* are meshes: one",
        ),
        (["1.off", "2.npy"], r"pile: holds 1 meshes \(e\.g\. 1\.off\) and 1 point clouds"),
        (["1.off", "1.obj"], r"two shapes are named unlabelled/1"),
        (
            ["1.jpg"],
            r"--unlabelled .*pile: no shapes found; .*left out files with other endings: 1 \.jpg",
        ),
        ([], r"--unlabelled .*pile: no shapes found; .*pile"),
    ],
)
def test_piles_that_are_refused(meshes: Path, names: list[str], message: str) -> None:
    pile = meshes.parent / "pile"
    pile.mkdir()
    for name in names:
        (pile / name).write_text("0 0 0\n")
    with pytest.raises(DataError, match=message) as caught:
        run(config(meshes, unlabelled=pile))
    assert "\n" not in str(caught.value)


def test_places_that_are_refused(meshes: Path) -> None:
    for unlabelled, message in (
        (meshes / "no", "no such folder"),
        (meshes / "chair/x", "is a file"),
    ):
        if message == "is a file":
            unlabelled.write_text("")
        with pytest.raises(UsageError, match=f"--unlabelled .*: {message}"):
            run(config(meshes, unlabelled=unlabelled))
    for inside in (meshes, meshes.parent, meshes / "chair"):
        with pytest.raises(DataError, match=r"holds .*chair.test, whose shapes are in .* already"):
            run(config(meshes, unlabelled=inside))
    write_pile(meshes.parent / "alone/unlabelled")
    with pytest.raises(DataError, match="no shapes found; it holds unlabelled ones alone"):
        run(config(meshes.parent / "alone"))
    write_mesh(meshes.parent / "splits/train/a/1.off", 1)
    write_mesh(meshes.parent / "splits/train/unlabelled/1.off", 1)
    with pytest.raises(DataError, match=r"train.unlabelled: .* belong into no split; move them to"):
        run(config(meshes.parent / "splits"))


def test_an_empty_folder_is_said_and_text_beside_meshes_is_no_cloud(meshes: Path) -> None:
    (meshes / "unlabelled").mkdir()
    *_, note = (each for each in notes(render(config(meshes))) if "left out" in each)
    assert note == "left out folders without shapes: unlabelled"
    pile = write_pile(meshes.parent / "pile")
    (pile / "deep/LICENSE.txt").write_text("free\n")
    source = recognise(meshes, 0.2, 0.15, unlabelled=pile)
    assert source.counts()[UNLABELLED] == 3
    assert f"{pile}: left out files with other endings: 1 .txt" in source.notes


def test_links_that_go_round_end(meshes: Path) -> None:
    pile = write_pile(meshes / "unlabelled")
    (pile / "deep/loop").symlink_to(pile)
    (pile / "itself").symlink_to(pile / "itself")
    (pile / "linked").symlink_to(write_pile(meshes.parent / "elsewhere", ("z.off",)))
    (meshes.parent / "elsewhere/back").symlink_to(pile / "deep")
    names = [item.name for item in recognise(meshes, 0.2, 0.15).items if item.label == NO_LABEL]
    assert names == [*NAMES, "unlabelled/linked/z"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may list every folder")
@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_below_that_cannot_be_listed_is_left_out(meshes: Path, mode: int) -> None:
    pile = write_pile(meshes / "unlabelled")
    (pile / "deep/er").chmod(mode)
    try:
        source = recognise(meshes, 0.2, 0.15)
    finally:
        (pile / "deep/er").chmod(0o755)
    assert source.counts()[UNLABELLED] == 2
    assert "left out a folder: " in source.notes[0]
    assert "Permission denied" in source.notes[0]
