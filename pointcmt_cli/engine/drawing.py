"""The worker side of `render`: one task is one shape. In: items; out: one `Drawn` for each, in the order they end.

Worker processes are spawned by joblib's loky and import no torch. One that dies (out of memory, a crash in a native
library) takes the others with it; the shapes that were in flight are then tried again, each alone.
"""

import functools
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray

from pointcmt_cli import discovery
from pointcmt_cli.config import Axis
from pointcmt_cli.data import codec, picture_tree, reading, sampling
from pointcmt_cli.data.pictures import Pictures
from pointcmt_cli.data.rigs import Cameras
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.data.shards import Shards
from pointcmt_cli.data.sources import Item
from pointcmt_cli.data.store import ViewsRow
from pointcmt_cli.errors import PluginError, PointCMTError
from pointcmt_cli.records import Note

IDLE = 20
"""Seconds after which a worker without work ends, should nobody have ended it before."""
WATCH = 0.5
"""Seconds between a worker's looks at whether its parent is still there."""


@dataclass(frozen=True)
class Job:
    """What every task needs to know; pickled to the workers."""

    renderer: str
    options: str
    """The renderer's options as JSON."""
    cameras: Cameras
    points: int
    color: bool
    """The renderer was asked for RGB, and colours are read."""
    up: Axis | None
    """The axis of the source that points up; None: its format's own."""
    shards: Shards
    parent: int
    """Process number of the run itself."""
    pictures: Pictures | None = None
    """Write picture files here and nothing else; `shards` then only tells which shapes were begun."""


@dataclass(frozen=True)
class Drawn:
    """The end of one task: the shape is in its shard, or `reason` says why it is not."""

    item: Item
    reason: str | None = None
    fatal: PointCMTError | None = None
    """What no other shape would escape: a full disk, a broken renderer."""


def draw_all(job: Job, items: Sequence[Item], workers: int) -> Generator[Drawn | Note]:
    """Draw every item; with one worker in this process, else in spawned ones."""
    waiting = {item.name: item for item in items}
    if min(workers, len(items)) <= 1:
        yield from (draw(job, item) for item in items)
        return
    while waiting:
        try:
            with closing(_spawned(job, list(waiting.values()), workers)) as results:
                for drawn in results:
                    del waiting[drawn.item.name]
                    yield drawn
        except BrokenProcessPool as error:
            suspects = [waiting[name] for name in job.shards.last_begun() if name in waiting]
            if not suspects:
                raise PointCMTError(
                    "the worker processes die before they draw anything; try --workers 1"
                ) from error
            names = ", ".join(item.name for item in suspects)
            yield Note(f"a worker process died; trying again one by one: {names}", warning=True)
            for item in suspects:
                del waiting[item.name]
                yield _alone(job, item)


def draw(job: Job, item: Item) -> Drawn:
    """One task; nothing is raised across processes."""
    _settle(job.parent)
    try:
        return _draw(job, item)
    except PointCMTError as error:
        return Drawn(item, fatal=error)


def _draw(job: Job, item: Item) -> Drawn:
    """Read, draw, sample and compress one shape into its shard, or into picture files."""
    job.shards.begin(item.name)
    renderer = _drawer(job, item)
    try:
        shape, source_hash = reading.read(item, job.color, job.up)
        source_hash = picture_tree.joined_hash(source_hash, item.pictures)
    except PointCMTError as error:
        return Drawn(item, str(error))
    try:
        images = renderer(shape, job.cameras)
    except Exception as error:  # a stranger's code on one odd shape: the others still count
        return Drawn(item, _reason(job, item, error))
    _check(job, images)
    images = np.ascontiguousarray(images)
    if job.pictures:
        job.pictures.save(item, images, source_hash)
        return Drawn(item)
    try:
        points = np.ascontiguousarray(sampling.sample_points(shape, job.points), np.float32)
    except PointCMTError as error:
        return Drawn(item, str(error))
    content = hashlib.sha256(points.data)
    content.update(images.data)
    row = ViewsRow(
        name=item.name,
        label=item.label,
        split=item.split,
        source_hash=source_hash,
        content_hash=content.hexdigest(),
        points=points,
        images=codec.compress(images),
    )
    job.shards.save(row)
    return Drawn(item)


def _spawned(job: Job, items: Sequence[Item], workers: int) -> Generator[Drawn]:
    """Every item in worker processes, one thread each; however it ends, the shapes in flight are finished first."""
    with parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE):
        pool = Parallel(
            n_jobs=workers, batch_size=1, pre_dispatch="2*n_jobs", return_as="generator_unordered"
        )
    with _patient() as stop:
        tasks = (delayed(draw)(job, item) for item in takewhile(lambda _: not stop.is_set(), items))
        with _handling_interrupts(signal.SIG_IGN):
            results = pool(tasks)
        try:
            for drawn in results:  # noqa: UP028 (`yield from` would have joblib kill its workers)
                yield drawn
        finally:
            stop.set()
            for _ in results:
                pass


def _alone(job: Job, item: Item) -> Drawn:
    """One item, so that a death can only be its own."""
    try:
        [drawn] = _spawned(job, [item], workers=2)
        return drawn
    except BrokenProcessPool:
        job.shards.last_begun()
        return Drawn(item, f"{item.path}: its worker process died twice (out of memory?)")


@contextmanager
def _patient() -> Iterator[threading.Event]:
    """The first Ctrl-C in the block sets the event, and interrupts at the block's end: joblib would kill its workers
    and stumble over its own threads. A second one interrupts at once.
    """
    stop = threading.Event()
    heard: list[bool] = []

    def hear(*_: object) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(True)
        stop.set()

    with _handling_interrupts(hear):
        yield stop
    if heard:
        raise KeyboardInterrupt


@contextmanager
def _handling_interrupts(handler: Any) -> Iterator[None]:
    """Another answer to Ctrl-C. Processes started while it is ignored never hear it, not even while they import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _drawer(job: Job, item: Item) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The renderer; in its place, for an item that brings its pictures, their reader."""
    if item.pictures is None:
        return _renderer(job.renderer, job.options)
    return picture_tree.reader(item, job.color, **json.loads(job.options))


@functools.cache
def _renderer(name: str, options: str) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The plug-in, made once in each process."""
    built: Callable[[Shape, Cameras], NDArray[np.uint8]]
    built = discovery.build("renderers", name, json.loads(options))
    return built


def _reason(job: Job, item: Item, error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, PointCMTError):
        return text
    return f"{item.path}: renderer '{job.renderer}' failed: {type(error).__name__}: {text}"


def _check(job: Job, images: Any) -> None:
    """What every renderer promises."""
    expected: tuple[int, ...] = (job.cameras.views, job.cameras.size, job.cameras.size)
    if job.color:
        expected = (*expected, 3)
    got = f"{type(images).__name__}"
    if isinstance(images, np.ndarray):
        if images.shape == expected and images.dtype == np.uint8:
            return
        got = f"{images.shape} {images.dtype}"
    origin = discovery.find("renderers", job.renderer).origin
    raise PluginError(
        f"renderer '{job.renderer}' breaks its contract: {origin}: expected (V, H, W{', 3' if job.color else ''}) "
        f"= {expected} uint8, got {got}"
    )


@functools.cache
def _settle(parent: int) -> None:
    """Once in each worker: leave Ctrl-C to the parent, and end when the parent has ended."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)
