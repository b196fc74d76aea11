"""Views as picture files, for whoever wants only images. In: the views of a shape; out: CLASS/SPLIT/NAME_VVV.png.

MVCNN's layout (jongchyisu/mvcnn_pytorch: tools/ImgDataset.py), views numbered from 001; the shapes without a class as
unlabelled/REL/PATH/NAME_VVV.png. Each file is written whole or
not at all and holds, as PNG text, the hashes of its settings and its shape, so that the same command goes on where it
stopped. views.json in the folder says what all of them were made with, and where the cameras stood.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray
from PIL import Image

from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.store import codec
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import atomic, plain
from pointcmt_cli.splits import FOLDER_OF_SPLIT, UNLABELLED

METADATA = "views.json"
FORMAT = "pointcmt-pictures"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
NUMBERED = "*_[0-9][0-9][0-9].png"
KEYWORD = b"pointcmt\0"
MARK_END = 256
"""Bytes from a file's start within which its mark stands."""
UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|%]|^\.')
"""What some file system does not take in a name, and what would hide a file or leave the folder."""


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures that one run writes."""

    folder: Path
    settings: str
    """Digest of all that decides the pictures of a shape; those of another are drawn again."""

    def save(self, item: Item, images: NDArray[np.uint8], source_hash: str) -> None:
        """Write the views (V, H, W) or (V, H, W, 3) of one shape; more of an earlier rig go."""
        mark = self._mark(source_hash)
        for view, image in enumerate(images, start=1):
            with atomic(self._path(item, view), sync=False) as temporary:
                temporary.write_bytes(encode(image, mark))
        view = len(images) + 1
        while (left := self._path(item, view)).exists():
            left.unlink()
            view += 1

    def holds(self, item: Item, source_hash: str, views: int) -> bool:
        """Whether all pictures of a shape are there, drawn with these settings from these bytes."""
        mark = self._mark(source_hash)
        return all(self._has(self._path(item, view), mark) for view in range(1, views + 1))

    def begun(self, item: Item) -> bool:
        """Whether the first picture of a shape is there."""
        try:
            return self._path(item, 1).exists()
        except OSError:  # in a folder of someone else's: who writes there is told
            return False

    def read(self, item: Item, views: int) -> NDArray[np.uint8]:
        """The pictures (V, H, W) or (V, H, W, 3) of a shape."""
        paths = [self._path(item, view) for view in range(1, views + 1)]
        images = []
        for path in paths:
            with Image.open(path) as image:
                images.append(np.asarray(image))
        return np.stack(images)

    def others(self, items: Sequence[Item], views: int) -> list[Path]:
        """Pictures in the layout's places that belong to none of these shapes."""
        own = {self._path(item, view) for item in items for view in range(1, views + 1)}
        places = (f"*/*/{NUMBERED}", f"{UNLABELLED}/**/{NUMBERED}")
        return sorted({path for place in places for path in self.folder.glob(place)} - own)

    def write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Say what the pictures were made with."""
        text = json.dumps({"format": FORMAT, **plain(metadata)}, indent=1)
        with atomic(self.folder / METADATA) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def read_metadata(self) -> dict[str, Any] | None:
        """What an earlier run has said; None: there was none, and the folder is empty or absent."""
        path = self.folder / METADATA
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.folder.is_dir() and any(
                not each.name.startswith(".") for each in self.folder.iterdir()
            ):
                raise DataError(
                    f"{self.folder} holds other files, which pictures could replace"
                ) from None
            return None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged or another program's file") from error
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise DataError(f"{path} is another program's file")
        return metadata

    def _path(self, item: Item, view: int) -> Path:
        name, stem = item.name.rsplit("/", 1)
        if item.split == UNLABELLED:
            place = self.folder / safe_path(name)
        else:
            place = self.folder / safe(name) / FOLDER_OF_SPLIT[item.split]
        return place / f"{safe(stem)}_{view:03d}.png"

    def _mark(self, source_hash: str) -> bytes:
        return KEYWORD + f"{self.settings[:16]} {source_hash[:32]}".encode()

    @staticmethod
    def _has(path: Path, mark: bytes) -> bool:
        try:
            with path.open("rb") as file:
                return _chunk(b"tEXt", mark) in file.read(MARK_END)
        except OSError:
            return False


def safe(name: str) -> str:
    """A name that stays inside its folder, is one on any file system, and differs where the names differ."""
    return UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def safe_path(name: str) -> str:
    """A name whose slashes are folders, each part `safe`."""
    return "/".join(map(safe, name.split("/")))


def encode(image: NDArray[np.uint8], mark: bytes) -> bytes:
    """A PNG (ISO/IEC 15948) of gray (H, W) or RGB (H, W, 3); a seventh of Pillow's time at its level 1, and smaller.

    No filter: renderings are flat areas on a white ground, which filters make larger.
    """
    height, width = image.shape[:2]
    colour = 2 if image.ndim == 3 else 0
    lines = np.zeros(
        (height, 1 + image[0].size), np.uint8
    )  # each begins with its filter's number, 0
    lines[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tEXt", mark), (b"IDAT", codec.compress(lines)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))
