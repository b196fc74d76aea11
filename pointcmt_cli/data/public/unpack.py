"""Unpack a stranger's .zip or .tar archive. In: an archive and an empty folder; out: its files, inside that folder.

No header is believed. Only plain files and folders come out, under names without `..`, roots, drives, backslashes or
control characters, each once; links, devices and encrypted entries are refused, and so is an archive from which more
bytes or files come than a limit. What macOS and Windows leave behind is passed over.
"""

import errno
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from pointcmt_cli.errors import DataError
from pointcmt_cli.files import cannot_write
from pointcmt_cli.wording import one_line

MOST_FILES = 500_000
"""Entries of an archive; ModelNet40 has 12,311 shapes."""
CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,
)
_LEFT_BEHIND = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


def unpack(archive: Path, folder: Path, largest: int) -> Generator[tuple[int, int]]:
    """Write the files of `archive` below `folder`; yields bytes of the archive's progress and their total.

    `largest` is the number of bytes that may come out. A full disk is an OSError.
    """
    try:
        if zipfile.is_zipfile(archive):
            yield from _unpack_zip(archive, folder, largest)
        else:
            yield from _unpack_tar(archive, folder, largest)
    except _DAMAGED as error:
        raise DataError(f"{archive.name} is damaged, or no archive: {one_line(error)}") from error
    except OSError as error:
        if cannot_write(folder, error) is not error:
            raise
        raise DataError(f"{archive.name} cannot be unpacked: {one_line(error)}") from error


def only_folder(folder: Path) -> Path:
    """Where an archive's data lie: in its only folder, which then also takes the files beside it, or at its top."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    if len(folders) != 1:
        return folder
    for path in folder.iterdir():
        if path != folders[0] and not (folders[0] / path.name).exists():
            path.rename(folders[0] / path.name)
    return folders[0]


def _unpack_zip(archive: Path, folder: Path, largest: int) -> Generator[tuple[int, int]]:
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        total = sum(entry.file_size for entry in entries)
        _check_space(archive, folder, total, largest)
        taker = _Taker(archive, folder, largest)
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(
                    f"{archive.name} is refused: {entry.filename!a} is a link or a device"
                )
            if entry.flag_bits & 1:
                raise DataError(f"{archive.name} is refused: {entry.filename!a} is encrypted")
            path = taker.place(entry.filename, entry.is_dir())
            if path is not None:
                with file.open(entry) as content:
                    yield from ((done, total) for done in taker.write(content, path))


def _unpack_tar(archive: Path, folder: Path, largest: int) -> Generator[tuple[int, int]]:
    total = archive.stat().st_size
    taker = _Taker(archive, folder, largest)
    with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:*") as file:
        for entry in file:
            if not (entry.isreg() or entry.isdir()) or entry.issparse():
                raise DataError(f"{archive.name} is refused: {entry.name!a} is a link or a device")
            path = taker.place(entry.name, entry.isdir())
            content = file.extractfile(entry) if path is not None else None
            if path is not None and content is not None:
                for _ in taker.write(content, path):
                    yield min(packed.tell(), total), total
        rest: IO[bytes] = file.fileobj  # type: ignore[assignment]
        for _ in range(-(-largest // CHUNK)):  # the checksum of gzip, bzip2 and xz comes last
            if not rest.read(CHUNK):
                break


class _Taker:
    """Writes entries under one folder and counts what it has written."""

    def __init__(self, archive: Path, folder: Path, largest: int) -> None:
        self.archive, self.folder, self.largest = archive, folder, largest
        self.entries = self.written = 0

    def place(self, name: str, is_folder: bool) -> Path | None:
        """Where a file goes; None for a folder, and for what nobody wants."""
        self.entries += 1
        if self.entries > MOST_FILES:
            raise self._refused(f"it has more than {MOST_FILES} entries")
        parts = PurePosixPath(name).parts
        if is_folder and not parts:
            return None  # tar's `./`
        odd = "\\" in name or not name.isprintable() or not parts or name.startswith("/")
        if odd or ".." in parts or ":" in name:
            raise self._refused(f"the name {name!a} is not a path inside the archive's folder")
        if any(part in _LEFT_BEHIND or part.startswith("._") for part in parts):
            return None
        path = self.folder.joinpath(*parts)
        if is_folder:
            path.mkdir(parents=True, exist_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, content: IO[bytes], path: Path) -> Iterator[int]:
        """Write one file; yields the bytes written so far, of all files."""
        try:
            file = path.open("xb")
        except FileExistsError as error:
            raise self._refused(f"it holds {path.relative_to(self.folder)} twice") from error
        with file:
            while chunk := content.read(CHUNK):
                self.written += len(chunk)
                if self.written > self.largest:
                    raise self._refused(f"more than {self.largest} bytes come out of it")
                file.write(chunk)
                yield self.written

    def _refused(self, reason: str) -> DataError:
        return DataError(f"{self.archive.name} is refused: {reason}")


def _check_space(archive: Path, folder: Path, total: int, largest: int) -> None:
    """Before the first byte, where an archive says how much will come."""
    if total > largest:
        raise DataError(f"{archive.name} is refused: more than {largest} bytes come out of it")
    free = shutil.disk_usage(folder).free
    if total > free:
        raise OSError(errno.ENOSPC, f"{total} bytes are needed and {free} are free")
