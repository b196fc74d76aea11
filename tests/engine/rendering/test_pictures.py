"""`render --format png`: MVCNN's layout, pictures that go on after a kill, and a folder that nothing leaves."""

import errno
import io
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data.folders import sources
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.pictures.written import Pictures, encode, safe
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, StaleError, UsageError
from pointcmt_cli.files import cannot_write
from toy_meshes import CLASSES, config, notes, run, write_mesh, write_meshes


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return write_meshes(tmp_path / "meshes", 4)


def png(meshes: Path, **changes: object) -> RenderConfig:
    return config(meshes, format="png", out=meshes.parent / "images", **changes)


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def test_the_layout_is_mvcnns_and_the_pixels_are_those_of_views(meshes: Path) -> None:
    result = run(png(meshes))
    images = meshes.parent / "images"
    assert sorted(path.name for path in images.iterdir()) == [*CLASSES, "views.json"]
    run(config(meshes))
    with h5py.File(meshes.parent / "views.h5") as file:
        names, splits = (file[key].asstr()[:] for key in ("name", "split"))
        views = file["views"][:]
    paths = set()
    for name, split, shape in zip(names, splits, views, strict=True):
        folder, stem = name.split("/")
        for number, view in enumerate(shape, start=1):
            path = images / folder / split / f"{stem}_{number:03d}.png"
            np.testing.assert_array_equal(opened(path), view)
            paths.add(str(path.relative_to(images)))
    assert paths == set(content(images))
    assert (result["drawn"], result["views"]) == (12, 12)


def test_workers_change_no_byte_and_the_same_line_is_up_to_date(meshes: Path) -> None:
    images = meshes.parent / "images"
    run(png(meshes, workers=2))
    first = content(images)
    records = list(render(png(meshes)))
    assert f"{images} is up to date" in notes(records)
    assert content(images) == first
    images.rename(meshes.parent / "others")
    run(png(meshes))
    assert content(images) == first
    assert {path.name for path in meshes.parent.iterdir()} == {"meshes", "images", "others"}


def test_it_goes_on_where_it_stopped(meshes: Path) -> None:
    images = meshes.parent / "images"
    run(png(meshes))
    first = content(images)
    (images / "chair/train/chair_0000_007.png").unlink()
    half = images / "lamp/train/lamp_0001_012.png"
    half.write_bytes(half.read_bytes()[:20])
    write_mesh(meshes / "table/train/table_0001.off", 77)
    records = list(render(png(meshes)))
    assert "9 shapes are drawn already, 3 to go" in notes(records)
    changed = {name for name, data in content(images).items() if data != first.get(name)}
    assert changed == {f"table/train/table_0001_{view:03d}.png" for view in range(1, 13)}


def test_other_settings_are_named_and_force_leaves_no_view_too_many(meshes: Path) -> None:
    images = meshes.parent / "images"
    run(png(meshes))
    with pytest.raises(
        StaleError, match=r"images was made with rig mvcnn12, now orthogonal6: --force"
    ):
        run(png(meshes, rig="orthogonal6"))
    assert run(png(meshes, rig="orthogonal6", force=True))["drawn"] == 12
    assert len(content(images)) == 12 * 6


def test_colour(meshes: Path) -> None:
    run(png(meshes, color=True, renderer="toy_renderers:painted"))
    path = meshes.parent / "images/chair/train/chair_0000_001.png"
    image = opened(path)
    assert image.shape == (32, 32, 3)
    assert {tuple(each) for each in image.reshape(-1, 3)} == {(255, 0, 0), (255,) * 3}


def test_only_some_and_a_sheet_of_them(meshes: Path) -> None:
    sheet = meshes.parent / "sheet.png"
    run(png(meshes, only=("lamp/*",), preview=sheet))
    assert {name.split("/")[0] for name in content(meshes.parent / "images")} == {"lamp"}
    assert opened(sheet).shape[1] > 2 * 4 * 224  # four whole shapes, two across
    result = run(png(meshes, preview=sheet))
    assert (result["drawn"], result["kept"]) == (8, 4)


def test_what_is_left_from_elsewhere_is_said(meshes: Path) -> None:
    run(png(meshes))
    (meshes / "chair/train/chair_0001.off").unlink()
    records = list(render(png(meshes)))
    assert any(
        "12 pictures in" in text and "chair_0001_001.png first: they stay" in text
        for text in notes(records)
    )


def test_no_other_folder_is_written_into_unasked(meshes: Path) -> None:
    images = meshes.parent / "images"
    images.mkdir()
    (images / "mine.txt").write_text("mine")
    with pytest.raises(
        DataError, match=r"images holds other files, .*; --force writes there anyway"
    ):
        run(png(meshes))
    (images / "views.json").write_text("{}")
    with pytest.raises(DataError, match=r"views\.json is another program's file; --force"):
        run(png(meshes))
    (images / "views.json").write_text("{")
    with pytest.raises(DataError, match=r"views\.json is damaged"):
        run(png(meshes))
    assert run(png(meshes, force=True))["drawn"] == 12
    assert (images / "mine.txt").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may look into any folder")
