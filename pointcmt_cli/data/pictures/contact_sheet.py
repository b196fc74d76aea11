"""Contact sheets: a picture of what a data set's views look like. In: a views.h5, or titled views; out: a picture.

One card per class: its name above a strip with some of its shapes, a few views of each. Or one card per shape, with
all its views.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pointcmt_cli.data.store.views import read_images, read_index
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import atomic
from pointcmt_cli.splits import NO_LABEL, UNLABELLED

Titled = Sequence[tuple[str, NDArray[np.uint8]]]
SHAPES = 3
"""Of each class."""
VIEWS = 2
"""Of each shape: opposite ones in a rig that goes around."""
TILE = 112
"""Pixels."""
FEW = 4
"""Shapes that are shown larger."""
PAPER, INK, LINE = 255, 40, 208
MARGIN, GAP, TITLE = 16, 6, 22
"""Pixels around cards, between shapes, and for a card's title."""
ASPECT = 4 / 3
"""Width over height that the grid of cards aims for."""


def contact_sheet(views: Path, picture: Path, names: Sequence[str] | None = None) -> None:
    """Write a sheet of a views.h5, whole or not at all, in the format of the picture's ending.

    Some views of some shapes of each class, or all views of the shapes named.
    """
    index = read_index(views)
    if names is None:
        shown = some_rows(index.labels, index.attributes["class_names"])
    else:
        shown = [(name, index.names.index(name)) for name in names if name in index.names]
    images = [(title, read_images(views, [row])[0]) for title, row in shown]
    write(images, picture, whole=names is not None)


def write(images: Titled, picture: Path, whole: bool) -> None:
    """Write the sheet of these shapes; a few whole ones larger."""
    form = picture_format(picture)
    drawn = sheet(images, 2 * TILE if whole and len(images) <= FEW else TILE, whole)
    with atomic(picture) as temporary:
        drawn.save(temporary, format=form)


def picture_format(picture: Path) -> str:
    """Pillow's name for the format that a file's ending stands for."""
    form = Image.registered_extensions().get(picture.suffix.lower(), "")
    if form not in Image.SAVE:
        raise DataError(
            f"cannot write {picture}: '{picture.suffix}' is not a picture format; name it .png"
        )
    return form


def some_rows(labels: Sequence[int], classes: Sequence[str]) -> list[tuple[str, int]]:
    """Class and row number of SHAPES shapes of each class, spread over its rows; the unlabelled come last."""
    found: list[tuple[str, int]] = []
    for label in sorted(set(labels), key=lambda label: (label == NO_LABEL, label)):
        rows = [row for row, each in enumerate(labels) if each == label]
        apart = max(1, len(rows) // SHAPES)
        title = UNLABELLED if label == NO_LABEL else classes[label]
        found += [(title, row) for row in rows[::apart][:SHAPES]]
    return found


def some_views(shape: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """VIEWS evenly spaced ones of (V, H, W[, 3]); the same one again where there are fewer."""
    return shape[[len(shape) * number // VIEWS for number in range(VIEWS)]]


def sheet(images: Titled, tile: int = TILE, whole: bool = False) -> Image.Image:
    """The first SHAPES shapes (V, H, W[, 3]) of each title, with VIEWS of their views as tiles of `tile` pixels.

    `whole`: all views of a shape, in rows.
    """
    strips: dict[str, list[NDArray[np.uint8]]] = {}
    for title, shape in images:
        strip = strips.setdefault(title, [])
        if len(strip) < SHAPES:
            strip.append(shape if whole else some_views(shape))
    if not strips:
        raise DataError("nothing to preview: there are no views")
    longest = max(len(strip) for strip in strips.values())
    across, down = _grid(max(len(shape) for strip in strips.values() for shape in strip))
    width = longest * across * tile + (longest - 1) * GAP + 2
    height = TITLE + down * tile + 2
    columns = max(1, round((ASPECT * len(strips) * (height + MARGIN) / (width + MARGIN)) ** 0.5))
    columns = min(columns, len(strips))
    rows = -(-len(strips) // columns)
    size = (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    colour = any(shape.ndim == 4 for strip in strips.values() for shape in strip)
    paper = Image.new("RGB" if colour else "L", size, _gray(PAPER, colour))
    for index, (title, strip) in enumerate(strips.items()):
        left = MARGIN + index % columns * (width + MARGIN)
        top = MARGIN + index // columns * (height + MARGIN)
        card = Image.new(paper.mode, (width, height), _gray(PAPER, colour))
        _draw_card(card, title, strip, tile)
        paper.paste(card, (left, top))
    return paper


def _grid(views: int) -> tuple[int, int]:
    """Tiles across and down of one shape."""
    across = max(1, round((ASPECT * views) ** 0.5))
    return across, -(-views // across)


def _gray(level: int, colour: bool) -> int | tuple[int, int, int]:
    return (level, level, level) if colour else level


def _draw_card(
    card: Image.Image, title: str, strip: Sequence[NDArray[np.uint8]], tile: int
) -> None:
    """A title above the shapes of one card, each framed."""
    pen = ImageDraw.Draw(card)
    colour = card.mode == "RGB"
    font = ImageFont.load_default(15)
    text = _fitted(title, font, card.width - 4)
    pen.text((2, 0), text, fill=_gray(INK, colour), font=font)
    left = 0
    for views in strip:
        across, down = _grid(len(views))
        frame = (left, TITLE, left + across * tile + 1, TITLE + down * tile + 1)
        pen.rectangle(frame, outline=_gray(LINE, colour))
        for number, view in enumerate(views):
            small = Image.fromarray(view).resize((tile, tile), Image.Resampling.LANCZOS)
            place = (left + 1 + number % across * tile, TITLE + 1 + number // across * tile)
            card.paste(small, place)
        left += across * tile + GAP


def _fitted(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The title, cut short with dots where it is wider than `width` pixels."""
    short = title
    while short and font.getlength(short if short == title else short + "…") > width:
        short = short[:-1]
    return short if short == title else short + "…"
