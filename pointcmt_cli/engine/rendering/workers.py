"""Where the shapes of `render` are drawn: in this process, or in others of this machine or a cluster.

In: items; out: one `Drawn` for each, in the order they end. joblib hands them out. A process of this machine that dies
(out of memory, a crash in a native library) takes the others with it; what was in flight is then tried again alone.
"""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from joblib import Parallel, delayed, parallel_config

from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.engine.rendering.draw_shape import Drawn, Job, draw_one
from pointcmt_cli.engine.rendering.home import Home
from pointcmt_cli.engine.rendering.profile import Laps
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.records import Note

WATCH = 0.5
"""Seconds between a worker's looks at whether its parent is still there."""
IDLE = 20
"""Seconds after which a worker without work ends, should nobody have ended it before."""

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Place:
    """A joblib backend, on which `draw_all` is at work while it is open."""

    backend: Callable[[], AbstractContextManager[Any]]
    """joblib's `parallel_config` of it."""
    workers: int
    in_flight: str = "2*n_jobs"
    """Shapes that are handed out at once."""
    home: Home | None = None
    """What its workers must share with the run, if they are not this machine's own."""
    note: str | None = None
    """What its user should know."""


def local(workers: int) -> Place:
    """Processes of this machine, spawned, one thread each."""
    own = {"inner_max_num_threads": 1, "idle_worker_timeout": IDLE}
    return Place(lambda: parallel_config("loky", **own), workers)


def draw_all(job: Job, items: Sequence[Item], place: Place, laps: Laps) -> Generator[Drawn | Note]:
    """Draw every item; with one worker of this machine in this process, whose time `laps` takes."""
    if place.home is None and min(place.workers, len(items)) <= 1:
        laps.starting = True
        yield from (draw_one(job, item, laps) for item in items)
        return
    if place.note:
        yield Note(place.note, warning=True)
    if place.home is not None:
        job, items = _absolute(replace(job, home=place.home), items)
    laps.processes = place.workers
    waiting = {item.name: item for item in items}
    while waiting:
        try:
            with closing(_spawned(job, list(waiting.values()), place)) as results:
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
                yield _alone(job, item, place)


def _absolute(job: Job, items: Sequence[Item]) -> tuple[Job, list[Item]]:
    """With paths that mean the same in a process with another current folder."""
    shards = replace(job.shards, folder=job.shards.folder.absolute())
    pictures = job.pictures and replace(job.pictures, folder=job.pictures.folder.absolute())
    items = [
        replace(
            item,
            path=item.path.absolute(),
            pictures=item.pictures and tuple(path.absolute() for path in item.pictures),
        )
        for item in items
    ]
    return replace(job, shards=shards, pictures=pictures), items


def _spawned(job: Job, items: Sequence[Item], place: Place) -> Generator[Drawn]:
    """Every item by the workers of a place; however it ends, the shapes in flight are finished first."""
    with place.backend():
        pool = Parallel(
            n_jobs=place.workers,
            batch_size="auto",
            pre_dispatch=place.in_flight,
            return_as="generator_unordered",
        )
    with _patient() as stop:
        tasks = (delayed(task)(job, item) for item in takewhile(lambda _: not stop.is_set(), items))
        with _handling_interrupts(signal.SIG_IGN):
            results = pool(tasks)
        try:
            for drawn in results:  # noqa: UP028 (`yield from` would have joblib kill its workers)
                yield drawn
        finally:
            stop.set()
            for _ in results:
                pass


def _alone(job: Job, item: Item, place: Place) -> Drawn:
    """One item, so that a death can only be its own."""
    try:
        [drawn] = _spawned(job, [item], replace(place, workers=2))
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


def task(job: Job, item: Item) -> Drawn:
    """One shape in a worker process. A cluster's may have several threads, but a renderer draws one shape at a time."""
    with _ONE_AT_A_TIME:
        if job.home is None:
            _follow(job.parent)
        laps = _laps_of_process(job.run, job.home is None)
        drawn = draw_one(job, item, laps)
        return replace(drawn, times=laps.take())


@functools.lru_cache(maxsize=1)
def _laps_of_process(run: str, own: bool) -> Laps:
    """In a run. All that a process of the run's own has done before its first shape was for that."""
    laps = Laps(0.0 if own and _laps_of_process.cache_info().misses == 1 else None)
    laps.starting = True
    return laps


@functools.cache
def _follow(parent: int) -> None:
    """Once in each worker: leave Ctrl-C to the parent, and end when the parent has ended."""
    if os.getpid() == parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_without(parent)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        time.sleep(WATCH)
        _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)
