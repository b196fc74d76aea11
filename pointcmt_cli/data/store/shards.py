"""Finished shapes on their way into views.h5: each process adds its own to one file; a kill loses what is in flight.

In: a `ViewsRow` and the digest of the settings it was made with; out: the same row, later, perhaps in another process.
A shape is a line of JSON and its bytes. A file for each would cost a tenth of the whole run.
"""

import functools
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from isal.isal_zlib import crc32

from pointcmt_cli.data.store.views import ViewsRow
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import cannot_write

_FORCED = "forced"
"""Marks a folder whose shards were all made by a run with `force`."""

_BODY = ("points", "images")
"""Of a `ViewsRow`, what follows the line of JSON."""


@dataclass(frozen=True)
class FinishedShape:
    """Where a finished shape stands."""

    path: Path
    start: int
    """Of its body, bytes."""
    header: Mapping[str, Any]
    """Its line of JSON."""

    @property
    def source_hash(self) -> str:
        """Of the bytes it was made from."""
        return str(self.header["row"]["source_hash"])

    def row(self) -> ViewsRow | None:
        """The shape; None: it is damaged."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                body = file.read(self.header["bytes"])
        except OSError:
            return None
        if crc32(body) != self.header["check"]:
            return None
        size = self.header["points"]
        points = np.frombuffer(body, "<f4", size // 4).reshape(-1, 3)
        return ViewsRow(**self.header["row"], points=points, images=body[size:])


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
            if not any(self.folder.glob("*.shards")):
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
        """Keep a finished shape, whole or not at all; the points as little-endian float32."""
        body = row.points.astype("<f4", copy=False).tobytes() + row.images
        header = {
            "settings": self.settings,
            "row": {key: value for key, value in vars(row).items() if key not in _BODY},
            "points": row.points.nbytes,
            "bytes": len(body),
            "check": crc32(body),
        }
        path = self.folder / f"{_this_process(os.getpid())}.shards"
        try:
            with path.open("ab", buffering=0) as file:
                _append(file, json.dumps(header).encode() + b"\n" + body)
        except OSError as error:
            raise cannot_write(path, error) from error

    def finished(self) -> dict[str, list[FinishedShape]]:
        """Finished shapes of these settings by name, as far as they are whole; several where one was drawn again."""
        found = defaultdict(list)
        for path in sorted(self.folder.glob("*.shards")):
            for each in read_shards(path):
                if each.header["settings"] == self.settings and each.row() is not None:
                    found[str(each.header["row"]["name"])].append(each)
        return found

    def begin(self, name: str) -> None:
        """Say which shape this process works on now: the first line of its marker, written over the last one."""
        marker = self.folder / f"{_this_process(os.getpid())}.busy"
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


def read_shards(path: Path) -> Iterator[FinishedShape]:
    """Every shape in a file up to the one at which its process was killed; bodies are not looked at."""
    with path.open("rb") as file:
        for line in file:
            try:
                header = json.loads(line)
                each = FinishedShape(path, file.tell(), header)
                file.seek(header["bytes"], os.SEEK_CUR)
            except (ValueError, KeyError, TypeError):
                return
            yield each


def _append(file: Any, data: bytes) -> None:
    """All of it or nothing, on an unbuffered file."""
    end = file.seek(0, os.SEEK_END)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(end)
        raise


@functools.cache
def _this_process(number: int) -> str:
    """A name that no other process has, on this machine or another, before or after."""
    return f"{number}-{uuid4().hex}"
