"""One shape of `render`: read, sampled, drawn, compressed, kept. In: an item; out: a `Drawn`, and a file in `Shards`.

What happens here happens in worker processes too, so torch is never imported.
"""

import functools
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli import discovery
from pointcmt_cli.config import Axis
from pointcmt_cli.data import reading
from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.clouds import sampling
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.pictures import given
from pointcmt_cli.data.pictures.written import Pictures
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.data.store import codec
from pointcmt_cli.data.store.shards import Shards
from pointcmt_cli.data.store.views import ViewsRow
from pointcmt_cli.engine.rendering.home import Home
from pointcmt_cli.engine.rendering.profile import Laps, Times
from pointcmt_cli.errors import PluginError, PointCMTError
from pointcmt_cli.wording import one_line

WATCH = 0.5
"""Seconds between a worker's looks at whether its parent is still there."""
_ONE_AT_A_TIME = threading.Lock()


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
    home: Home | None = None
    """What workers of a cluster must share with the run; None: this machine's own."""
    run: str = field(default_factory=lambda: uuid4().hex)
    """No other run has it."""
    pictures: Pictures | None = None
    """Write picture files here and nothing else; `shards` then only tells which shapes were begun."""


@dataclass(frozen=True)
class Drawn:
    """The end of one task: the shape is in its shard, or `reason` says why it is not."""

    item: Item
    reason: str | None = None
    fatal: PointCMTError | None = None
    """What no other shape would escape: a full disk, a broken renderer."""
    times: Times = field(default_factory=dict)
    """Of a worker process since its last shape."""


def task(job: Job, item: Item) -> Drawn:
    """One shape in a worker process. A cluster's may have several threads, but a renderer draws one shape at a time."""
    with _ONE_AT_A_TIME:
        if job.home is None:
            _settle(job.parent)
        laps = _laps(job.run, job.home is None)
        drawn = draw(job, item, laps)
        return replace(drawn, times=laps.take())


def draw(job: Job, item: Item, laps: Laps) -> Drawn:
    """One shape; nothing is raised across processes."""
    laps.end("between shapes")
    try:
        if job.home is not None:
            for path in (item.path, *(item.pictures or ())[:1]):
                job.home.check(path)
        return _draw(job, item, laps)
    except PointCMTError as error:
        return Drawn(item, fatal=job.home.tell(error) if job.home else error)
    finally:
        laps.starting = False


def _draw(job: Job, item: Item, laps: Laps) -> Drawn:
    """Read, sample, draw and compress one shape into its shard, or into picture files."""
    job.shards.begin(item.name)
    renderer = _drawer(job, item)
    try:
        shape, source_hash = reading.read(item, job.color, job.up)
        source_hash = given.joined_hash(source_hash, item.pictures)
    except PointCMTError as error:
        return Drawn(item, str(error))
    laps.end("read and parse")
    try:
        points = np.ascontiguousarray(sampling.sample_points(shape, job.points), np.float32)
    except PointCMTError as error:
        return Drawn(item, str(error))
    laps.end("sample points")
    try:
        images = renderer(replace(shape, points=points), job.cameras)
    except Exception as error:  # a stranger's code on one odd shape: the others still count
        return Drawn(item, _reason(job, item, error))
    _check(job, images)
    images = np.ascontiguousarray(images)
    laps.end("draw")
    if job.pictures:
        job.pictures.save(item, images, source_hash)
        laps.end("write")
        return Drawn(item)
    content = hashlib.sha256(points.data)
    content.update(images.data)
    laps.end("hash")
    compressed = codec.compress(images)
    laps.end("compress")
    row = ViewsRow(
        name=item.name,
        label=item.label,
        split=item.split,
        source_hash=source_hash,
        content_hash=content.hexdigest(),
        points=points,
        images=compressed,
    )
    job.shards.save(row)
    laps.end("write")
    return Drawn(item)


@functools.lru_cache(maxsize=1)
def _laps(run: str, own: bool) -> Laps:
    """Of this process in a run. All that one of the run's own has done before its first shape was for that."""
    laps = Laps(0.0 if own and _laps.cache_info().misses == 1 else None)
    laps.starting = True
    return laps


def _drawer(job: Job, item: Item) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The renderer; in its place, for an item that brings its pictures, their reader."""
    if item.pictures is None:
        return _renderer(job.renderer, job.options)
    return given.reader(item, job.color, **json.loads(job.options))


@functools.cache
def _renderer(name: str, options: str) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The plug-in, made once in each process."""
    built: Callable[[Shape, Cameras], NDArray[np.uint8]]
    built = discovery.build("renderers", name, json.loads(options))
    return built


def _reason(job: Job, item: Item, error: Exception) -> str:
    if isinstance(error, PointCMTError):
        return one_line(error)
    return f"{item.path}: renderer '{job.renderer}' failed: {one_line(error, kind=True)}"


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
