"""What `render` does whatever it writes: what it was asked for, the drawing, and what is said of both. In: a config."""

import contextlib
import json
import os
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joblib import cpu_count

from pointcmt_cli import discovery
from pointcmt_cli.config import IMAGE_SIZE, RIG, RenderConfig
from pointcmt_cli.data.cameras import rigs
from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.folders import selection, sources
from pointcmt_cli.data.folders.sources import Item, Source
from pointcmt_cli.data.pictures.written import Pictures
from pointcmt_cli.data.store.shards import Shards
from pointcmt_cli.engine.rendering import cluster
from pointcmt_cli.engine.rendering.draw_shape import Drawn, Job
from pointcmt_cli.engine.rendering.profile import Laps, summary
from pointcmt_cli.engine.rendering.settings import (
    check_size,
    looks,
    renderer_options,
    shape_settings,
    source_settings,
)
from pointcmt_cli.engine.rendering.workers import draw_all, local
from pointcmt_cli.errors import DataError
from pointcmt_cli.records import Note, Progress, Record, Records, counted
from pointcmt_cli.splits import SPLITS


@dataclass(frozen=True)
class Plan:
    """What is to be drawn, and how."""

    config: RenderConfig
    source: Source
    chosen: list[Item]
    """Those that --only names; all where it is not given."""
    cameras: Cameras
    options: Mapping[str, Any]
    """The renderer's."""
    per_shape: dict[str, Any]
    """Settings that decide a shape's points and views."""
    laps: Laps
    """Where the time goes."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what is in the output."""
        return {**source_settings(self.config, self.source), **self.per_shape}


def plan(config: RenderConfig) -> Generator[Record, None, Plan]:
    """Recognise the source, and read what was asked for."""
    laps = Laps()
    cameras = rigs.cameras(
        config.rig or RIG, config.image_size or IMAGE_SIZE, config.projection, config.margin
    )
    check_size(cameras, config.color)
    if config.cluster:
        cluster.check(config.cluster, config.workers)
    source = sources.recognise(
        config.source, config.test_fraction, config.held_out_fraction, config.variant
    )
    if config.format != "png" and not looks(config):
        sources.check_classes(source)
    yield Note(source.summary)
    yield Note(f"classes: {', '.join(source.classes)}")
    for note in source.notes:
        yield Note(note, warning=True)
    chosen = selection.select(source.items, config.only) if config.only else source.items
    if config.only:
        yield Note(f"--only: {len(chosen)} of {counted(len(source.items), 'shape')}")
    per_shape = shape_settings(config, source, cameras)
    return Plan(config, source, chosen, cameras, renderer_options(config), per_shape, laps)


def draw_missing(
    plan: Plan, missing: Sequence[Item], kept: int, shards: Shards, pictures: Pictures | None = None
) -> Generator[Record, None, list[Drawn]]:
    """Draw into shards or pictures; returns the shapes that could not be drawn, in the source's order."""
    if not missing:
        return []
    config, renderer = plan.config, plan.per_shape["renderer"]
    plugin = None if config.views_from else renderer
    if plugin:
        discovery.build("renderers", plugin, plan.options)
    job = Job(
        renderer=renderer,
        options=json.dumps(plan.options, sort_keys=True),
        cameras=plan.cameras,
        points=plan.per_shape["points"],
        color=config.color,
        up=config.up,
        shards=shards,
        parent=os.getpid(),
        pictures=pictures,
    )
    total = kept + len(missing)
    yield Progress("render", kept, total)
    began, finished = time.monotonic(), 0
    failures: dict[str, Drawn] = {}
    plan.laps.end("find what to draw")
    own = contextlib.nullcontext(local(config.workers or cpu_count()))
    with (
        cluster.opened(config.cluster, job, plugin) if config.cluster else own as place,
        contextlib.closing(draw_all(job, missing, place, plan.laps)) as results,
    ):
        for drawn in results:
            if isinstance(drawn, Note):
                yield drawn
                continue
            plan.laps.add(drawn.times)
            if drawn.fatal:
                raise drawn.fatal
            finished += 1
            if drawn.reason:
                failures[drawn.item.name] = drawn
                if config.strict:
                    raise DataError(f"{drawn.reason} (--strict; without it the rest goes on)")
                yield Note(f"left out {drawn.item.name}: {drawn.reason}", warning=True)
            rate = finished * plan.cameras.views / (time.monotonic() - began)
            yield Progress("render", kept + finished, total, values={"views/s": rate})
    plan.laps.end("main process meanwhile")
    return [failures[item.name] for item in missing if item.name in failures]


def what_to_do(kept: Collection[str], missing: Sequence[Item]) -> Records:
    """Where a run goes on: how much of it."""
    if kept and missing:
        yield Note(
            f"{counted(len(kept), 'shape is', 'shapes are')} drawn already, {len(missing)} to go"
        )


def without(items: Sequence[Item], failures: Sequence[Drawn], plan: Plan) -> list[Item]:
    """The shapes that will be in the output."""
    bad = {drawn.item.name for drawn in failures}
    if failures and all(item.name in bad for item in plan.chosen):
        raise DataError(
            f"{plan.source.root}: none of its {len(plan.chosen)} shapes can be drawn; the first: "
            f"{failures[0].reason}"
        )
    return [item for item in items if item.name not in bad]


def empty_classes(source: Source, items: Sequence[Item]) -> Records:
    """Classes that have lost all their shapes."""
    present = {item.label for item in items}
    for label, name in enumerate(source.classes):
        if label not in present:
            yield Note(f"class '{name}' has no shapes; it stays in the list of classes", True)


def described(
    plan: Plan, items: Sequence[Item], drawn: int, failures: Sequence[Drawn]
) -> Mapping[str, Any]:
    """What is in the output, counted by split, and what is not."""
    source = plan.source
    plan.laps.end("put into one file")
    labels = {split: [item.label for item in items if item.split == split] for split in SPLITS}
    return {
        "layout": source.layout,
        "variant": source.variant,
        "kind": source.kind,
        "classes": source.classes,
        "counts": {split: len(found) for split, found in labels.items()},
        "classes_in": {split: len(set(found)) for split, found in labels.items()},
        "views": plan.cameras.views,
        "drawn": drawn - len(failures),
        "kept": len(items) - (drawn - len(failures)),
        "failures": [
            {"name": each.item.name, "file": str(each.item.path), "reason": each.reason}
            for each in failures
        ],
        "profile": summary(plan.laps, drawn * plan.cameras.views) if plan.config.profile else None,
    }
