"""Contact sheets: layout, labels, the file and what may go wrong with it."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointcmt_cli.data.pictures.contact_sheet import contact_sheet, picture_format, sheet
from pointcmt_cli.data.store.views import ViewsRow, write_views
from pointcmt_cli.errors import DataError


def shape(level: int, views: int = 12, size: int = 32) -> np.ndarray:
    return np.full((views, size, size), level, np.uint8)


def test_every_class_has_a_card_with_at_most_the_wanted_shapes() -> None:
    images = [(name, shape(level)) for level, name in enumerate("aaaaabc", start=60)]
    pixels = np.asarray(sheet(images))
    for level in (60, 61, 62, 65, 66):  # two tiles of 112 x 112
        assert (pixels == level).sum() >= 2 * 112 * 112
    for level in (
        63,
        64,
    ):  # the fourth and fifth shape of class a; antialiased text has some such pixels
        assert (pixels == level).sum() < 100


def test_views_are_spread_over_the_rig() -> None:
    views = np.arange(60, 72, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    pixels = np.asarray(sheet([("a", views)]))
    large = {level for level in range(60, 72) if (pixels == level).sum() > 1000}
    assert large == {60, 66}


def test_one_view_and_forty_classes_with_long_names_fit() -> None:
    images = [(f"a very long class name that does not fit {n}" * 3, shape(n, 1)) for n in range(40)]
    picture = sheet(images)
    assert 1.0 < picture.width / picture.height < 2.0
    assert (np.asarray(picture)[:, -10:] == 255).all()


def test_labels_are_drawn() -> None:
    with_label = np.asarray(sheet([("chair", shape(200))]))
    without = np.asarray(sheet([("", shape(200))]))
    assert (with_label < 100).sum() > 20
    assert not (without < 100).any()


def test_colour_among_gray_keeps_its_colour() -> None:
    red = np.zeros((3, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    pixels = np.asarray(sheet([("a", red), ("b", shape(60, 3))]))
    assert (pixels == [200, 0, 0]).all(axis=2).sum() >= 2 * 112 * 112
    assert (pixels == 60).all(axis=2).sum() >= 2 * 112 * 112


@pytest.mark.parametrize(
    ("views", "across", "down"), [(1, 1, 1), (6, 3, 2), (12, 4, 3), (20, 5, 4)]
)
def test_whole_shapes_are_shown_in_rows(views: int, across: int, down: int) -> None:
    levels = np.arange(60, 60 + views, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    picture = sheet([("", levels)], tile=16, whole=True)
    assert picture.size == (2 * 16 + across * 16 + 2, 2 * 16 + 22 + down * 16 + 2)
    pixels = np.asarray(picture)
    for view in range(views):  # the middle of each tile
        row, column = 16 + 22 + 1 + view // across * 16 + 8, 16 + 1 + view % across * 16 + 8
        assert pixels[row, column] == 60 + view


def test_nothing_to_show() -> None:
    with pytest.raises(DataError, match="nothing to preview: there are no views"):
        sheet([])


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a picture format; name it \.png"):
        picture_format(tmp_path / "sheet.xyz")
    with pytest.raises(DataError, match="'' is not a picture format"):
        picture_format(tmp_path / "sheet")


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_sheet_of_a_views_file(tmp_path: Path, ending: str) -> None:
    rows = [
        ViewsRow(
            name=f"{'ab'[label]}/{n}",
            label=label,
            split="train",
            source_hash="",
            content_hash="",
            points=np.zeros((4, 3), np.float32),
            images=zlib.compress(shape(60 + 20 * label + n, 12, 8).tobytes()),
        )
        for label in range(2)
        for n in range(9)
    ]
    attributes = {"class_names": ["a", "b"]}
    write_views(tmp_path / "views.h5", rows, len(rows), (12, 8, 8), 4, attributes)
    picture = tmp_path / f"sheet.{ending}"
    contact_sheet(tmp_path / "views.h5", picture)
    pixels = np.asarray(Image.open(picture))
    if ending == "png":
        large = {level for level in range(60, 90) if (pixels == level).sum() > 20_000}
        assert large == {60, 63, 66, 80, 83, 86}
    assert sorted(path.name for path in tmp_path.iterdir()) == [picture.name, "views.h5"]
