"""Shapes that nobody has labelled. In: a source, and a folder beside it; out: `Pile`s, in which every shape has a name.

ROOT/unlabelled of any layout, and the folder that --unlabelled names: any tree, or flat. Links are followed, and every
folder is read once, so that a loop of links ends; a folder below that cannot be listed is left out and named.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pointcmt_cli.data.folders.trees import (
    CLOUD_ENDINGS,
    MESH_ENDINGS,
    NO_CLASS,
    Kind,
    has_no_class,
    listed,
    one_kind,
    subfolders,
)
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.splits import UNLABELLED

SHAPES = MESH_ENDINGS | CLOUD_ENDINGS
Seen = set[tuple[int, int]]
"""Device and inode of every folder that was read."""


@dataclass(frozen=True)
class Pile:
    """A folder of shapes without classes."""

    root: Path
    kind: Kind | None
    """None: it holds no shapes."""
    shapes: list[tuple[str, Path]]
    """`unlabelled/REL/PATH/NAME` and the file, sorted by name."""
    notes: tuple[str, ...]
    """What was left out and why, one line each."""


def piles(root: Path, beside: Path | None) -> list[Pile]:
    """The shapes without classes in the source `root`, and those in the folder beside it."""
    seen: Seen = set()
    found = [_pile(folder, seen) for folder in subfolders(root) if has_no_class(folder)]
    if beside is not None:
        if not beside.is_dir():
            is_what = "is a file, not a folder" if beside.exists() else "no such folder"
            raise UsageError(f"--unlabelled {beside}: {is_what}")
        known = len(seen)
        found.append(_pile(beside, seen))
        if not found[-1].shapes and len(seen) > known:
            raise DataError(f"--unlabelled {beside}: no shapes found; {_instead(found[-1])}")
    return found


def walked(folder: Path, notes: list[str], seen: Seen) -> Iterator[tuple[str, Path]]:
    """Every file below that is not hidden, and the name of its folder here: `unlabelled/REL/PATH`."""
    waiting = [(UNLABELLED, folder)]
    while waiting:
        name, place = waiting.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            paths = [(path, path.is_dir()) for path in listed(place)]
        except (OSError, DataError) as error:
            said = (
                f"{place} cannot be read: {error.strerror}" if isinstance(error, OSError) else error
            )
            notes.append(f"left out a folder: {said}")
            continue
        yield from ((name, path) for path, is_folder in paths if not is_folder)
        below = [path for path, is_folder in paths if is_folder]
        aside = [path.name for path in below if path.name.startswith(NO_CLASS)]
        if aside:
            notes.append(f"{place}: left out folders whose names begin with _: {', '.join(aside)}")
        below = [path for path in below if path.name not in aside]
        waiting += ((f"{name}/{path.name}", path) for path in reversed(below))


def _pile(root: Path, seen: Seen) -> Pile:
    """The shapes below that were not seen already. Text beside others is no cloud."""
    notes: list[str] = []
    files = [*walked(root, notes, seen)]
    endings = {path.suffix.lower() for _, path in files} & SHAPES
    wanted = endings if endings == {".txt"} else endings - {".txt"}
    shapes = sorted(
        (f"{folder}/{path.stem}", path) for folder, path in files if path.suffix.lower() in wanted
    )
    others = Counter(path.suffix.lower() or path.name for _, path in files)
    left_out = [f"{count} {each}" for each, count in sorted(others.items()) if each not in wanted]
    if left_out:
        notes.append(f"{root}: left out files with other endings: {', '.join(left_out)}")
    if not shapes and not notes:
        notes.append(f"left out folders without shapes: {root.name}")
    kind = one_kind(root, [path for _, path in shapes]) if shapes else None
    return Pile(root, kind, shapes, tuple(notes))


def _instead(pile: Pile) -> str:
    """What is there instead of shapes, or what is expected."""
    endings = " ".join(sorted(MESH_ENDINGS)), " ".join(sorted(CLOUD_ENDINGS))
    return (
        pile.notes[0]
        if pile.notes
        else "expected meshes ({}) or point clouds ({})".format(*endings)
    )
