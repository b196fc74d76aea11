"""`render --only`: some shapes drawn anew or looked at, and everything else as it was."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, StaleError, UsageError
from toy_meshes import CLASSES, config, notes, run, write_mesh, write_meshes


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return write_meshes(tmp_path / "meshes", 4)


def views(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return dict(zip(file["name"].asstr()[:], file["views"][:], strict=True))


def size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.mark.parametrize("name", ["lamp/lamp_0002", "lamp_0002", "l*_0002", "lamp/*2"])
def test_one_row_is_drawn_anew_and_the_rest_is_the_same_bytes(meshes: Path, name: str) -> None:
    out = meshes.parent / "views.h5"
    run(config(meshes))
    before, whole = out.read_bytes(), views(out)
    result = run(config(meshes, only=(name,)))
    assert (result["drawn"], result["kept"]) == (1, 11)
    assert out.read_bytes() == before
    write_mesh(meshes / "lamp/train/lamp_0002.off", 999)
    write_mesh(meshes / "chair/train/chair_0000.off", 998)  # not asked for: it stays as it was
    run(config(meshes, only=(name,)))
    changed = [key for key, images in views(out).items() if (images != whole[key]).any()]
    assert changed == ["lamp/lamp_0002"]
    assert run(config(meshes))["drawn"] == 1  # the other one, in its turn
    beside = sorted(path.name for path in meshes.parent.iterdir())
    assert beside == ["meshes", "views.config.json", "views.h5"]


def test_patterns_and_several_names(meshes: Path) -> None:
    run(config(meshes))
    assert run(config(meshes, only=("chair/*", "table_0003")))["drawn"] == 5


def test_a_shape_that_was_left_out_comes_in_at_its_place(meshes: Path) -> None:
    bad = meshes / "lamp/train/lamp_0001.off"
    good = bad.read_text()
    run(config(meshes, out=meshes.parent / "whole.h5"))
    bad.write_text("OFF\n")
    run(config(meshes))
    with pytest.raises(
        DataError, match=r"none of its 1 shapes can be drawn; the first: .*lamp_0001"
    ):
        run(config(meshes, only=("lamp_0001",)))
    bad.write_text(good)
    assert run(config(meshes, only=("lamp_0001",)))["kept"] == 11
    out = meshes.parent / "views.h5"
    assert out.read_bytes() == (meshes.parent / "whole.h5").read_bytes()


def test_shards_of_a_killed_run_are_left_alone(meshes: Path) -> None:
    run(config(meshes))
    (meshes / "table/train/table_0002.off").write_text("OFF\n")
    write_mesh(meshes / "bed/train/bed_0000.off", 5)
    with pytest.raises(DataError, match="--strict"):
        run(config(meshes, strict=True))
    (meshes / "bed/train/bed_0000.off").rename(meshes.parent / "bed.off")
    (meshes / "bed/train").rmdir()
    (meshes / "bed").rmdir()
    write_mesh(meshes / "lamp/train/lamp_0002.off", 999)
    run(config(meshes, only=("lamp_0002",)))
    assert list((meshes.parent / ".views.h5.parts").iterdir())
    assert not (meshes.parent / ".views.h5.only").exists()


def test_what_a_killed_run_with_only_leaves_goes_with_the_next(meshes: Path) -> None:
    left = meshes.parent / ".views.h5.only/0123456789abcdef01234567.shards"
    left.parent.mkdir()
    left.touch()
    run(config(meshes))
    assert not left.parent.exists()


def test_a_look_is_a_picture_and_nothing_else(meshes: Path) -> None:
    picture = meshes.parent / "look.png"
    *records, last = render(config(meshes, only=("lamp_0001",), preview=picture))
    assert last.values["path"] == str(picture)  # type: ignore[union-attr]
    assert last.values["preview_only"]  # type: ignore[union-attr]
    assert "--only: 1 of 12 shapes" in notes(records)
    assert sorted(path.name for path in meshes.parent.iterdir()) == ["look.png", "meshes"]
    assert size(picture) == (2 * 16 + 4 * 224 + 2, 2 * 16 + 22 + 3 * 224 + 2)
    run(config(meshes))
    before = (meshes.parent / "views.h5").read_bytes()
    run(config(meshes, only=("lamp_0001",), preview=picture, rig="orthogonal6"))
    assert (meshes.parent / "views.h5").read_bytes() == before
    assert size(picture)[0] == 2 * 16 + 3 * 224 + 2


def test_without_a_file_it_needs_a_place(meshes: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--only lamp_0001: there is no .*views\.h5 to draw it anew in; --prev"
    ):
        run(config(meshes, only=("lamp_0001",)))
    assert [path.name for path in meshes.parent.iterdir()] == ["meshes"]
    out = meshes.parent / "some.h5"
    result = run(config(meshes, only=("lamp/*",), out=out))
    assert (result["counts"]["test"], result["classes"]) == (1, list(CLASSES))
    assert set(views(out)) == {f"lamp/lamp_{number:04d}" for number in range(4)}
    assert run(config(meshes, out=out))["kept"] == 4  # the same file, made whole


def test_what_is_not_there_is_named_with_its_nearest(meshes: Path) -> None:
    with pytest.raises(
        UsageError, match="--only lamp_001: no such shape; the nearest: lamp/lamp_0001, "
    ):
        run(config(meshes, only=("lamp_001",)))
    with pytest.raises(
        UsageError, match="--only lamp/lamb_0001: no such shape; the nearest: lamp/lamp_0001"
    ):
        run(config(meshes, only=("lamp_0001", "lamp/lamb_0001")))
    with pytest.raises(UsageError, match=r"--only zzz\*: no such shape$"):
        run(config(meshes, only=("zzz*",)))


def test_a_file_of_another_kind_is_not_touched(meshes: Path) -> None:
    run(config(meshes))
    with pytest.raises(StaleError, match="rig mvcnn12, now orthogonal6"):
        run(config(meshes, only=("lamp_0001",), rig="orthogonal6"))
    with pytest.raises(UsageError, match="leave out --force"):
        run(config(meshes, only=("lamp_0001",), force=True))
    gone = meshes / "chair/train/chair_0001.off"
    gone.unlink()
    with pytest.raises(
        StaleError, match=r"is not what .* made from: chair/chair_0001 is no longer there"
    ):
        run(config(meshes, only=("lamp_0001",)))
    write_mesh(gone, 1)
    write_mesh(meshes / "bed/train/bed_0000.off", 5)
    with pytest.raises(StaleError, match=r"it has other classes; leave out --only"):
        run(config(meshes, only=("lamp_0001",)))
