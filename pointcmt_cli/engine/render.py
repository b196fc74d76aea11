"""`pointcmt render`: a folder of meshes or clouds -> views.h5, every shape as points and as views, gray or RGB.

What PointCMT starts from (section 3); the reference ships a pickle of views and no rendering code. Left out on purpose:
materials, shadows. Same input, same file, whatever the number of workers, the order in which they end, or how
often the run was killed on the way.
"""

import contextlib
import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from joblib import cpu_count

from pointcmt_cli import discovery
from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data import preview, reuse, rigs, sources, store
from pointcmt_cli.data.files import digest
from pointcmt_cli.data.lock import exclusive
from pointcmt_cli.data.shards import Shards
from pointcmt_cli.data.sources import Item, Source
from pointcmt_cli.engine.drawing import Drawn, Job, draw_all
from pointcmt_cli.engine.render_settings import (
    renderer_options,
    shape_settings,
    source_settings,
    told,
)
from pointcmt_cli.errors import DataError
from pointcmt_cli.records import Note, Progress, Record, Records, Result


def render(config: RenderConfig) -> Records:
    """Recognise, draw what is missing, write views.h5; a shape that cannot be drawn is left out and named."""
    began = time.monotonic()
    out = config.out or config.work / "views.h5"
    if config.preview:
        preview.picture_format(config.preview)
    source = sources.recognise(
        config.source, config.test_fraction, config.held_out_fraction, config.variant
    )
    yield from _recognised(source)
    cameras = rigs.cameras(config.rig, config.image_size, config.projection, config.margin)
    options = renderer_options(config)
    per_shape = shape_settings(config, source, cameras)
    settings = {**source_settings(config, source), **per_shape}
    shards = Shards(out.with_name(f".{out.name}.parts"), digest(per_shape))
    with exclusive(out), shards.opened(config.force):
        old = reuse.read(out, settings, config.force)
        kept = reuse.unchanged(source.items, old, shards)
        missing = [item for item in source.items if item.name not in kept]
        yield from _what_to_do(out, source, old, kept)
        failures: list[Drawn] = []
        if missing:
            discovery.build("renderers", per_shape["renderer"], options)
            job = Job(
                renderer=per_shape["renderer"],
                options=json.dumps(options, sort_keys=True),
                cameras=cameras,
                points=config.points,
                color=config.color,
                up=config.up,
                shards=shards,
                parent=os.getpid(),
            )
            failures = yield from _draw(config, job, missing, len(kept))
        items = _without(source, failures)
        yield from _empty_classes(source, items)
        if reuse.is_same(old, items, source.classes, kept):
            yield Note(f"{out} is up to date")
        else:
            store.write_views(
                out,
                reuse.rows(items, kept, out, shards),
                total=len(items),
                shape=cameras.shape(config.color),
                points=config.points,
                attributes={**settings, "class_names": source.classes, **told(cameras, settings)},
                cameras={"camera_poses": cameras.poses, "camera_matrices": cameras.matrices},
            )
        shards.clear()
    if config.preview:
        preview.contact_sheet(out, config.preview)
        yield Note(f"{config.preview} written")
    yield Result(
        {
            "path": str(out),
            "digest": str(store.read_attributes(out)["digest"]),
            **_described(source, items),
            "views": cameras.views,
            "drawn": len(missing) - len(failures),
            "kept": len(kept),
            "failures": [
                {"name": each.item.name, "file": str(each.item.path), "reason": each.reason}
                for each in failures
            ],
            "bytes": out.stat().st_size,
            "seconds": time.monotonic() - began,
        }
    )


def _recognised(source: Source) -> Records:
    yield Note(source.summary)
    yield Note(f"classes: {', '.join(source.classes)}")
    for note in source.notes:
        yield Note(note, warning=True)


def _what_to_do(
    out: Path, source: Source, old: store.ViewsIndex | None, kept: Mapping[str, int]
) -> Records:
    """Where a run goes on, or a file is changed: how much of it."""
    if kept and len(kept) < len(source.items):
        yield Note(f"{len(kept)} shapes are drawn already, {len(source.items) - len(kept)} to go")
    gone = set(old.names if old else []) - {item.name for item in source.items}
    if gone:
        yield Note(f"{len(gone)} shapes of {out} are no longer in {source.root}: they go", True)


def _draw(
    config: RenderConfig, job: Job, items: Sequence[Item], kept: int
) -> Generator[Record, None, list[Drawn]]:
    """Draw into shards; returns the shapes that could not be drawn, in the source's order."""
    total = kept + len(items)
    yield Progress("render", kept, total)
    began, finished = time.monotonic(), 0
    failures: dict[str, Drawn] = {}
    with contextlib.closing(draw_all(job, items, config.workers or cpu_count())) as results:
        for drawn in results:
            if isinstance(drawn, Note):
                yield drawn
                continue
            if drawn.fatal:
                raise drawn.fatal
            finished += 1
            if drawn.reason:
                failures[drawn.item.name] = drawn
                if config.strict:
                    raise DataError(f"{drawn.reason} (--strict; without it the rest goes on)")
                yield Note(f"left out {drawn.item.name}: {drawn.reason}", warning=True)
            rate = finished * job.cameras.views / (time.monotonic() - began)
            yield Progress("render", kept + finished, total, values={"views/s": rate})
    return [failures[item.name] for item in items if item.name in failures]


def _without(source: Source, failures: Sequence[Drawn]) -> list[Item]:
    """The shapes that will be in the file."""
    bad = {drawn.item.name for drawn in failures}
    items = [item for item in source.items if item.name not in bad]
    if not items:
        raise DataError(
            f"{source.root}: none of its {len(source.items)} shapes can be drawn; the first: "
            f"{failures[0].reason}"
        )
    return items


def _empty_classes(source: Source, items: Sequence[Item]) -> Records:
    present = {item.label for item in items}
    for label, name in enumerate(source.classes):
        if label not in present:
            yield Note(f"class '{name}' has no shapes; it stays in the list of classes", True)


def _described(source: Source, items: Sequence[Item]) -> dict[str, Any]:
    """What is in the file, counted by split."""
    labels = {
        split: [item.label for item in items if item.split == split]
        for split in ("train", "val", "test")
    }
    return {
        "layout": source.layout,
        "variant": source.variant,
        "kind": source.kind,
        "classes": source.classes,
        "counts": {split: len(found) for split, found in labels.items()},
        "classes_in": {split: len(set(found)) for split, found in labels.items()},
    }
