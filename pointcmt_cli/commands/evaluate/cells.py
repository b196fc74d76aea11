"""Cells of the tables that `pointcmt evaluate` shows: numbers of the evaluation document in, text out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointcmt_cli import console


def short_names(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each checkpoint's file name without its ending where these differ, else its path."""
    short = {run["checkpoint"]: Path(run["checkpoint"]).stem for run in runs}
    return short if len(set(short.values())) == len(short) else {path: path for path in short}


def spread(found: Mapping[str, Any]) -> str:
    """Mean and standard deviation of shares, in percent, where the heading says so."""
    mean, std = found["mean"], found["std"]
    return figure(mean) if std is None else f"{100 * mean:.1f} ± {100 * std:.1f}"


def figure(value: float | None) -> str:
    """Percent, where the heading says so."""
    return "" if value is None else f"{100 * value:.1f}"


def percent(value: float | None) -> str:
    """A share with its unit."""
    return "" if value is None else console.percent(value)


def chance(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return "no test"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
