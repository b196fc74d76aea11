"""The report's words: what runs are called, what they were, and the filters that its templates write numbers with.

In: runs of the evaluation document (docs/json-schema.md); out: text.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Run = Mapping[str, Any]
SPLITS = {"test": "test split", "held_out": "held-out split"}
UNKNOWN = "—"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as the field prints it."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def interval(pair: Sequence[float]) -> str:
    """Two shares, in percent."""
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"


def number(value: Any) -> str:
    """A figure to four digits; anything else as it is."""
    if value is None:
        return UNKNOWN
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def points(difference: float | None) -> str:
    """A difference of shares, with its sign, in percentage points."""
    return UNKNOWN if difference is None else f"{100 * difference:+.1f} points".replace("-", "−")


def chance(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def spread(found: Mapping[str, float | None] | None, signed: bool = False) -> str:
    """Mean and standard deviation of shares, in percent."""
    if not found or found["mean"] is None:
        return UNKNOWN
    mean = f"{100 * found['mean']:{'+' if signed else ''}.1f}"
    deviation = "" if found["std"] is None else f" ± {100 * found['std']:.1f}"
    return f"{mean}{deviation} {'points' if signed else '%'}"


def figures(found: Mapping[str, float | None] | None, signed: bool = False) -> str:
    """Mean and standard deviation of what is no share."""
    if not found or found["mean"] is None:
        return UNKNOWN
    deviation = "" if found["std"] is None else f" ± {found['std']:.3f}"
    return f"{found['mean']:{'+' if signed else ''}.3f}{deviation}"


FILTERS = {
    "percent": percent,
    "interval": interval,
    "number": number,
    "points": points,
    "spread": spread,
    "figures": figures,
    "chance": chance,
}


def labels(runs: Sequence[Run]) -> list[str]:
    """What to call each run: its file's name; its path where two files have one name; all of that where need be."""
    paths = [Path(run["checkpoint"]) for run in runs]
    names = [[path.stem, str(path.with_suffix("")), str(path)] for path in paths]
    shorter = list(zip(*names, strict=True))
    return [
        next(name for name, others in zip(own, shorter, strict=True) if others.count(name) == 1)
        for own in names
    ]


def split_of(runs: Sequence[Run]) -> str:
    """The split that the page is about: test, or held-out where there is no test."""
    return next(key for key in SPLITS if all(key in run["scores"] for run in runs))


def facts(run: Run) -> dict[str, Any]:
    """What a run was, in the reader's words."""
    made, with_what = run["provenance"], run["trained_with"]
    known = {
        "Checkpoint": run["checkpoint"],
        "Model": f"{run['name']}{with_options(run['options'])}, {run['parameters']:,} parameters",
        "Teacher": "none" if run["plain"] else made.get("teacher"),
        "Objective": None
        if run["objective"] is None
        else f"{run['objective']}{with_options(made.get('objective_options') or {})}",
        "Seed": run["seed"],
        "Epoch kept": run["selected_epoch"],
        "Points": run["points"],
        "Trained with": ", ".join(f"{key} {value}" for key, value in with_what.items()),
        "Scored on": run["device"],
    }
    return {key: UNKNOWN if value is None else value for key, value in known.items()}


def settings(run: Run) -> dict[str, str]:
    """Configuration and provenance as they are stored."""
    stored = {**run["config"], **run["provenance"]}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in sorted(stored.items())
        if value is not None
    }


def sort_of(run: Run) -> str:
    """A teacher, or a student and its objective."""
    return f"a {run['name']} teacher" if run["is_teacher"] else f"a {run['name']} student"


def with_options(options: Mapping[str, Any]) -> str:
    """Options of a plug-in, in brackets."""
    return f" ({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


def warnings(runs: Sequence[Run], path: str) -> list[str]:
    """What a reader of the scores must know first."""
    return [
        f"{path} is not the data that {run['label']} was trained on: shapes it has seen in training may be scored here."
        for run in runs
        if run["trained_on_this_data"] is False
    ]
