"""Recognise what a folder holds. In: a path; out: a `Source`, its classes and one cheap `Item` per shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pointcmt_cli.errors import DataError

Kind = Literal["mesh", "cloud"]


@dataclass(frozen=True)
class Item:
    """One shape that has not been read yet; small and picklable."""

    name: str
    """`CLASS/NAME`, unique in its source."""
    label: int
    """Row of the source's `classes`."""
    split: str
    """`train`, `val` or `test`."""
    kind: Kind
    path: Path
    row: int | None = None
    """Row of a benchmark's HDF5 file; None: the file is the shape."""


@dataclass(frozen=True)
class Source:
    """A folder that was recognised."""

    root: Path
    layout: str
    """`mesh tree`, `point-cloud tree`, or the name of a benchmark."""
    variant: str | None
    """OBJ_ONLY, OBJ_BG, PB_T50_RS, ...; None where the layout has none."""
    kind: Kind
    classes: list[str]
    items: list[Item]
    notes: tuple[str, ...] = ()
    """What was left out and why, one line each."""

    def counts(self) -> dict[str, int]:
        """Shapes per split."""
        splits = [item.split for item in self.items]
        return {split: splits.count(split) for split in ("train", "val", "test")}

    @property
    def summary(self) -> str:
        """One line for the reader."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts().items())
        variant = f" {self.variant}" if self.variant else ""
        unit = {"mesh": "meshes", "cloud": "point clouds"}[self.kind]
        return (
            f"{self.root}: {self.layout}{variant}, {len(self.classes)} classes, "
            f"{len(self.items)} {unit} ({counts})"
        )


def recognise(
    root: Path, test_fraction: float, held_out_fraction: float, variant: str | None = None
) -> Source:
    """Find out what `root` holds, in a deterministic order; `variant` chooses where there are several."""
    raise DataError(f"{root}: not recognised")
