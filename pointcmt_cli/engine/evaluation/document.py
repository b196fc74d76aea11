"""The evaluation document: what was scored, how, on what, and made from what; docs/json-schema.md describes it.

In: opened checkpoints and the data; out: plain values, in which an unknown value is None.
"""

import csv
import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from pointcmt_cli import discovery
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.evaluation.groups import group_of
from pointcmt_cli.engine.evaluation.intervals import LEVEL, RESAMPLES
from pointcmt_cli.engine.evaluation.schema import Counts, Document, Run
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.stored import Metrics, Row, Stage
from pointcmt_cli.engine.training.trained import Trained, same_data
from pointcmt_cli.errors import DataError, PluginError
from pointcmt_cli.files import plain
from pointcmt_cli.provenance import command
from pointcmt_cli.splits import HELD_OUT, TEST, TRAIN, UNLABELLED

SCHEMA: Final = "pointcmt-evaluation"
VERSION: Final = 1
UNITS = {
    "oa, macc, top5, precision, recall, f1, ece, confidence, accuracy, agreement, intervals": "share, in [0, 1]",
    "mce, rmce, ce, rce": "multiple of DGCNN's error; DGCNN is 1",
    "count, confusion, only_a, only_b": "shapes",
    "seconds": "s",
}
DISTRIBUTIONS = ("torch", "numpy", "scipy", "torchmetrics")


def document(config: EvaluateConfig, path: Path, shapes: ShapeSet, runs: Sequence[Run]) -> Document:
    """All of it; comparisons and groups are filled in by who has the answers."""
    counts = shapes.counts()
    said: Counts = {"train": counts[TRAIN], "held_out": counts[HELD_OUT], "test": counts[TEST]}
    if UNLABELLED in counts:
        said["unlabelled"] = counts[UNLABELLED]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "pointcmt": version("pointcmt"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in DISTRIBUTIONS},
        },
        "command": command(),
        "units": UNITS,
        "data": {
            "path": str(path),
            "layout": text(shapes, "source_layout"),
            "variant": text(shapes, "variant"),
            "class_names": list(shapes.classes),
            "counts": said,
        },
        "protocol": {
            "votes": config.votes,
            "seed": config.seed,
            "bootstrap": RESAMPLES,
            "level": LEVEL,
            "sentences": sentences(config, runs),
        },
        "runs": list(runs),
        "comparisons": [],
        "groups": [],
    }


def describe_run(trained: Trained, shapes: ShapeSet, path: Path, device: str) -> Run:
    """A checkpoint, as far as it can be told before it is scored."""
    values, made = trained.values, trained.provenance
    objective = objective_of(trained)
    metrics: Metrics = plain(values["metrics"])
    uses_generator = bool(getattr(objective, "needs_generator", False))
    run: Run = {
        "checkpoint": str(trained.path),
        "name": values["name"],
        "options": dict(values["options"]),
        "distribution": values["distribution"],
        "distribution_version": values["distribution_version"],
        "trained_with": {"pointcmt": values["pointcmt"], "torch": values["torch"]},
        "is_teacher": trained.is_teacher,
        "objective": made.get("objective"),
        "objective_options": dict(made.get("objective_options", {})),
        "plain": learns_alone(trained, objective),
        "uses_generator": uses_generator,
        "seed": values["config"]["seed"],
        "selected_by": metrics.get("selected_by"),
        "selected_epoch": metrics.get("selected_epoch"),
        "trained_on_this_data": same_data(trained, shapes),
        "points": None if trained.is_teacher else min(trained.points, shapes.points.shape[1]),
        "device": device,
        "parameters": sum(each.numel() for each in trained.model.parameters()),
        "config": plain(values["config"]),
        "provenance": plain(made),
        "recorded": metrics,
        "training": training(trained, path, uses_generator, learns_alone(trained, objective)),
        "group": "",
        "scores": {},
    }
    run["group"] = group_of(run)
    return run


def objective_of(trained: Trained) -> Any:
    """The objective that a student was trained on, or None: a teacher has none, and its plug-in may be gone."""
    if trained.is_teacher or "objective" not in trained.values["config"]:
        return None
    name, options = (trained.values["config"][key] for key in ("objective", "objective_options"))
    try:
        return discovery.build("objectives", name, options)
    except PluginError:
        return None


