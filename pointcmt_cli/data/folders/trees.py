"""Folders of shapes, one folder per class. In: a path; out: what was `Found`, or a DataError that says what was not.

CLASS/{train,val,test}/NAME.ext, {train,val,test}/CLASS/NAME.ext or CLASS/NAME.ext, all meshes or all point clouds;
val, the held-out split, may be called held-out too. What lies in unlabelled/ has no class (`unlabelled.piles`).
Hidden files and macOS's `._` copies are passed over, and folders whose names begin with . or _ are no classes.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from pointcmt_cli.config import Axis
from pointcmt_cli.data.formats.ply import HEADER_BYTES, ply_header
from pointcmt_cli.data.formats.text import UnreadableError
from pointcmt_cli.errors import DataError
from pointcmt_cli.splits import SPLIT_OF_FOLDER, UNLABELLED, UNLABELLED_FOLDERS

Kind = Literal["mesh", "cloud"]
MESH_ENDINGS = frozenset({".off", ".obj", ".ply", ".stl", ".glb"})
CLOUD_ENDINGS = frozenset({".npy", ".npz", ".ply", ".xyz", ".txt", ".pcd"})
NO_CLASS = (".", "_")
"""How the names of folders begin that are no classes: .git, __MACOSX, _old."""
FLAT = "folder"
"""How the layout is named whose shapes lie in no class folder."""


class Up(NamedTuple):
    """The axis of the files that points up."""

    axis: Axis
    said_by: str


@dataclass(frozen=True)
class Entry:
    """One shape as its layout names it."""

    label: int
    stem: str
    """Unique in its class."""
    given: str | None
    """The layout's own split, or None."""
    path: Path
    row: int | None = None


@dataclass(frozen=True)
class Found:
    """What a layout's reader makes of a folder."""

    layout: str
    kind: Kind
    classes: list[str]
    entries: list[Entry]
    variant: str | None = None
    notes: tuple[str, ...] = ()
    up: Up | None = None
    """None: as each file's format says."""


def subfolders(folder: Path) -> list[Path]:
    """Sorted, without those of NO_CLASS."""
    return [each for each in listed(folder) if not each.name.startswith(NO_CLASS) and each.is_dir()]


def set_aside(root: Path, parents: Iterable[Path], endings: Set[str]) -> list[str]:
    """One line, if any folder of NO_CLASS in these holds files with such endings."""
    folders = [
        each
        for parent in parents
        for each in sorted(parent.iterdir())
        if each.name.startswith(NO_CLASS) and _holds(each, endings)
    ]
    names = ", ".join(str(each.relative_to(root)) for each in folders)
    begin = "left out folders whose names begin with . or _"
    return [f"{begin}: {names}"] if names else []


def _holds(folder: Path, endings: Set[str]) -> bool:
    """Whether a file with such an ending lies below, one that is not hidden."""
    return any(
        not name.startswith(".") and Path(name).suffix.lower() in endings
        for _, _, names in os.walk(folder)
        for name in names
    )


def has_no_class(folder: Path) -> bool:
    """Whether a folder is by its name one of shapes that nobody has labelled."""
    return folder.name.lower() in UNLABELLED_FOLDERS


def tree(root: Path) -> Found | None:
    """The classes below `root`; None when no folder there holds a shape."""
    found = _gathered(root, class_folders(root), "tree")
    if found is None:
        return None
    splits = [top for top in subfolders(root) if top.name in SPLIT_OF_FOLDER]
    own = {entry.path.suffix.lower() for entry in found.entries}
    aside = set_aside(root, [root, *splits], own | MESH_ENDINGS | CLOUD_ENDINGS - {".txt"})
    return replace(found, notes=(*found.notes, *aside))


def flat(root: Path) -> Found | None:
    """The shapes that lie in `root` itself, as one class with its name; None where there are none.

    Text counts as clouds where nothing else is there: a README.txt is no shape.
    """
    endings = {path.suffix.lower() for path in listed(root)}
    if not endings & (MESH_ENDINGS | CLOUD_ENDINGS - {".txt"}) and endings != {".txt"}:
        return None
    return _gathered(root, [(root.resolve().name or "shapes", None, root)], FLAT)


