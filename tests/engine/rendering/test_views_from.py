"""`render --views-from`: pictures that were rendered elsewhere become views of the shapes they are named after."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data.pictures.given import pixels
from pointcmt_cli.data.store.views import read_images, read_shapes
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, StaleError, UsageError
from toy_meshes import CLASSES, config, notes, run, write_meshes


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return write_meshes(tmp_path / "meshes", 4)


def imported(meshes: Path, folder: str = "images", **changes: object) -> RenderConfig:
    out = meshes.parent / "imported.h5"
    plain = {"renderer": None, "image_size": None, "out": out, **changes}
    return config(meshes, views_from=meshes.parent / folder, **plain)


def write_pictures(
    root: Path, place: Callable[[str, int, int], str], views: int = 3, size: int = 20
) -> np.ndarray:
    """Noise for every shape of `write_meshes`; (S, V, H, W) in the order of the source."""
    images = np.random.default_rng(0).integers(0, 256, (12, views, size, size)).astype(np.uint8)
    for row, shape in enumerate(images):
        for view, image in enumerate(shape, start=1):
            index = (3, 0, 1, 2)[row % 4]  # test comes before train
            path = root / place(CLASSES[row // 4], index, view)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return images


def by_class(name: str, index: int, view: int) -> str:
    return f"{name}/{name}_{index:04d}_{view:03d}.png"


@pytest.mark.parametrize("color", [False, True])
def test_a_round_trip_gives_the_same_bytes(meshes: Path, color: bool) -> None:
    drawn = {"color": color, "renderer": "toy_renderers:painted"}
    run(config(meshes, **drawn))
    run(config(meshes, **drawn, format="png", out=meshes.parent / "images"))
    result = run(imported(meshes, color=color, workers=2))
    assert result["failures"] == []
    first, second = (meshes.parent / name for name in ("views.h5", "imported.h5"))
    np.testing.assert_array_equal(read_images(first, range(12)), read_images(second, range(12)))
    np.testing.assert_array_equal(read_shapes(first).points, read_shapes(second).points)
    assert read_shapes(first).names == read_shapes(second).names
    about = read_shapes(second).attributes
    assert (about["renderer"], about["image_size"], about["color"]) == ("images", 32, color)
    assert "rig" not in about
    assert "field_of_view" not in about
    with h5py.File(second) as file:
        assert "camera_poses" not in file
    assert run(imported(meshes, color=color))["kept"] == 12


@pytest.mark.parametrize(
    "place",
    [
        by_class,
        lambda name, index, view: f"{name}/{'test' if index == 3 else 'train'}/{name}_{index:04d}_{view}.png",
        lambda name, index, view: f"{'test' if index == 3 else 'train'}/{name}/{name}_{index:04d}_{view:03d}.png",
        lambda name, index, view: f"{name}/train/{name}_{index:04d}.obj.shaded_v{view:03d}.png",
        lambda name, index, view: f"{name}/train/{name}_{index:04d}_{9 + view:03d}.PNG",
    ],
)  # fmt: skip
def test_the_trees_that_people_have(meshes: Path, place: Callable[[str, int, int], str]) -> None:
    images = write_pictures(meshes.parent / "images", place)
    result = run(imported(meshes))
    assert (result["failures"], result["views"]) == ([], 3)
    np.testing.assert_array_equal(read_images(meshes.parent / "imported.h5", range(12)), images)
    splits = read_shapes(meshes.parent / "imported.h5").splits.tolist()
    assert splits.count("test") == 3  # the source's, whatever the pictures' folders say


def test_one_picture_a_shape_needs_no_number(meshes: Path) -> None:
    write_pictures(
        meshes.parent / "images", lambda name, index, view: f"{name}/{name}_{index:04d}.png", 1
    )
    assert run(imported(meshes))["views"] == 1


def test_missing_and_odd_ones_are_left_out_and_named(meshes: Path) -> None:
    images = meshes.parent / "images"
    write_pictures(images, by_class)
    for view in (1, 2, 3):
        (images / f"chair/chair_0000_{view:03d}.png").unlink()
    (images / "chair/chair_0001_002.png").unlink()
    Image.new("L", (30, 30)).save(images / "lamp/lamp_0000_002.png")
    Image.new("L", (20, 30)).save(images / "lamp/lamp_0001_002.png")
    (images / "lamp/lamp_0002_002.png").write_bytes(b"no picture")
    whole = (images / "lamp/lamp_0003_002.png").read_bytes()
    (images / "lamp/lamp_0003_002.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(images / "table/table_0000_001.png", images / "table/stool_0000_001.png")
    *records, last = render(imported(meshes))
    failures = {each["name"]: each["reason"] for each in last.values["failures"]}  # type: ignore[union-attr]
    said = {
        "chair/chair_0000": "chair_0000.off: no pictures of it, 3 of most shapes",
        "chair/chair_0001": "chair_0001.off: 2 pictures of it, 3 of most shapes",
        "lamp/lamp_0000": "lamp_0000_002.png: 30 pixels, the first picture has 20; --image-size fits",
        "lamp/lamp_0001": "lamp_0001_002.png: 20 x 30 pixels; a view is square",
        "lamp/lamp_0002": "lamp_0002_002.png: not a picture, or damaged",
        "lamp/lamp_0003": "lamp_0003_002.png: is damaged (",
    }
    assert set(failures) == set(said)
    for name, text in said.items():
        assert text in failures[name]
    stranger = (
        "1 pictures in {} match no shape here (first: table/stool_0000_001.png): they are ignored"
    )
    assert stranger.format(images) in notes(records)
    with pytest.raises(DataError, match=r"chair_0000\.off: no pictures .*\(--strict"):
        run(imported(meshes, strict=True))


def test_pictures_are_made_to_fit_where_a_size_is_given(meshes: Path) -> None:
    images = meshes.parent / "images"
    write_pictures(images, by_class)
    Image.new("L", (40, 40), 77).save(images / "chair/chair_0000_001.png")
    assert run(imported(meshes, image_size=10))["failures"] == []
    views = read_images(meshes.parent / "imported.h5", [1])
    assert views.shape == (1, 3, 10, 10)
    assert (views[0, 0] == 77).all()


def test_a_changed_picture_is_taken_again(meshes: Path) -> None:
    images = meshes.parent / "images"
    write_pictures(images, by_class)
    run(imported(meshes))
    Image.new("L", (20, 20), 77).save(images / "chair/chair_0002_001.png")
    result = run(imported(meshes))
    assert (result["drawn"], result["kept"]) == (1, 11)
    assert (read_images(meshes.parent / "imported.h5", [3])[0, 0] == 77).all()
    with pytest.raises(StaleError, match="renderer images, now toy_renderers:dots"):
        run(config(meshes, out=meshes.parent / "imported.h5"))
    assert run(imported(meshes, only=("chair_0002",)))["drawn"] == 1


def test_what_cannot_be_meant_is_refused(meshes: Path) -> None:
    images = meshes.parent / "images"
    with pytest.raises(DataError, match=r"--views-from .*images: no such folder"):
        run(imported(meshes))
    images.mkdir()
    with pytest.raises(
        DataError, match=r"holds no pictures of the shapes of .*expected CLASS/SPLIT/NAME_001\.png"
    ):
        run(imported(meshes))
    write_pictures(images, by_class)
    for key, value in (
        ("rig", "sphere:3"),
        ("rig", "mvcnn12"),
        ("shading", "depth"),
        ("margin", 0.0),
        ("renderer", "raster"),
        ("format", "png"),
    ):
        with pytest.raises(UsageError, match=f"--{key} and --views-from: those pictures are drawn"):
            run(imported(meshes, **{key: value}))
    Image.new("L", (20, 20)).save(images / "chair/chair_0000_001.jpg")
    with pytest.raises(
        DataError, match=r"chair_0000_001\.jpg and chair_0000_001\.png in .* same view"
    ):
        run(imported(meshes))
    (images / "chair/chair_0000_001.jpg").unlink()
    for split in ("train", "val"):
        (images / "chair" / split).mkdir()
        shutil.copy(images / "chair/chair_0003_001.png", images / "chair" / split)
    for path in images.glob("chair/chair_0003*"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"pictures of chair/chair_0003 \(test\) lie in train and held-out"
    ):
        run(imported(meshes))


def test_every_kind_of_picture_is_read(tmp_path: Path) -> None:
    """What is transparent is white, 16 bits become 8, a palette its colours."""
    path = tmp_path / "one.png"
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[0] = (200, 0, 0, 255)
    clear[1] = (200, 0, 0, 51)
    Image.fromarray(clear).save(path)
    colour = pixels(path, 4, True, False)
    np.testing.assert_array_equal(
        colour[:, 0], [[200, 0, 0], [244, 204, 204], [255] * 3, [255] * 3]
    )
    gray = pixels(path, 4, False, False)
    assert gray[:, 0].tolist() == [60, 216, 255, 255]  # ITU-R 601 luma
    Image.fromarray(np.array([[0, 257 * 9], [257 * 200, 65535]], np.uint16)).save(path)
    assert pixels(path, 2, False, False).tolist() == [[0, 9], [200, 255]]
    Image.fromarray(clear[..., :3]).quantize(4).save(path)
    np.testing.assert_array_equal(pixels(path, 4, True, False)[0, 0], [200, 0, 0])
    Image.new("LA", (4, 4), (100, 0)).save(path)
    assert (pixels(path, 4, False, False) == 255).all()
    Image.new("1", (4, 4), 1).save(path)
    assert (pixels(path, 4, True, False) == 255).all()
    Image.new("CMYK", (8, 8)).save(tmp_path / "one.jpg")
    assert pixels(tmp_path / "one.jpg", 8, True, False).shape == (8, 8, 3)
