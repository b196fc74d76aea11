"""A tree of pictures as views, for whoever rendered elsewhere. In: a folder and a source's items; out: whose is which.

CLASS/SPLIT/NAME_VVV.png, SPLIT/CLASS/NAME_VVV.png or CLASS/NAME_VVV.png, or .jpg; also MVCNN's NAME.obj.shaded_vVVV.png
(the public shaded images), and NAME.png where a shape has one picture; of shapes without a class unlabelled/REL/PATH/
NAME_VVV.png. The source says what is in which split.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.folders.sources import Item, Source
from pointcmt_cli.data.folders.trees import class_folders, has_no_class, listed, subfolders
from pointcmt_cli.data.folders.unlabelled import walked
from pointcmt_cli.data.pictures.written import safe, safe_path
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import DataError
from pointcmt_cli.splits import NO_LABEL
from pointcmt_cli.wording import one_line

ENDINGS = (".png", ".jpg", ".jpeg")
NUMBERED = re.compile(r"(.+?)(?:\.(?:off|obj|ply|stl|glb))?(?:\.shaded)?_v?([0-9]+)")
LARGEST = 8192
"""Pixels to a side of a picture that can be meant."""
EXPECTED = "CLASS/SPLIT/NAME_001.png, SPLIT/CLASS/NAME_001.png or CLASS/NAME_001.png (or .jpg)"


@dataclass(frozen=True)
class PictureTree:
    """A folder of pictures, matched with the shapes of a source."""

    items: list[Item]
    """All of the source, each with its pictures in the order of their numbers, or with none."""
    views: int
    """Pictures that most shapes have."""
    size: int
    """Pixels to a side of the first one."""
    strangers: list[Path]
    """Pictures of no shape in the source."""


def match(root: Path, source: Source) -> PictureTree:
    """Find out which pictures are whose; nothing but the first one is opened."""
    found, strangers = _found(root, source)
    items = [replace(item, pictures=_chosen(root, item, found[item.name])) for item in source.items]
    counts = Counter(len(item.pictures or ()) for item in items)
    del counts[0]
    if not counts:
        raise DataError(
            f"{root}: holds no pictures of the shapes of {source.root}; expected {EXPECTED} with "
            f"its names, {source.items[0].name} first"
        )
    views = max(counts, key=lambda count: (counts[count], count))
    first = next(item.pictures[0] for item in items if item.pictures)
    with _opened(first) as image:
        return PictureTree(items, views, max(image.size), strangers)


def reader(item: Item, color: bool, resize: bool) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """In a renderer's place: the pictures of one item; `resize` makes those of another size fit."""

    def read(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        pictures = item.pictures or ()
        if len(pictures) != cameras.views:
            count = len(pictures) or "no"
            raise DataError(f"{item.path}: {count} pictures of it, {cameras.views} of most shapes")
        return np.stack([pixels(path, cameras.size, color, resize) for path in pictures])

    return read


def pixels(path: Path, size: int, color: bool, resize: bool) -> NDArray[np.uint8]:
    """One picture as (size, size) gray or (size, size, 3) RGB, what is transparent in it white."""
    with _opened(path) as image:
        return _view(image, path, size, color, resize)


def _view(
    image: Image.Image, path: Path, size: int, color: bool, resize: bool
) -> NDArray[np.uint8]:
    width, height = image.size
    if width != height:
        raise DataError(f"{path}: {width} x {height} pixels; a view is square")
    if width != size and not resize:
        raise DataError(
            f"{path}: {width} pixels, the first picture has {size}; --image-size fits all"
        )
    try:
        flat = _opaque(image).convert("RGB" if color else "L")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: is damaged ({one_line(error)})") from error
    if width != size:
        flat = flat.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(flat)


def joined_hash(source_hash: str, pictures: Sequence[Path] | None) -> str:
    """sha256 (hex) of a shape's own hash and of its pictures' bytes; its own where it has none."""
    if pictures is None:
        return source_hash
    whole = hashlib.sha256(source_hash.encode())
    for path in pictures:
        try:
            whole.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return whole.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        image = Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a picture, or damaged") from error
    with image:
        if max(image.size) > LARGEST:
            raise DataError(f"{path}: too large: {image.width} x {image.height} pixels")
        yield image


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits
        return Image.fromarray(np.round(np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear)


def _found(
    root: Path, source: Source
) -> tuple[dict[str, dict[str | None, dict[int, Path]]], list[Path]]:
    """Pictures by shape, split and number; and those of no shape."""
    if not root.is_dir():
        raise DataError(
            f"--views-from {root}: {'is a file' if root.exists() else 'no such folder'}"
        )
    names = {}
    for item in source.items:
        folder, _, stem = item.name.rpartition("/")
        names[(safe_path if item.label == NO_LABEL else safe)(folder), safe(stem)] = item.name
        names[folder, stem] = item.name
    found: dict[str, dict[str | None, dict[int, Path]]] = defaultdict(lambda: defaultdict(dict))
    strangers = []
    for folder, split, path in _pictures(root):
        stem, number = _numbered(path.stem, folder, names)
        name = names.get((folder, stem))
        if name is None:
            strangers.append(path)
            continue
        other = found[name][split].setdefault(number, path)
        if other is not path:
            raise DataError(
                f"{root}: {other.name} and {path.name} in {path.parent} are the same view"
            )
    return found, strangers


def _pictures(root: Path) -> Iterator[tuple[str, str | None, Path]]:
    """Every picture with the name of its shape's folder and its split."""
    for name, split, place in class_folders(root):
        for path in listed(place):
            if path.suffix.lower() in ENDINGS:
                yield name, split, path
    for pile in filter(has_no_class, subfolders(root)):
        for name, path in walked(pile, [], set()):
            if path.suffix.lower() in ENDINGS:
                yield name, None, path


def _numbered(stem: str, folder: str, names: dict[tuple[str, str], str]) -> tuple[str, int]:
    if (folder, stem) in names:
        return stem, 0
    matched = NUMBERED.fullmatch(stem)
    return (matched[1], int(matched[2])) if matched else (stem, 0)


def _chosen(
    root: Path, item: Item, by_split: dict[str | None, dict[int, Path]]
) -> tuple[Path, ...]:
    """Those of the item's own split, else of the only one there is."""
    if len(by_split) > 1 and item.split not in by_split:
        places = " and ".join(str(split or "its class folder") for split in by_split)
        raise DataError(f"{root}: pictures of {item.name} ({item.split}) lie in {places}")
    numbered = by_split[item.split] if item.split in by_split else next(iter(by_split.values()), {})
    return tuple(path for _, path in sorted(numbered.items()))
