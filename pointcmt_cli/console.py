"""What the user sees: progress with remaining time, notes, tables; made from the records that a stage yields.

Everything goes to standard error except tables and `--json`, so that standard output holds results alone.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pointcmt_cli import records
from pointcmt_cli.errors import StageInterruptedError
from pointcmt_cli.wording import percent

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)
PLAIN_INTERVAL = 15.0
"""Seconds between progress lines where there is no terminal to redraw."""
NAME = 20
"""Characters of a row's name that are not folded either."""


def follow(
    stage: Iterable[records.Record],
    resumes: bool = True,
    each: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run a stage to its end, showing what it yields; returns the values of its Result.

    `resumes`: whether the same command goes on where an interrupt has stopped it. `each` is handed every Row; what it
    prints is the progress, and no other is shown.
    """
    bars = _Bars() if err.is_terminal else _Lines()
    values: dict[str, Any] = {}
    try:
        with bars:
            for record in stage:
                if isinstance(record, records.Result):
                    values = dict(record.values)
                elif isinstance(record, records.Row):
                    if each is not None:
                        each(record.values)
                elif isinstance(record, records.Progress):
                    if each is None:
                        bars.progress(record)
                else:
                    style = "yellow" if record.warning else None
                    err.print(record.text, style=style, markup=False)
    except KeyboardInterrupt:
        text = "interrupted" + ("; run the same command again to continue" if resumes else "")
        raise StageInterruptedError(text) from None
    return values


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table to standard output; columns of figures are aligned to the right, and no figure is folded."""
    cells = [[_cell(value) for value in row] for row in rows]
    shown = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        figures = index > 0 and any(row[index].lstrip("+-< ")[:1].isdigit() for row in cells)
        width = max((len(row[index]) for row in cells), default=0)
        whole = len(column) <= width if figures else index == 0 and width <= NAME
        shown.add_column(
            column,
            justify="right" if figures else "left",
            overflow="fold",
            no_wrap=whole,
            min_width=width if figures else None,
        )
    for row in cells:
        shown.add_row(*row)
    out.print(shown)


def scores(title: str, found: Mapping[str, Mapping[str, Any] | None]) -> None:
    """A table of overall and mean class accuracy, a row for each of `found` that was scored."""
    rows = [
        (label, percent(each["oa"]), percent(each["macc"]))
        for label, each in found.items()
        if each and each.get("oa") is not None
    ]
    table(title, ["", "OA", "mAcc"], rows)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def line(text: str) -> None:
    """One line of result on standard output."""
    out.print(text, markup=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(values: Mapping[str, float]) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in values.items())


class _Bars:
    """A terminal: one bar per task, redrawn."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=err,
        )
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> None:
        self.bars.start()

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def progress(self, record: records.Progress) -> None:
        if record.task not in self.tasks:
            self.tasks[record.task] = self.bars.add_task(
                record.task, total=record.total, unit=record.unit, figures=""
            )
        self.bars.update(
            self.tasks[record.task],
            completed=record.done,
            total=record.total,
            figures=_figures(record.values),
        )


class _Lines:
    """No terminal (a log file): a line now and then, and one at the end of each task."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[float, int]] = {}
        self.last = 0.0

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def progress(self, record: records.Progress) -> None:
        now = time.monotonic()
        start, first = self.started.setdefault(record.task, (now, record.done))
        if record.done < record.total and now - self.last < PLAIN_INTERVAL:
            return
        self.last = now
        done = record.done - first
        left = (now - start) / done * (record.total - record.done) if done else 0.0
        remaining = f", {left:.0f} s left" if record.done < record.total and done else ""
        err.print(
            f"{record.task}: {record.done}/{record.total} {record.unit}{remaining}  "
            f"{_figures(record.values)}".rstrip(),
            markup=False,
        )
