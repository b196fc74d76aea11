"""What `render` need not draw again. In: an existing views.h5 and finished shards; out: the rows that still hold.

A row holds while its shape's source has the same bytes and it was made with the same settings. Settings that differ are
never passed over in silence: the user says whether the file is to be replaced.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pointcmt_cli.data import reading
from pointcmt_cli.data.folders.sources import Item, Source
from pointcmt_cli.data.pictures import given
from pointcmt_cli.data.store import views
from pointcmt_cli.data.store.shards import FinishedShape, Shards
from pointcmt_cli.data.store.views import ViewsIndex, ViewsRow
from pointcmt_cli.engine.rendering.settings import PILE
from pointcmt_cli.errors import DataError, PointCMTError, StaleError

IN_SHARD = -1
"""In place of a row number."""
LONGEST = 60
"""Characters of a setting in a message."""
THREADS = 4
"""Hashing waits for the disk."""


def read_existing(out: Path, settings: Mapping[str, Any], force: bool) -> ViewsIndex | None:
    """The index of an existing file made with these settings; None: there is none, or it is to be replaced."""
    if force or not out.exists():
        return None
    try:
        index = views.read_index(out)
    except DataError as error:
        raise DataError(f"{error}; --force replaces it, --out keeps it") from error
    refuse_other_settings(out, index.attributes, settings)
    return index


def refuse_other_settings(
    out: Path, made_with: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """What exists was made with these settings, or the error names those that differ."""
    pile = {PILE: settings.get(PILE)} if PILE in made_with else {}
    grown = {PILE} - pile.keys()
    differing = [
        f"{key} {_short(made_with.get(key))}, now {_short(value)}"
        for key, value in {**settings, **pile}.items()
        if made_with.get(key) != value and key not in grown
    ]
    if differing:
        raise StaleError(
            f"{out} was made with {'; '.join(differing)}: --force replaces it, --out keeps it"
        )


def unchanged_rows(items: Sequence[Item], old: ViewsIndex | None, shards: Shards) -> dict[str, int]:
    """Rows of `old`, or IN_SHARD, by name, of the shapes whose source is what it was."""
    known = {
        name: (IN_SHARD, {each.source_hash for each in found})
        for name, found in shards.finished().items()
    }
    if old:
        known |= {name: (row, {old.source_hashes[row]}) for row, name in enumerate(old.names)}
    candidates = [item for item in items if item.name in known]
    return {
        item.name: known[item.name][0]
        for item, found in zip(candidates, source_hashes(candidates), strict=True)
        if found in known[item.name][1]
    }


def other_rows(
    chosen: Sequence[Item], old: ViewsIndex | None, source: Source, out: Path
) -> dict[str, int]:
    """Rows of `old` by name, without the chosen ones; the file must hold what the source holds otherwise."""
    if old is None:
        return {}
    gone = sorted(set(old.names) - {item.name for item in source.items})
    if gone or list(old.attributes["class_names"]) != source.classes:
        what = f"{gone[0]} is no longer there" if gone else "it has other classes"
        raise StaleError(f"{source.root} is not what {out} was made from: {what}; leave out --only")
    excluded = {item.name for item in chosen}
    return {name: row for row, name in enumerate(old.names) if name not in excluded}


def already_holds(
    old: ViewsIndex | None, items: Sequence[Item], classes: Sequence[str], reused: Mapping[str, int]
) -> bool:
    """Whether the existing file already holds exactly this, in this order."""
    return (
        old is not None
        and list(old.attributes["class_names"]) == list(classes)
        and old.names == [item.name for item in items]
        and old.labels == [item.label for item in items]
        and old.splits == [item.split for item in items]
        and all(reused.get(name) == row for row, name in enumerate(old.names))
    )


def merged_rows(
    items: Sequence[Item], reused: Mapping[str, int], out: Path, shards: Shards
) -> Iterator[ViewsRow]:
    """The rows of the new file in the order of `items`, from the old one and from shards."""
    in_file = [reused[item.name] for item in items if reused.get(item.name, IN_SHARD) != IN_SHARD]
    finished = shards.finished()
    with closing(views.read_rows(out, in_file)) as old:
        for item in items:
            in_shard = reused.get(item.name, IN_SHARD) == IN_SHARD
            row = _latest(item, finished.get(item.name, [])) if in_shard else next(old)
            if row is None:
                raise DataError(
                    f"{shards.folder} has lost '{item.name}': run the same command again"
                )
            yield replace(row, label=item.label, split=item.split)


def _latest(item: Item, finished: Sequence[FinishedShape]) -> ViewsRow | None:
    """Of a shape that was drawn before and after its source had changed, the one of the source as it is."""
    if len({each.source_hash for each in finished}) > 1:
        [now] = source_hashes([item])
        finished = [each for each in finished if each.source_hash == now]
    return finished[-1].row() if finished else None


def _short(value: Any) -> str:
    """A setting in a message; the whole content of a rig file would be too much."""
    text = str(value)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def source_hashes(items: Sequence[Item]) -> list[str]:
    """Of each item, as `reading.read` gives it; empty where it cannot be read any more."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_source_hash, items))


def _source_hash(item: Item) -> str:
    """As `reading.read` gives it, without parsing a file; empty where it cannot be read any more."""
    try:
        return given.joined_hash(reading.source_hash(item), item.pictures)
    except (OSError, PointCMTError):
        return ""
