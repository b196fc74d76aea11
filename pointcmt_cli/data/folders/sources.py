"""Recognise what a folder holds. In: a path; out: a `Source`, its classes and one cheap `Item` per shape."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pointcmt_cli.data.folders.layouts import benchmark
from pointcmt_cli.data.folders.trees import (
    FLAT,
    Found,
    Kind,
    Up,
    flat,
    has_no_class,
    subfolders,
    tree,
)
from pointcmt_cli.data.folders.unlabelled import Pile, piles
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.records import counted
from pointcmt_cli.splits import HELD_OUT, NO_LABEL, UNLABELLED, counts_of, splits_of

_EXPECTED = (
    "expected CLASS/train/NAME.off and CLASS/test/NAME.off, or CLASS/NAME.off "
    "(meshes .off .obj .ply .stl .glb; point clouds .npy .npz .ply .xyz .txt .pcd), "
    "modelnet40_ply_hdf5_2048, modelnet40_normal_resampled, or ScanObjectNN's h5_files"
)
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Item:
    """One shape that has not been read yet; small and picklable."""

    name: str
    """`CLASS/NAME` or `unlabelled/REL/PATH/NAME`, unique in its source."""
    label: int
    """Row of the source's `classes`; NO_LABEL of the unlabelled."""
    split: str
    """TRAIN, HELD_OUT, TEST or UNLABELLED."""
    kind: Kind
    path: Path
    row: int | None = None
    """Row of a benchmark's HDF5 file; None: the file is the shape."""
    pictures: tuple[Path, ...] | None = None
    """Its views, where they were rendered elsewhere; None: they are to be drawn."""