def _gathered(
    root: Path, folders: Iterable[tuple[str, str | None, Path]], layout: str
) -> Found | None:
    """The shapes in these folders, each with its class and split."""
    files: dict[str, list[tuple[str | None, Path]]] = {}
    left_out: Counter[str] = Counter()
    notes = []
    for name, split, folder in folders:
        shapes = files.setdefault(name, [])
        for path in listed(folder):
            if path.is_dir():
                if not (split is None and path.name in SPLIT_OF_FOLDER) and not (
                    folder == root and has_no_class(path)
                ):
                    notes.append(f"left out the folder {path.relative_to(root)}")
            elif path.suffix.lower() in MESH_ENDINGS | CLOUD_ENDINGS:
                shapes.append((split, path))
            else:
                left_out[path.suffix.lower() or path.name] += 1
    empty = [name for name, shapes in files.items() if not shapes]
    classes = sorted(name for name in files if files[name])
    if not classes:
        return None
    if left_out:
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(left_out.items()))
        notes.append(f"left out files with other endings: {endings}")
    if empty:
        notes.append(f"left out folders without shapes: {', '.join(empty)}")
    _check_splits(root, {name: files[name] for name in classes})
    kind = one_kind(root, [path for name in classes for _, path in files[name]])
    entries = [
        Entry(label, path.stem, split, path)
        for label, name in enumerate(classes)
        for split, path in files[name]
    ]
    layout = f"{'mesh' if kind == 'mesh' else 'point-cloud'} {layout}"
    return Found(layout, kind, classes, entries, notes=tuple(notes))


def class_folders(root: Path) -> Iterator[tuple[str, str | None, Path]]:
    """Class name, given split and the folder with the files."""
    tops = [top for top in subfolders(root) if not has_no_class(top)]
    if tops and all(top.name in SPLIT_OF_FOLDER for top in tops):
        for top in tops:
            for folder in subfolders(top):
                if has_no_class(folder):
                    raise DataError(
                        f"{folder}: shapes without a class belong into no split; move them to {root / UNLABELLED}"
                    )
                yield folder.name, SPLIT_OF_FOLDER[top.name], folder
        return
    for folder in tops:
        yield folder.name, None, folder
        for below in subfolders(folder):
            if below.name in SPLIT_OF_FOLDER:
                yield folder.name, SPLIT_OF_FOLDER[below.name], below


def listed(folder: Path) -> list[Path]:
    """Sorted, without hidden files and what macOS leaves behind."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error
    return [path for path in paths if not path.name.startswith((".", "__MACOSX"))]


def _check_splits(root: Path, files: dict[str, list[tuple[str | None, Path]]]) -> None:
    """Some classes with a split of their own and some without would be two rules in one data set."""
    loose = [path for shapes in files.values() for split, path in shapes if split is None]
    given = [path for shapes in files.values() for split, path in shapes if split is not None]
    if loose and given:
        raise DataError(
            f"{root}: {len(given)} files lie in train/val/test folders ({_short(given[0], root)}) and {len(loose)} "
            f"do not ({_short(loose[0], root)}): sort all of them into such folders, or none"
        )


def one_kind(root: Path, paths: list[Path]) -> Kind:
    """What all of these shapes are, or a DataError that names one of each kind."""
    kinds: dict[Kind, list[Path]] = {"mesh": [], "cloud": []}
    for path in paths:
        kind = _kind_of(path)
        if kind is not None:
            kinds[kind].append(path)
    meshes, clouds = kinds["mesh"], kinds["cloud"]
    if 2 * len(clouds) < len(meshes) and all(path.suffix.lower() == ".ply" for path in clouds):
        return (
            "mesh"  # damaged files rather than a second kind: reading says that they have no faces
        )
    if meshes and clouds:
        raise DataError(
            f"{root}: holds {len(meshes)} meshes ({_short(meshes[0], root)}) and {len(clouds)} point clouds "
            f"({_short(clouds[0], root)}): keep one kind in a folder"
        )
    if not meshes and not clouds:
        raise DataError(
            f"{root}: none of its {len(paths)} .ply files has a header that can be read"
        )
    return "mesh" if meshes else "cloud"


def _kind_of(path: Path) -> Kind | None:
    """By the ending; a .ply by its header, and None where that cannot be read (reading it will say why)."""
    ending = path.suffix.lower()
    if ending != ".ply":
        return "mesh" if ending in MESH_ENDINGS else "cloud"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return "mesh" if ply_header(file.read(HEADER_BYTES)).is_mesh else "cloud"
    except (OSError, UnreadableError):
        return None


def _short(path: Path, root: Path) -> str:
    return f"e.g. {path.relative_to(root)}"
