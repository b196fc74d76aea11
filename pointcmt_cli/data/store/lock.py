"""One run at a time per output file. In: the output's path; out: a held lock, or an error that names the output.

filelock's lock belongs to an open file where the system has such locks, so it ends with its process however that dies:
a lock file that was left behind is not minded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pointcmt_cli.errors import DataError


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold `.NAME.lock` beside `out`; a second run is refused at once."""
    path = out.with_name(f".{out.name}.lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataError(
            f"another run is writing {out}: wait for its end, or give another --out"
        ) from error
    except OSError as error:
        raise DataError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile starts anew
        lock.release()
