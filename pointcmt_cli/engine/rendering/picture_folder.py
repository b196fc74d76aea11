"""`pointcmt render --format png`: shapes -> a folder of pictures, CLASS/SPLIT/NAME_VVV.png, and nothing else.

MVCNN's layout, for whoever trains elsewhere. Same input, same files; the same command goes on where it stopped.
"""

import time
from collections.abc import Sequence

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.pictures import contact_sheet
from pointcmt_cli.data.pictures.written import Pictures
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.shards import Shards
from pointcmt_cli.engine.rendering import reuse
from pointcmt_cli.engine.rendering.plan import (
    Plan,
    described,
    draw_missing,
    empty_classes,
    what_to_do,
    without,
)
from pointcmt_cli.engine.rendering.settings import matrices, pictures_folder, told
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import digest
from pointcmt_cli.records import Note, Records, Result


def render_pictures(plan: Plan) -> Records:
    """Draw what is missing, each shape straight into its files."""
    began = time.monotonic()
    config, cameras = plan.config, plan.cameras
    out, settings = pictures_folder(config), _settings(plan)
    pictures = Pictures(out, digest(settings))
    shards = Shards(out / ".parts", pictures.settings)
    with exclusive(out.resolve()):  # which has a name even where it was typed as "."
        _check(pictures, config, settings)
        with shards.opened(config.force):
            kept = set() if config.force or config.only else _kept(pictures, plan)
            missing = [item for item in plan.chosen if item.name not in kept]
            yield from what_to_do(kept, missing)
            where = {key: each.tolist() for key, each in matrices(cameras, settings).items()}
            about = {**settings, "class_names": plan.source.classes, **told(cameras, settings)}
            pictures.write_about({**about, **where})
            failures = yield from draw_missing(plan, missing, len(kept), shards, pictures)
        items = without(plan.chosen, failures, plan)
        if not config.only:
            yield from empty_classes(plan.source, items)
            yield from _strangers(pictures, items, cameras.views)
    if not missing:
        yield Note(f"{out} is up to date")
    if config.preview:
        _preview(plan, pictures, items)
        yield Note(f"{config.preview} written")
    yield Result(
        {
            "path": str(out),
            **described(plan, items, len(missing), failures),
            "digest": None,
            "bytes": None,
            "seconds": time.monotonic() - began,
        }
    )


def _settings(plan: Plan) -> dict[str, object]:
    """What decides the pictures; points are no part of them."""
    return {key: value for key, value in plan.settings.items() if key != "points"}


def _check(pictures: Pictures, config: RenderConfig, settings: dict[str, object]) -> None:
    """Pictures of other settings, and other files, are not replaced unasked."""
    if config.force:
        return
    try:
        made = pictures.read_about()
    except DataError as error:
        raise DataError(f"{error}; --force writes there all the same, --out elsewhere") from error
    if made is not None:
        reuse.check_settings(pictures.folder, made, settings)


def _kept(pictures: Pictures, plan: Plan) -> set[str]:
    """Names of the shapes that are all there."""
    begun = [item for item in plan.chosen if pictures.begun(item)]
    hashes = reuse.source_hashes(begun)
    return {
        item.name
        for item, found in zip(begun, hashes, strict=True)
        if pictures.holds(item, found, plan.cameras.views)
    }


def _strangers(pictures: Pictures, items: Sequence[Item], views: int) -> Records:
    """Pictures that a reader of the folder would take for shapes of this source."""
    more = pictures.others(items, views)
    if more:
        first = more[0].relative_to(pictures.folder)
        yield Note(
            f"{len(more)} pictures in {pictures.folder} are of no shape here, {first} first: they stay",
            True,
        )


def _preview(plan: Plan, pictures: Pictures, items: Sequence[Item]) -> None:
    """The contact sheet, from the files."""
    assert plan.config.preview is not None
    titles = plan.source.classes
    whole = bool(plan.config.only)
    rows = (
        [(items[row].name, row) for row in range(len(items))]
        if whole
        else [
            (titles[label], row) for label, row in contact_sheet.some_rows([i.label for i in items])
        ]
    )
    views = [(title, pictures.read(items[row], plan.cameras.views)) for title, row in rows]
    contact_sheet.write(views, plan.config.preview, whole)