@dataclass(frozen=True)
class Source:
    """A folder that was recognised."""

    root: Path
    layout: str
    """`mesh tree`, `point-cloud tree`, `mesh folder` or `point-cloud folder` (without class folders), or a
    benchmark's name."""
    variant: str | None
    """OBJ_ONLY, OBJ_BG, PB_T50_RS, ...; None where the layout has none."""
    kind: Kind
    classes: list[str]
    items: list[Item]
    notes: tuple[str, ...] = ()
    """What was left out and why, one line each."""
    up: Up | None = None
    """The axis of its files that points up; None: as each file's format says."""

    def counts(self) -> dict[str, int]:
        """Shapes per split; the unlabelled only where there are some."""
        return counts_of(item.split for item in self.items)

    @property
    def summary(self) -> str:
        """One line for the reader."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts().items())
        variant = f" {self.variant}" if self.variant else ""
        up = f", {self.up.axis} up ({self.up.said_by})" if self.up else ""
        return (
            f"{self.root}: {self.layout}{variant}, {counted(len(self.classes), 'class', 'classes')}, "
            f"{self.shapes} ({counts}){up}"
        )

    @property
    def shapes(self) -> str:
        """Their number and kind."""
        if self.kind == "mesh":
            return counted(len(self.items), "mesh", "meshes")
        return counted(len(self.items), "point cloud")


def recognise(
    root: Path,
    test_fraction: float,
    held_out_fraction: float,
    variant: str | None = None,
    unlabelled: Path | None = None,
) -> Source:
    """Find out what `root` holds, in a deterministic order; `variant` chooses where there are several.

    Shapes without a split of their own are split by a hash of their name; the held-out split is carved from train
    the same way, unless the source has one of its own (`splits_of`: what a small class keeps). `unlabelled` is a
    folder beside it, of shapes without a class; they stand behind all others, as those of `root`/unlabelled do.
    """
    if not root.is_dir():
        if not root.exists():
            raise UsageError(f"{root}: no such folder")
        raise UsageError(
            f"{root}: is a file, not a folder; name the folder it lies in ({root.parent}), and to look at it alone "
            f"--only {root.stem} --preview look.png"
        )
    found = _find(root, variant)
    if found is None:
        meant = _meant(root)
        found = None if meant else flat(root)
        if found is None:
            raise DataError(f"{root}: no shapes found; {meant or _hint(root)}")
    if variant is not None and found.variant is None:
        raise UsageError(f"--variant {variant}: {root} is a {found.layout}, which has no variants")
    items = _items(found, test_fraction, held_out_fraction)
    notes = found.notes
    for pile in piles(root, unlabelled):
        _check_pile(root, pile, items, found.kind)
        items += [Item(name, NO_LABEL, UNLABELLED, found.kind, path) for name, path in pile.shapes]
        notes += pile.notes
    _check_names(root, items)
    about = (found.layout, found.variant, found.kind, found.classes)
    return Source(root, *about, items, notes, found.up)


def check_classes(source: Source) -> None:
    """Raise where a classifier would have nothing to tell apart."""
    if source.layout.endswith(f" {FLAT}"):
        lies = "lies" if len(source.items) == 1 else "lie"
        raise DataError(
            f"{source.root}: its {source.shapes} {lies} in no class folder; put them into one folder per class "
            f"({source.root / 'CLASS' / 'NAME'}{source.items[0].path.suffix}), or make only pictures of them "
            "(--format png)"
        )
    if len(source.classes) < 2:
        raise DataError(
            f"{source.root}: only one class ({source.classes[0]}); a classifier needs at least two folders of shapes "
            "(--format png makes pictures of one)"
        )


def _find(root: Path, variant: str | None) -> Found | None:
    return benchmark(root, variant) or tree(root)


def _items(found: Found, test_fraction: float, held_out_fraction: float) -> list[Item]:
    if any(entry.given == HELD_OUT for entry in found.entries):
        held_out_fraction = 0.0
    rows: dict[int, list[int]] = defaultdict(list)
    for row, entry in enumerate(found.entries):
        rows[entry.label].append(row)
    names = [f"{found.classes[entry.label]}/{entry.stem}" for entry in found.entries]
    splits: dict[int, str] = {}
    for own in rows.values():
        given = [found.entries[row].given for row in own]
        of_class = splits_of([names[row] for row in own], given, test_fraction, held_out_fraction)
        splits |= zip(own, of_class, strict=True)
    return [
        Item(names[row], entry.label, splits[row], found.kind, entry.path, entry.row)
        for row, entry in enumerate(found.entries)
    ]


def _check_pile(root: Path, pile: Pile, items: list[Item], kind: Kind) -> None:
    """Shapes of the source's kind, none of which the source itself has."""
    if pile.kind not in (kind, None):
        one, other = ("point clouds", "meshes") if kind == "mesh" else ("meshes", "point clouds")
        raise DataError(
            f"{pile.root}: its shapes without a class are {one} ({pile.shapes[0][1].name} first), those of {root} are "
            f"{other}: one file holds one kind"
        )
    inside = pile.root.resolve()
    for folder in dict.fromkeys(item.path.parent for item in items if item.label != NO_LABEL):
        if folder.resolve().is_relative_to(inside):
            raise DataError(
                f"{pile.root}: holds {folder}, whose shapes are in {root} already; name a folder of unlabelled "
                "shapes alone"
            )


def _check_names(root: Path, items: list[Item]) -> None:
    """Names seed the sampling, decide the splits and find a shape again: they must be unique, and text."""
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.name, item)
        if other is not item:
            raise DataError(
                f"{root}: two shapes are named {item.name}: {_place(other, root)} and {_place(item, root)}; "
                "rename one of them"
            )
        if not item.name.isprintable():
            raise DataError(f"{root}: the name {item.name!a} is not printable text; rename it")


def _place(item: Item, root: Path) -> str:
    inside = item.path.is_relative_to(root)
    place = str(item.path.relative_to(root) if inside else item.path)
    return place if item.row is None else f"{place}, row {item.row}"


def _meant(root: Path) -> str | None:
    """The folder below, where that is the one that was meant."""
    for folder in subfolders(root):
        if has_no_class(folder):
            continue
        try:
            found = _find(folder, None)
        except PointCMTError:
            continue
        if found is not None and len(found.classes) > 1:
            return f"did you mean {folder} ({found.layout})?"
    return None


def _hint(root: Path) -> str:
    """What is there instead of shapes, or what is expected."""
    picture = next((path for path in root.rglob("*") if path.suffix.lower() in _PICTURES), None)
    if picture:
        return (
            f"it holds pictures ({picture.relative_to(root)}), and a student needs points: name the folder of "
            "their meshes or clouds, and this one with --views-from"
        )
    if any(map(has_no_class, subfolders(root))):
        return "it holds unlabelled ones alone, and a classifier needs some that have a class: CLASS/NAME.off"
    return _EXPECTED