def learns_alone(trained: Trained, objective: Any) -> bool | None:
    """Whether a student learns from labels alone; None where the objective cannot be asked."""
    if trained.is_teacher:
        return False
    if objective is None:
        return None
    more = getattr(objective, "uses_teacher", True) or getattr(objective, "uses_unlabelled", False)
    return not more


def training(
    trained: Trained, path: Path, with_generator: bool, alone: bool | None
) -> dict[Stage, list[Row]]:
    """Rows per epoch from the .metrics.csv files of the run and of what it learned from, where they are found."""
    found: dict[Stage, list[Row]] = {trained.kind: history(trained.path)}
    made = trained.provenance
    if not trained.is_teacher and not alone:
        folders = dict.fromkeys((path.parent, trained.path.parent))
        teachers = [each for folder in folders for each in sorted(folder.glob("teacher*.pt"))]
        found["teacher"] = history_of(teachers, "digest", made.get("teacher_digest"))
    generator = trained.values["config"].get("generator")
    if with_generator and generator:
        beside = trained.path.with_name(Path(generator).name)
        found["generator"] = history_of([beside], "run_key", made.get("generator_key"))
    return {stage: rows for stage, rows in found.items() if rows}


def history_of(candidates: Sequence[Path], field: str, value: str | None) -> list[Row]:
    """The first history beside one of these checkpoints whose provenance says `field` is `value`; or none."""
    found = (history(each) for each in candidates if _says(each, field, value))
    return next(filter(None, found), [])


def _says(path: Path, field: str, value: str | None) -> bool:
    if value is None or not path.exists():
        return False
    try:
        return bool(checkpoint.load(path).get("provenance", {}).get(field) == value)
    except DataError:
        return False


def history(path: Path) -> list[Row]:
    """The rows beside a checkpoint, numbers read; of a cell without one None; rows without an epoch are left out."""
    beside = path.with_suffix(".metrics.csv")
    if not beside.is_file():
        return []
    with beside.open(newline="") as file:
        columns, *lines = list(csv.reader(file)) or [[]]
    rows = [
        {
            key: _number(cell)
            for key, cell in zip_longest(columns, line[: len(columns)], fillvalue="")
        }
        for line in lines
    ]
    return [row for row in rows if row.get("epoch") is not None]


def sentences(config: EvaluateConfig, runs: Sequence[Run]) -> list[str]:
    """The protocol in words: what was chosen on what."""
    chosen = {
        "last": "is the last one: nothing was chosen by any score",
        "held-out": "was chosen by overall accuracy on the held-out split, which is cut from train",
    }
    said = []
    for key, words in chosen.items():
        of = [run["checkpoint"] for run in runs if run["selected_by"] == key]
        if of:
            whose = "every checkpoint" if len(of) == len(runs) else ", ".join(of)
            said.append(f"The epoch kept of {whose} {words}.")
    said += [
        "pointcmt chooses nothing on the test split: neither an epoch, nor a temperature, nor a number of votes.",
        "The temperature is fitted on the held-out split and applied to test.",
        f"Intervals are {LEVEL:.0%} percentile intervals of {RESAMPLES} bootstrap resamples of the shapes (seed "
        f"{config.seed}), of mAcc within each class; they do not cover the spread over training seeds, and "
        "a class with a single shape, or with none or all of its shapes right, adds nothing to the width of mAcc's.",
    ]
    if config.votes > 1:
        said.append(
            f"Voting averages {config.votes} passes, always this many: the first as stored, the others scaled per "
            "axis by 0.85 to 1.15."
        )
    if config.corrupt:
        said.append(
            f"Corruptions follow ModelNet-C's definitions but are drawn here (seed {config.seed}): they are not its "
            "files, and mCE and RmCE are not its leaderboard's."
        )
    return said


def text(shapes: ShapeSet, key: str) -> str | None:
    """A root attribute of the data file, where it says something."""
    value = shapes.attributes.get(key)
    return None if value is None or str(value) == "" else str(value)


def _number(cell: str) -> float | int | None:
    """Of a cell; None where there is no finite number in it."""
    if cell.isdecimal():
        return int(cell)
    try:
        found = float(cell)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
