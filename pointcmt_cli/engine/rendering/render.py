"""`pointcmt render`: a folder of meshes or clouds -> views.h5, every shape as points and as views, gray or RGB.

What PointCMT starts from (section 3); the reference ships a pickle of views and no rendering code. Left out on purpose:
materials, shadows. Same input, same file, whatever the number of workers, the order in which they end, or how
often the run was killed on the way.
"""

import tempfile
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.pictures import contact_sheet, given
from pointcmt_cli.data.store import views
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.shards import Shards
from pointcmt_cli.engine.rendering import reuse
from pointcmt_cli.engine.rendering.picture_folder import render_pictures
from pointcmt_cli.engine.rendering.plan import (
    Plan,
    described,
    draw_missing,
    empty_classes,
    plan,
    what_to_do,
    without,
)
from pointcmt_cli.engine.rendering.settings import (
    PICTURES,
    check,
    check_size,
    looks,
    matrices,
    picture_settings,
    told,
)
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import digest
from pointcmt_cli.provenance import MadeBy, record, write_config
from pointcmt_cli.records import Note, Record, Records, Result, counted


def render(config: RenderConfig) -> Records:
    """Recognise, draw what is missing, write it; a shape that cannot be drawn is left out and named."""
    check(config)
    planned = yield from plan(config)
    if config.views_from:
        planned = yield from with_pictures(planned, config.views_from)
    if config.format == "png":
        yield from render_pictures(planned)
    elif looks(config):
        yield from look(planned)
    else:
        yield from render_views(planned, config.out or config.work / "views.h5")


def with_pictures(plan: Plan, folder: Path) -> Generator[Record, None, Plan]:
    """The same shapes, each with its pictures in that folder; one without them will be left out and named."""
    config = plan.config
    tree = given.match(folder, plan.source)
    if tree.strangers:
        first = tree.strangers[0].relative_to(folder)
        yield Note(
            f"{len(tree.strangers)} pictures in {folder} are of no shape here, {first} first: they are not used",
            warning=True,
        )
    unknown = np.full((tree.views, 4, 4), np.nan)
    cameras = Cameras(PICTURES, unknown, config.image_size or tree.size)
    check_size(cameras, config.color)
    yield Note(
        f"{folder}: {counted(tree.views, 'picture')} a shape, {cameras.size} x {cameras.size} pixels"
    )
    chosen = {item.name for item in plan.chosen}
    return replace(
        plan,
        source=replace(plan.source, items=tree.items),
        chosen=[item for item in tree.items if item.name in chosen],
        cameras=cameras,
        options={"resize": config.image_size is not None},
        per_shape=picture_settings(config, tree),
    )


def look(plan: Plan) -> Records:
    """Some shapes as a picture; no views.h5 is made or changed."""
    with tempfile.TemporaryDirectory(prefix="pointcmt-") as folder:
        out = Path(folder) / "views.h5"
        for record in render_views(replace(plan, config=replace(plan.config, out=out)), out):
            if isinstance(record, Result):
                shown = {"path": str(plan.config.preview), "digest": None, "bytes": None}
                yield Result({**record.values, **shown, "look": True})
            else:
                yield record


def render_views(plan: Plan, out: Path) -> Records:
    """Points and views of every shape; with --only those are drawn anew and all others kept as they are."""
    began = time.monotonic()
    config, source, cameras, settings = plan.config, plan.source, plan.cameras, plan.settings
    only = bool(config.only)
    if out.is_dir():
        raise UsageError(
            f"{out} is a folder; the views go into a file (--format png makes pictures)"
        )
    if only and config.out is None and not out.exists():
        raise UsageError(
            f"--only {config.only[0]}: there is no {out} to draw it anew in; --preview PNG shows it, "
            "--out FILE makes a file of it alone"
        )
    shards = Shards(_beside(out, "only" if only else "parts"), digest(plan.per_shape))
    with exclusive(out), shards.opened(config.force or only):
        old = reuse.read(out, settings, config.force)
        if only:
            kept = reuse.all_but(plan.chosen, old, source, out)
            missing = plan.chosen
        else:
            Shards(_beside(out, "only"), "").clear()  # of a run with --only that was killed
            kept = reuse.unchanged(source.items, old, shards)
            missing = [item for item in source.items if item.name not in kept]
            yield from what_to_do(kept, missing)
            gone = set(old.names if old else []) - {item.name for item in source.items}
            if gone:
                yield Note(
                    f"{len(gone)} shapes of {out} are no longer in {source.root}: they go", True
                )
        failures = yield from draw_missing(plan, missing, 0 if only else len(kept), shards)
        new = {item.name for item in missing}
        wanted = [item for item in source.items if item.name in kept or item.name in new]
        items = without(wanted, failures, plan)
        if not only:
            yield from empty_classes(source, items)
        if reuse.is_same(old, items, source.classes, kept):
            yield Note(f"{out} is up to date")
        else:
            content = views.write_views(
                out,
                reuse.rows(items, kept, out, shards),
                total=len(items),
                shape=cameras.shape(config.color),
                points=settings["points"],
                attributes={
                    **settings,
                    "class_names": source.classes,
                    **told(cameras, settings),
                },
                cameras=matrices(cameras, settings),
            )
            write_config(out, asdict(config), {**_made(plan), "output": content})
        shards.clear()
    if config.preview:
        names = [item.name for item in plan.chosen] if only else None
        contact_sheet.contact_sheet(out, config.preview, names)
        yield Note(f"{config.preview} written")
    yield Result(
        {
            "path": str(out),
            "digest": str(views.read_attributes(out)["digest"]),
            **described(plan, items, len(missing), failures),
            "bytes": out.stat().st_size,
            "seconds": time.monotonic() - began,
        }
    )


def _made(plan: Plan) -> MadeBy:
    """The run that writes this file."""
    inputs: dict[str, tuple[Path, str | None]] = {"source": (plan.source.root, None)}
    if plan.config.views_from:
        inputs["pictures"] = (plan.config.views_from, None)
    distribution = plan.settings["renderer_distribution"]
    return record(inputs, *([distribution] if distribution else []))


def _beside(out: Path, kind: str) -> Path:
    """A folder for finished shapes."""
    return out.with_name(f".{out.name}.{kind}")
