"""Stage `data download`: a data set's name -> its folder, whole and checked, or none at all.

Mirrors are tried in order. An archive is fetched (data/download.py), checked against its published hash by pooch,
unpacked beside its place (data/unpack.py) and moved there in one step. All that is unfinished lies in `.NAME.download`;
the next run goes on from it.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from pointcmt_cli.config import DownloadConfig
from pointcmt_cli.data.public import catalogue
from pointcmt_cli.data.public.catalogue import DataSet, Mirror
from pointcmt_cli.data.public.download import Resuming, UnreachableError
from pointcmt_cli.data.public.unpack import only_folder, unpack
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.files import cannot_write, check_folder
from pointcmt_cli.records import Note, Progress, Record, Records, Result
from pointcmt_cli.wording import missing_package

MIB = 1 << 20
STEP = 0.25
"""Seconds between two records of progress."""
AGAIN = "run the same command again: what has come is kept"


def download(config: DownloadConfig) -> Records:
    """Fetch, check and unpack; the Result names the folder and how the archive was checked."""
    data = catalogue.find(config.name)
    out = config.out or config.work / data.name
    if not data.mirrors:
        raise DataError(f"{data.name}: {data.by_hand}; then: pointcmt data verify {data.name}")
    if data.terms and not config.accept_terms:
        raise UsageError(f"{data.name}: {data.terms}; then add --accept-terms")
    pooch = _pooch()
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder with --out")
    if out.is_dir() and any(out.iterdir()):
        yield Note(f"{out} is there already; `pointcmt data verify {out}` looks at it")
        yield Result({**_overview(data, out), "present": True})
        return
    check_folder(out / "any")
    yield Note(f"{data.name}: {data.title}; {data.licence}")
    with exclusive(out):
        mirror = yield from _from_mirrors(data, out, pooch)
    checked = {"url": mirror.url, "checksum": mirror.checksum}
    yield Result({**_overview(data, out), "present": False, **checked})


def _overview(data: DataSet, out: Path) -> dict[str, Any]:
    return {"name": data.name, "out": str(out), "shapes": dict(data.shapes), "render": data.render}


def _from_mirrors(data: DataSet, out: Path, pooch: Any) -> Generator[Record, None, Mirror]:
    """Take the first mirror that gives the whole data set."""
    work = out.with_name(f".{out.name}.download")
    failures: list[PointCMTError] = []
    for mirror in data.mirrors:
        host = urlsplit(mirror.url).netloc
        try:
            work.mkdir(parents=True, exist_ok=True)
            archive = yield from _archive(mirror, work, data.largest, pooch)
            yield from _unpacked(archive, work / "unpacked", out, data.largest)
            shutil.rmtree(work, ignore_errors=True)
            return mirror
        except OSError as error:
            raise cannot_write(work, error) from error
        except DataError as error:
            failures.append(error)
            yield Note(f"{host}: {error}", warning=True)
    with suppress(OSError):
        work.rmdir()  # where nothing has come
    raise _none_left(data, failures)


def _none_left(data: DataSet, failures: list[PointCMTError]) -> DataError:
    tried = "its only mirror" if len(failures) == 1 else f"none of its {len(failures)} mirrors"
    hosts = [urlsplit(mirror.url).netloc for mirror in data.mirrors]
    reasons = "; ".join(f"{host}: {error}" for host, error in zip(hosts, failures, strict=True))
    if all(isinstance(error, UnreachableError) for error in failures):
        answers = "does not answer" if len(failures) == 1 else "answers"
        return UnreachableError(
            f"{data.name}: {tried} {answers} ({reasons}); is there a network? Then {AGAIN}"
        )
    gives = "does not give it" if len(failures) == 1 else "gives it"
    return DataError(f"{data.name}: {tried} {gives} ({reasons}); try later, or fetch it by hand")


def _archive(mirror: Mirror, work: Path, largest: int, pooch: Any) -> Generator[Record, None, Path]:
    """The archive of one mirror in `work`, with the published hash."""
    name = f"{hashlib.sha256(mirror.url.encode()).hexdigest()[:8]}-{Path(urlsplit(mirror.url).path).name}"
    host = urlsplit(mirror.url).netloc
    stop = Event()
    reports: SimpleQueue[tuple[int, int | None]] = SimpleQueue()
    downloader = Resuming(
        work / f"{name}.partial", _now_and_then(reports.put), mirror.size, largest, stop
    )
    if (gathered := downloader.partial).exists():
        yield Note(f"{host}: going on after {gathered.stat().st_size / MIB:.1f} MiB")
    if mirror.checksum is None:
        yield Note(f"{host}: no checksum of this archive is published", warning=True)

    def fetch() -> Path:
        try:
            return Path(
                pooch.retrieve(mirror.url, mirror.checksum, name, work, downloader=downloader)
            )
        except ValueError as error:  # pooch's word for another hash
            downloader.forget()
            raise DataError(f"the file is damaged: its hash is not {mirror.checksum}") from error

    transfer = _in_background(fetch)
    try:
        yield from _followed(transfer.done, reports, host)
        archive = transfer.result()
    finally:
        stop.set()
    downloader.forget()
    return archive


def _in_background(work: Callable[[], Path]) -> Future[Path]:
    """In a thread that an interrupt need not wait for: it may sit in a silent connection."""
    future: Future[Path] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _followed(
    done: Callable[[], bool], reports: SimpleQueue[tuple[int, int | None]], host: str
) -> Records:
    """Progress in MiB until it is done."""
    start: tuple[float, int] | None = None
    while True:
        over = done()
        try:
            size, total = reports.get(timeout=0.01 if over else STEP)
        except Empty:
            if over:
                return
            continue
        now = time.monotonic()
        start = start or (now, size)
        rate = (size - start[1]) / MIB / max(now - start[0], 1e-3)
        if total is not None:
            yield Progress(host, _mib(size), _mib(total), "MiB", {"MiB/s": rate})


def _mib(size: int) -> int:
    """Rounded up: one that is begun counts."""
    return -(-size // MIB)


def _now_and_then(
    put: Callable[[tuple[int, int | None]], None],
) -> Callable[[int, int | None], None]:
    """Passes on the first report, the last, and one every STEP seconds."""
    last = -STEP

    def report(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= STEP or done == total:
            last = now
            put((done, total))

    return report


def _unpacked(archive: Path, staging: Path, out: Path, largest: int) -> Records:
    """Unpack into `staging`; what is whole takes its place in one step. A bad archive is removed."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    last, whole = -STEP, 1
    try:
        for done, total in unpack(archive, staging, largest):
            now, whole = time.monotonic(), _mib(total)
            if now - last >= STEP:
                last = now
                yield Progress("unpack", min(_mib(done), whole), whole, "MiB")
    except DataError:
        archive.unlink()
        raise
    yield Progress("unpack", whole, whole, "MiB")
    if not any(staging.iterdir()):
        archive.unlink()
        raise DataError(f"{archive.name} is empty")
    only_folder(staging).rename(out)


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise PointCMTError(missing_package("a download", "pooch", "data", error)) from error
    pooch.get_logger().setLevel("ERROR")
    return pooch
