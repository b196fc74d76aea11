"""Files that are never half-written, and the hashes by which a file knows what it was made from; stdlib only."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pointcmt_cli.errors import DataError


@contextmanager
def atomic(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; it takes `path`'s place only when the block ends well.

    Without `sync` a power failure, though not a kill, can leave a damaged file: for what can be told and made again.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}{_mend(error)}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(path: Path) -> None:
    """Raise at once where the file `path` could not be written at the end of a long run."""
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; name a file")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        reason = "may not be written in" if folder.is_dir() else "is not a folder"
        raise DataError(f"cannot write {path}: {folder} {reason}; name another folder")


def cannot_write(path: Path, error: OSError) -> Exception:
    """What to raise: a user's error where space or rights are lacking, else the error itself."""
    mend = _mend(error)
    return DataError(f"cannot write {path}: {error.strerror}{mend}") if mend else error


def _mend(error: OSError) -> str:
    """What to do about it, for the end of a line; nothing where that is not known."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "; make room and run the same command again"
    return "; name another folder" if error.errno in (errno.EROFS, errno.EACCES) else ""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def digest(*parts: Any) -> str:
    """sha256 over plain values, in hex."""
    text = json.dumps(plain(parts), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of the file, in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def plain(value: Any) -> Any:
    """Paths as text, tuples as lists, mappings as dicts: what JSON and weights_only can hold."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value
