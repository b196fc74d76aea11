"""One shape of `render`: read, sampled, drawn, checked, compressed, saved. In: a `Job` and an item; out: a `Drawn`.

What happens here happens in worker processes too, so torch is never imported.
"""

import functools
import hashlib
import json
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


def draw_one(job: Job, item: Item, laps: Laps) -> Drawn:
    """One shape; nothing is raised across processes."""
    laps.end("between shapes")
    try:
        if job.home is not None:
            for path in (item.path, *(item.pictures or ())[:1]):
                job.home.verify(path)
        return _draw_one(job, item, laps)
    except PointCMTError as error:
        return Drawn(item, fatal=job.home.locate(error) if job.home else error)
    finally:
        laps.starting = False


def _draw_one(job: Job, item: Item, laps: Laps) -> Drawn:
    """Read, sample, draw, check, and save one shape."""
    job.shards.begin(item.name)
    renderer = _renderer_of(job, item)
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
        return Drawn(item, _renderer_failure(job, item, error))
    _enforce_contract(job, images)
    images = np.ascontiguousarray(images)
    laps.end("draw")
    if job.pictures:
        job.pictures.save(item, images, source_hash)
    else:
        job.shards.save(_compressed(item, points, images, source_hash, laps))
    laps.end("write")
    return Drawn(item)


def _compressed(
    item: Item,
    points: NDArray[np.float32],
    images: NDArray[np.uint8],
    source_hash: str,
    laps: Laps,
) -> ViewsRow:
    """The row of views.h5 with points (P, 3) and views (V, H, W[, 3]), hashed and compressed."""
    content = hashlib.sha256(points.data)
    content.update(images.data)
    laps.end("hash")
    compressed = codec.compress(images)
    laps.end("compress")
    return ViewsRow(
        name=item.name,
        label=item.label,
        split=item.split,
        source_hash=source_hash,
        content_hash=content.hexdigest(),
        points=points,
        images=compressed,
    )


def _renderer_of(job: Job, item: Item) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The renderer; in its place, for an item that brings its pictures, their reader."""
    if item.pictures is None:
        return _loaded(job.renderer, job.options)
    return given.reader(item, job.color, **json.loads(job.options))


@functools.cache
def _loaded(name: str, options: str) -> Callable[[Shape, Cameras], NDArray[np.uint8]]:
    """The plug-in, made once in each process."""
    built: Callable[[Shape, Cameras], NDArray[np.uint8]]
    built = discovery.build("renderers", name, json.loads(options))
    return built


def _renderer_failure(job: Job, item: Item, error: Exception) -> str:
    if isinstance(error, PointCMTError):
        return one_line(error)
    return f"{item.path}: renderer '{job.renderer}' failed: {one_line(error, kind=True)}"


def _enforce_contract(job: Job, images: Any) -> None:
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
