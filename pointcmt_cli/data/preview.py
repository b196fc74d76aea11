"""Contact sheets: a picture of what a data set's views look like. In: a views.h5, or titled views; out: a picture.

One card per class: its name above a strip with some of its shapes, a few views of each.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pointcmt_cli.data.files import atomic
from pointcmt_cli.data.store import read_images, read_index
from pointcmt_cli.errors import DataError

Titled = Sequence[tuple[str, NDArray[np.uint8]]]
VIEWS = 2
"""Of each shape: opposite ones in a rig that goes around."""
PAPER, INK, LINE = 255, 40, 208
MARGIN, GAP, TITLE = 16, 6, 22
"""Pixels around cards, between shapes, and for a card's title."""
ASPECT = 4 / 3
"""Width over height that the grid of cards aims for."""


def contact_sheet(views: Path, picture: Path, shapes: int = 3) -> None:
    """Write a sheet of a views.h5, whole or not at all, in the format of the picture's ending."""
    form = picture_format(picture)
    index = read_index(views)
    labels = np.array(index.labels)
    images = []
    for label, title in enumerate(index.attributes["class_names"]):
        rows = np.flatnonzero(labels == label)
        apart = max(1, len(rows) // shapes)
        for row in rows[::apart][:shapes].tolist():
            images.append((title, _some_views(read_images(views, [row])[0])))
    drawn = sheet(images, shapes)
    with atomic(picture) as temporary:
        drawn.save(temporary, format=form)


def picture_format(picture: Path) -> str:
    """Pillow's name for the format that a file's ending stands for."""
    form = Image.registered_extensions().get(picture.suffix.lower(), "")
    if form not in Image.SAVE:
        raise DataError(
            f"cannot write {picture}: '{picture.suffix}' is no picture format; name it .png"
        )
    return form


def sheet(images: Titled, shapes: int = 3, tile: int = 112) -> Image.Image:
    """The first `shapes` shapes (V, H, W) of each title, with VIEWS of their views as tiles of `tile` pixels."""
    strips: dict[str, list[NDArray[np.uint8]]] = {}
    for title, shape in images:
        strip = strips.setdefault(title, [])
        if len(strip) < shapes:
            strip.append(_some_views(shape))
    if not strips:
        raise DataError("nothing to preview: there are no views")
    longest = max(len(strip) for strip in strips.values())
    width = longest * VIEWS * tile + (longest - 1) * GAP + 2
    height = TITLE + tile + 2
    columns = max(1, round((ASPECT * len(strips) * (height + MARGIN) / (width + MARGIN)) ** 0.5))
    columns = min(columns, len(strips))
    rows = -(-len(strips) // columns)
    size = (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    paper = Image.new("L", size, PAPER)
    for index, (title, strip) in enumerate(strips.items()):
        left = MARGIN + index % columns * (width + MARGIN)
        top = MARGIN + index // columns * (height + MARGIN)
        paper.paste(_card(title, strip, (width, height), tile), (left, top))
    return paper


def _some_views(shape: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """VIEWS evenly spaced ones of (V, H, W); the same one again where there are fewer."""
    return shape[[len(shape) * number // VIEWS for number in range(VIEWS)]]


def _card(
    title: str, strip: Sequence[NDArray[np.uint8]], size: tuple[int, int], tile: int
) -> Image.Image:
    card = Image.new("L", size, PAPER)
    pen = ImageDraw.Draw(card)
    font = ImageFont.load_default(15)
    pen.text((2, 0), _fitted(title, font, size[0] - 4), fill=INK, font=font)
    left = 0
    for views in strip:
        pen.rectangle((left, TITLE, left + len(views) * tile + 1, size[1] - 1), outline=LINE)
        for number, view in enumerate(views):
            small = Image.fromarray(view).resize((tile, tile), Image.Resampling.LANCZOS)
            card.paste(small, (left + 1 + number * tile, TITLE + 1))
        left += len(views) * tile + GAP
    return card


def _fitted(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The title, cut short with dots where it is wider than `width` pixels."""
    short = title
    while short and font.getlength(short if short == title else short + "…") > width:
        short = short[:-1]
    return short if short == title else short + "…"