def test_a_folder_of_someone_else(meshes: Path) -> None:
    run(png(meshes))
    closed = meshes.parent / "images/chair/train"
    closed.chmod(0)
    try:
        with pytest.raises(
            DataError,
            match=r"cannot write .*chair_0000_001\.png: Permission denied; name another folder$",
        ):
            run(png(meshes))
    finally:
        closed.chmod(0o755)


def test_what_helps_is_said_wherever_it_was_to_be_written(tmp_path: Path) -> None:
    for number, mend in ((errno.EROFS, "name another folder"), (errno.ENOSPC, "make room and run")):
        raised = cannot_write(tmp_path, OSError(number, os.strerror(number)))
        assert re.search(rf"cannot write .*{os.strerror(number)}; {mend}", str(raised))
    other = OSError(errno.EIO, os.strerror(errno.EIO))
    assert cannot_write(tmp_path, other) is other


def test_the_folder_one_stands_in(meshes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (meshes.parent / "here").mkdir()
    monkeypatch.chdir(meshes.parent / "here")
    run(config(meshes, format="png", out=Path(".")))
    assert len(content(Path("."))) == 144


def test_one_class_is_enough_for_pictures(meshes: Path) -> None:
    for name in CLASSES[1:]:
        shutil.rmtree(meshes / name)
    assert run(png(meshes))["drawn"] == 4
    look = {"only": (f"{CLASSES[0]}_0000",), "preview": meshes.parent / "look.png"}
    assert run(config(meshes, **look))["drawn"] == 1
    message = (
        rf"only one class \({CLASSES[0]}\); a classifier needs at least two .*--format png makes"
    )
    with pytest.raises(DataError, match=message):
        run(config(meshes))


def test_a_flat_folder_becomes_pictures_or_is_looked_at(meshes: Path) -> None:
    flat = meshes / "chair/train"
    assert run(config(flat, format="png", out=meshes.parent / "images"))["drawn"] == 3
    look = {"only": ("chair_0000",), "preview": meshes.parent / "look.png"}
    assert run(config(flat, **look))["drawn"] == 1
    with pytest.raises(DataError, match="its 3 meshes lie in no class folder; put them into one"):
        run(config(flat))


def test_what_pictures_have_no_place_for_is_refused(meshes: Path) -> None:
    with pytest.raises(UsageError, match="--points and --format png: pictures hold no points"):
        run(png(meshes, points=2048))
    with pytest.raises(UsageError, match="600 views of 2048 x 2048 pixels are too much for one"):
        run(png(meshes, rig="sphere:600", image_size=2048))


def test_a_folder_is_needed(meshes: Path) -> None:
    with pytest.raises(UsageError, match="--format png needs a folder for the pictures: --out DIR"):
        run(replace(png(meshes), out=None))
    (meshes.parent / "images").write_text("a file")
    with pytest.raises(UsageError, match="images is a file; --format png needs a folder"):
        run(png(meshes))
    (meshes.parent / "views.h5").mkdir()
    with pytest.raises(UsageError, match=r"views\.h5 is a folder; the views go into a file"):
        run(config(meshes))


@pytest.mark.parametrize(
    "name", ["../../up", "..", ".", "/etc", "a\\b", "a:b", ".hidden", "a%2Fb", "é ü"]
)
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    item = Item(f"{name}/{name.rpartition('/')[2]}", 0, "train", "mesh", tmp_path)
    pictures = Pictures(tmp_path / "images", "settings")
    pictures.save(item, np.zeros((2, 4, 4), np.uint8), "hash")
    [first, second] = sorted((tmp_path / "images").rglob("*"), key=str)[-2:]
    assert first.relative_to(tmp_path / "images").parts[1] == "train"
    assert (first.name[-8:], second.name[-8:]) == ("_001.png", "_002.png")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert pictures.holds(item, "hash", 2)
    assert not pictures.holds(item, "other", 2)


def test_safe_names_differ_where_names_differ() -> None:
    names = ["a/b", "a%2Fb", "a\\b", ".a", "%2Ea", "a", "A", "a b", "a:b", "ü"]
    assert len({safe(name) for name in names}) == len(names)
    assert [safe(name) for name in ("night_stand", "tv stand-2.1", "ü")] == [
        "night_stand",
        "tv stand-2.1",
        "ü",
    ]


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 64), (5, 7, 3), (64, 64, 3)])
def test_any_reader_reads_our_png(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data = encode(image, b"pointcmt\0text")
    Image.open(io.BytesIO(data)).verify()
    again = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(np.asarray(again), image)
    assert again.text == {"pointcmt": "text"}  # type: ignore[attr-defined]


def test_the_command_says_what_there_is(meshes: Path) -> None:
    from render_command import command, environment

    out = str(meshes.parent / "images")
    line = command(meshes, "--format", "png", "--out", out, "--workers", "1")
    refused = subprocess.run(line, env=environment(), capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--points and --format png: pictures hold no points" in refused.stderr
    del line[line.index("--points") : line.index("--points") + 2]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "12 views a shape; 12 drawn, 0 kept" in done.stdout
    assert "train-teacher" not in done.stdout


def test_a_source_of_pictures_alone_is_told_what_is_missing(meshes: Path) -> None:
    run(png(meshes))
    message = r"it holds pictures \(chair/.*\.png\), and a student needs points: name the folder of"
    with pytest.raises(DataError, match=message):
        sources.recognise(meshes.parent / "images", 0.2, 0.15)
