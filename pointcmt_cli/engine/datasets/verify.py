"""Stage `data verify`: a folder -> is it what was published, and can every shape of it be read?

The folder is recognised and every shape read as `render` does it, and the shapes of each split are counted against the
published numbers (data/catalogue.py). Whatever is wrong is one line; the Result says whether all is whole.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from pointcmt_cli.config import VerifyConfig
from pointcmt_cli.data.folders import scanobjectnn
from pointcmt_cli.data.folders.benchmark_h5 import read_labels
from pointcmt_cli.data.folders.corrupted import SHAPES, Corrupted, corrupted, faults
from pointcmt_cli.data.folders.sources import Item, Source, recognise
from pointcmt_cli.data.public import catalogue
from pointcmt_cli.data.reading import read
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.records import Note, Progress, Record, Records, Result
from pointcmt_cli.splits import HELD_OUT, UNLABELLED

TEST_FRACTION = 0.2
"""As `render` splits what has no split of its own; nothing of that is published."""
BATCH = 32
"""Shapes per task of a worker."""
_BENCHMARK_FILES = ("ply_data_*.h5", "*_objectdataset*.h5")


def verify(config: VerifyConfig) -> Records:
    """Look at every shape; yields a line for each that is damaged, progress, and what was found."""
    root = config.source
    if not root.is_dir():
        raise UsageError(
            f"{root}: {'is a file, not a folder' if root.exists() else 'no such folder'}"
        )
    set_of_corruptions = corrupted(root)
    if set_of_corruptions:
        checked = [(yield from _corrupted(set_of_corruptions))]
    else:
        damaged = yield from _damaged_h5(root)
        checked = []
        for source in [] if damaged else _sources(config):
            checked.append((yield from _source(source, config.workers)))
        if damaged:
            checked.append({"layout": "HDF5 files", "variant": None, "damaged": damaged})
    for each in checked:
        expected = each.get("expected")
        each["whole"] = not each["damaged"] and expected in (
            None,
            _labelled(each.get("counts", {})),
        )
    whole = all(each["whole"] for each in checked)
    yield Result({"source": str(root), "whole": whole, "checked": checked})


def _sources(config: VerifyConfig) -> list[Source]:
    """What the folder holds: one data set, or every variant of ScanObjectNN."""
    places = scanobjectnn.places(config.source) if config.variant is None else []
    if len(places) > 1:
        return [recognise(folder, TEST_FRACTION, 0.0, variant) for folder, variant in places]
    return [recognise(config.source, TEST_FRACTION, 0.0, config.variant)]


def _source(source: Source, workers: int | None) -> Generator[Record, None, dict[str, Any]]:
    """Read every shape and count them."""
    yield Note(source.summary)
    for note in source.notes:
        yield Note(note, warning=True)
    known = catalogue.published(source.layout, source.variant, source.classes)
    if known and source.root.name.startswith("split"):
        known = None  # ScanObjectNN's other splits: nothing is published of them
    counts = {
        split: count for split, count in source.counts().items() if count or split != HELD_OUT
    }
    damaged = []
    done = 0
    for batch in _read_all(source.items, workers):
        for fault in batch:
            done += 1
            if fault is not None:
                damaged.append(fault)
                yield Note(fault, warning=True)
        yield Progress("read", done, len(source.items))
    expected = dict(known[1]) if known else None
    yield from _miscounted(_labelled(counts), expected)
    return {
        "layout": source.layout,
        "variant": source.variant,
        "published_as": known[0] if known else None,
        "classes": len(source.classes),
        "counts": counts,
        "expected": expected,
        "damaged": damaged,
    }


def _labelled(counts: dict[str, int]) -> dict[str, int]:
    """Without what someone has put beside the published shapes."""
    return {split: count for split, count in counts.items() if split != UNLABELLED}


def _miscounted(counts: dict[str, int], expected: dict[str, int] | None) -> Iterator[Note]:
    for split in sorted({*counts, *(expected or {})}):
        found, wanted = counts.get(split, 0), (expected or counts).get(split, 0)
        if found != wanted:
            yield Note(f"{split}: {found} shapes, {wanted} are published", warning=True)


def _corrupted(found: Corrupted) -> Generator[Record, None, dict[str, Any]]:
    """Every file of a corrupted test set."""
    yield Note(f"{found.root}: {found.name}, a corrupted test set of {SHAPES} shapes per file")
    damaged = []
    for done, fault in enumerate(faults(found), 1):
        if fault:
            damaged.append(fault)
            yield Note(fault, warning=True)
        yield Progress("read", min(done, len(found.files)), len(found.files), "files")
    return {
        "layout": found.name,
        "variant": None,
        "published_as": found.name,
        "counts": {"files": len(found.files) - len(damaged)},
        "expected": {"files": len(found.files)},
        "damaged": damaged,
    }


def _damaged_h5(root: Path) -> Generator[Record, None, list[str]]:
    """Every benchmark file that cannot be opened: recognising the folder would stop at the first."""
    damaged = []
    for path in sorted({path for pattern in _BENCHMARK_FILES for path in root.rglob(pattern)}):
        if path.name.startswith("."):
            continue
        try:
            read_labels(path, 2**31)
        except DataError as error:
            damaged.append(str(error))
            yield Note(str(error), warning=True)
    if damaged:
        yield Note("shapes are not counted while files cannot be opened", warning=True)
    return damaged


def _read_all(items: Sequence[Item], workers: int | None) -> Iterator[list[str | None]]:
    """What is wrong with each, batch by batch, in the order of the items."""
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    wanted = min(workers or os.cpu_count() or 1, len(batches))
    if wanted <= 1:
        yield from map(_faults, batches)
        return
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=wanted, return_as="generator")
    with closing(pool(delayed(_faults)(batch) for batch in batches)) as results:
        yield from results


def _faults(items: Sequence[Item]) -> list[str | None]:
    found: list[str | None] = []
    for item in items:
        try:
            read(item)
            found.append(None)
        except PointCMTError as error:
            found.append(str(error))
    return found
