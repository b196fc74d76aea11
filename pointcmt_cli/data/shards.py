"""Finished shapes on their way into views.h5: one atomic file each, so that a kill loses only the shapes in flight.

In: a `ViewsRow` and the digest of the settings it was made with; out: the same row, later, perhaps in another process.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal.isal_zlib import crc32

from pointcmt_cli.data.files import atomic
from pointcmt_cli.data.store import ViewsRow
from pointcmt_cli.errors import DataError

_FORCED = "forced"
"""Marks a folder whose shards were all made by a run with `force`."""

_BODY = ("points", "images")
"""Of a `ViewsRow`, what follows the line of JSON."""


@dataclass(frozen=True)
class Shards:
    """The folder of finished shapes beside an output."""

    folder: Path
    settings: str
    """Digest of all that decides a shape's points and views; shards of another are not seen."""

    @contextmanager
    def opened(self, force: bool) -> Iterator[None]:
        """The folder, there for the block and, while it holds a finished shape, after it."""
        self._prepare(force)
        try:
            yield
        finally:
            if not any(self.folder.glob("*.shard")):
                self.clear()

    def _prepare(self, force: bool) -> None:
        """Make the folder; a forced run starts with an empty one, unless it goes on with itself."""
        forced = self.folder / _FORCED
        try:
            if force and not (forced.exists() and forced.read_text() == self.settings):
                self.clear()
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in (*self.folder.glob(".*.tmp"), *self.folder.glob("*.busy")):
                leftover.unlink()
            if force:
                forced.write_text(self.settings)
            else:
                forced.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot write in {self.folder.parent}: {error.strerror}") from error

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, row: ViewsRow) -> None:
        """Keep a finished shape: a line of JSON, the points as little-endian float32, the compressed images."""
        body = row.points.astype("<f4", copy=False).tobytes() + row.images
        told = {
            "settings": self.settings,
            "row": {key: value for key, value in vars(row).items() if key not in _BODY},
            "points": row.points.nbytes,
            "check": crc32(body),
        }
        with atomic(self._path(row.name), sync=False) as temporary:
            temporary.write_bytes(json.dumps(told).encode() + b"\n" + body)

    def load(self, name: str) -> ViewsRow | None:
        """A finished shape; None: there is none of these settings, or its file is damaged."""
        try:
            line, _, body = self._path(name).read_bytes().partition(b"\n")
            told = json.loads(line)
            if told["settings"] != self.settings or told["check"] != crc32(body):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        points = np.frombuffer(body, "<f4", told["points"] // 4).reshape(-1, 3)
        return ViewsRow(**told["row"], points=points, images=body[told["points"] :])

    def begin(self, name: str) -> None:
        """Say which shape this process works on now: the first line of its marker, written over the last one."""
        marker = self.folder / f"{os.getpid()}.busy"
        try:
            with marker.open("r+" if marker.exists() else "w", encoding="utf-8") as file:
                file.write(f"{name}\n")
        except OSError as error:
            raise DataError(f"cannot write {marker}: {error.strerror}; make room") from error

    def last_begun(self) -> list[str]:
        """The last shape of every process so far, finished or not; asking forgets them."""
        markers = list(self.folder.glob("*.busy"))
        names = sorted(marker.read_text("utf-8").split("\n")[0] for marker in markers)
        for marker in markers:
            marker.unlink()
        return names

    def _path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.shard"
