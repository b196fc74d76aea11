"""HDF5 files written so that a full disk is an error and not a crash. In: a path; out: an open h5py.File.

When a write fails, HDF5 cannot close its file any more and the process ends in a segmentation fault (h5py 3.16, HDF5
2.0). So HDF5 writes through a Python file that keeps the first error, and from then on only pretends to write.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from pointcmt_cli.files import atomic


@contextmanager
def create(path: Path) -> Iterator[Any]:
    """A new HDF5 file that takes the place of `path` when the block ends well; else nothing has happened."""
    with atomic(path) as temporary, temporary.open("w+b", buffering=0) as raw:
        disk = _Disk(raw)
        with h5py.File(disk, "w") as file:
            yield file
        disk.check()


class _Disk(io.RawIOBase):
    """A raw file whose first failed write is kept for `check`; later ones are dropped."""

    def __init__(self, raw: io.FileIO) -> None:
        self.raw = raw
        self.error: OSError | None = None
        self.position = 0
        self.size = 0

    def check(self) -> None:
        """Raise the error of the first write that failed."""
        if self.error:
            raise self.error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = origin + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        self.raw.seek(self.position)
        count = self.raw.readinto(buffer) or 0
        self.position += count
        return count

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        count = len(rest)
        if self.error is None:
            try:
                self.raw.seek(self.position)
                while len(rest):
                    rest = rest[self.raw.write(rest) :]
            except OSError as error:
                self.error = error
        self.position += count
        self.size = max(self.size, self.position)
        return count

    def truncate(self, size: int | None = None) -> int:
        self.size = self.position if size is None else size
        if self.error is None:
            try:
                self.raw.truncate(self.size)
            except OSError as error:
                self.error = error
        return self.size
