"""What a stage yields while it works; stdlib only. The console shows records, a notebook may print or ignore them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Note:
    """One line for the reader."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a task are finished; `values` are the latest figures (loss, accuracy)."""

    task: str
    done: int
    total: int
    unit: str = "shapes"
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One part of the outcome, as soon as it is known: plain values."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """The stage's outcome, plain values only (it can be written as JSON); always the last record."""

    values: Mapping[str, Any]


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 view`, `2 views`; `many` where an s does not do."""
    return f"{number} {one if number == 1 else many or one + 's'}"


Record: TypeAlias = Note | Progress | Row | Result
Records: TypeAlias = Iterator[Record]
