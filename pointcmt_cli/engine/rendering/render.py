"""`pointcmt render`: a folder of meshes or clouds -> views.h5, every shape as points and as views, gray or RGB.

What PointCMT starts from (section 3); the reference ships a pickle of views and no rendering code. Left out on purpose:
materials, shadows. Same input, same file, whatever the number of workers, the order in which they end, or how
often the run was killed on the way. `--format png`: the same road to a folder of pictures.
"""

import contextlib
import json
import os
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from joblib import cpu_count

from pointcmt_cli import discovery
from pointcmt_cli.config import POINTS, RenderConfig
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.engine.rendering import cluster, outputs
from pointcmt_cli.engine.rendering.draw_shape import Drawn, Job
from pointcmt_cli.engine.rendering.outputs import PictureFolder, ViewsFile
from pointcmt_cli.engine.rendering.plan import Plan, lacks, make_plan
from pointcmt_cli.engine.rendering.profile import Laps, summary
from pointcmt_cli.engine.rendering.workers import Place, draw_all, local
from pointcmt_cli.errors import DataError
from pointcmt_cli.records import Note, Progress, Record, Records, Result, counted
from pointcmt_cli.splits import NO_LABEL, counts_of


def render(config: RenderConfig) -> Records:
    """Recognise, draw what is missing, write it; a shape that cannot be drawn is left out and named."""
    laps = Laps()
    plan = yield from make_plan(config)
    began = time.monotonic()
    with outputs.opened(plan) as output:
        reused = output.reusable()
        missing = [item for item in plan.chosen if item.name not in reused]
        done = 0 if config.only else len(reused)
        if done and missing:
            shapes = counted(done, "shape is", "shapes are")
            yield Note(f"{shapes} drawn already, {len(missing)} to go")
        if note := output.begin():
            yield note
        failures = yield from _draw(plan, missing, done, output, laps)
        items = yield from _present(plan, reused, missing, failures)
        yield from output.finish(items)
        if config.preview:
            output.preview(items, config.preview)
            yield Note(f"{config.preview} written")
        laps.end("put into one file")
        result = {
            "path": str(plan.out),
            **output.identity(),
            **_counts(plan, items, len(missing), failures),
            "profile": summary(laps, len(missing) * plan.cameras.views) if config.profile else None,
            "seconds": time.monotonic() - began,
        }
    yield Result(result)


def _draw(
    plan: Plan,
    missing: Sequence[Item],
    done: int,
    output: ViewsFile | PictureFolder,
    laps: Laps,
) -> Generator[Record, None, list[Drawn]]:
    """Draw what is missing; returns the shapes that could not be drawn, in the source's order."""
    if not missing:
        return []
    if plan.renderer:
        discovery.build("renderers", plan.renderer, plan.options)
    job = _job(plan, output)
    opening = _place(plan, job)
    total = done + len(missing)
    yield Progress("render", done, total)
    began, finished = time.monotonic(), 0
    failures: dict[str, Drawn] = {}
    laps.end("find what to draw")
    with (
        opening as place,
        contextlib.closing(draw_all(job, missing, place, laps)) as results,
    ):
        for drawn in results:
            if isinstance(drawn, Note):
                yield drawn
                continue
            laps.add(drawn.times)
            if drawn.fatal:
                raise drawn.fatal
            finished += 1
            if drawn.reason:
                failures[drawn.item.name] = drawn
                yield _left_out(drawn, plan.config.strict)
            rate = finished * plan.cameras.views / (time.monotonic() - began)
            yield Progress("render", done + finished, total, values={"views/s": rate})
    laps.end("main process meanwhile")
    return [failures[item.name] for item in missing if item.name in failures]


def _job(plan: Plan, output: ViewsFile | PictureFolder) -> Job:
    """What a worker needs to know of the plan."""
    return Job(
        renderer=plan.settings["renderer"],
        options=json.dumps(plan.options, sort_keys=True),
        cameras=plan.cameras,
        points=plan.config.points or POINTS,
        color=plan.config.color,
        up=plan.source.up.axis if plan.source.up else None,
        shards=output.shards,
        parent=os.getpid(),
        pictures=output.pictures,
    )


def _place(plan: Plan, job: Job) -> AbstractContextManager[Place]:
    """Where it is drawn."""
    if plan.config.cluster:
        return cluster.opened(plan.config.cluster, job, plan.renderer)
    return contextlib.nullcontext(local(plan.config.workers or cpu_count()))


def _left_out(drawn: Drawn, strict: bool) -> Note:
    """A shape that could not be drawn; the end of a strict run."""
    if strict:
        raise DataError(f"{drawn.reason} (--strict; without it the rest goes on)")
    return Note(f"left out {drawn.item.name}: {drawn.reason}", warning=True)


def _present(
    plan: Plan, reused: Collection[str], missing: Sequence[Item], failures: Sequence[Drawn]
) -> Generator[Record, None, list[Item]]:
    """The shapes that will be in the output, in the source's order; names classes that have lost all of theirs."""
    failed = {drawn.item.name for drawn in failures}
    if failures and all(item.name in failed for item in plan.chosen):
        raise DataError(
            f"{plan.source.root}: none of its {len(plan.chosen)} shapes can be drawn; the first: "
            f"{failures[0].reason}"
        )
    present = {*reused, *(item.name for item in missing)} - failed
    items = [item for item in plan.source.items if item.name in present]
    if plan.config.only:
        return items
    labels = {item.label for item in items}
    for label, name in enumerate(plan.source.classes):
        if label not in labels:
            yield Note(f"class '{name}' has no shapes; it stays in the list of classes", True)
    lacking = lacks(plan.source, items) if plan.target == "views" else None
    if lacking and lacking != lacks(plan.source, plan.source.items):  # which the plan has said
        yield Note(lacking, warning=True)
    return items


def _counts(
    plan: Plan, items: Sequence[Item], missing: int, failures: Sequence[Drawn]
) -> Mapping[str, Any]:
    """What is in the output, counted by split, and what is not."""
    source, drawn = plan.source, missing - len(failures)
    counts = counts_of(item.split for item in items)
    labels = {split: {each.label for each in items if each.split == split} for split in counts}
    return {
        "layout": source.layout,
        "variant": source.variant,
        "kind": source.kind,
        "classes": source.classes,
        "counts": counts,
        "classes_in": {split: len(found - {NO_LABEL}) for split, found in labels.items()},
        "views": plan.cameras.views,
        "drawn": drawn,
        "kept": len(items) - drawn,
        "failures": [
            {"name": each.item.name, "file": str(each.item.path), "reason": each.reason}
            for each in failures
        ],
    }
