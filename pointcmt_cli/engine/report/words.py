"""The report's words: what runs were, and the filters that its templates write numbers with.

In: runs of the evaluation document (docs/json-schema.md); out: text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pointcmt_cli import wording
from pointcmt_cli.engine.evaluation.naming import paired_test
from pointcmt_cli.engine.evaluation.schema import Run as ScoredRun
from pointcmt_cli.wording import UNKNOWN


class Run(ScoredRun):
    """A run of the document, and what the page calls it."""

    label: str


def number(value: Any) -> str:
    """A figure to four digits; anything else as it is."""
    if value is None:
        return UNKNOWN
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def spread(found: wording.Spread | None, signed: bool = False) -> str:
    """Mean and standard deviation of shares, with their unit."""
    text, unit = wording.spread(found, signed), "points" if signed else "%"
    return text if text == UNKNOWN else f"{text} {unit}"


def points(difference: float | None) -> str:
    """A difference of shares, with its sign, in percentage points."""
    return spread(None if difference is None else {"mean": difference, "std": None}, signed=True)


FILTERS = {
    "percent": wording.percent,
    "interval": wording.interval,
    "number": number,
    "points": points,
    "spread": spread,
    "figures": wording.plain_spread,
    "chance": wording.chance,
    "paired_test": paired_test,
}


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
        **({"Labels": f"{few} of each class"} if (few := made.get("labels_per_class")) else {}),
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
