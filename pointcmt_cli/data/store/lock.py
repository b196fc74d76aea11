"""One run at a time per output file. In: the output's path; out: a held lock, or an error that names the other run.

The lock belongs to an open file (flock), so it ends with its process however that dies: there are no stale locks. On
a system without flock there is no lock; every write is atomic all the same.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from pointcmt_cli.errors import DataError

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold `.NAME.lock` beside `out`; a second run is refused at once."""
    path = out.with_name(f".{out.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _take(path, out)
    except OSError as error:
        raise DataError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _take(path: Path, out: Path) -> IO[str]:
    """The locked file with this process's number in it; one that its owner has just removed is left alone."""
    while True:
        file = path.open("a+")
        try:
            if _fcntl:
                _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise DataError(
                f"another run (process {owner}) is writing {out}: wait for its end, or give another --out"
            ) from error
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file
        file.close()
