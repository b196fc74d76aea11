"""The tables of the report, by the names that page.html.j2 uses. In: the evaluation document; out: plain values."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from pointcmt_cli.engine.evaluation.naming import SPLITS, run_names, shown_split, taken_for
from pointcmt_cli.engine.evaluation.schema import (
    Accuracy,
    Document,
    Group,
    Kind,
    Pass,
    Split,
)
from pointcmt_cli.engine.report.words import Run, facts, settings, sort_of, warnings
from pointcmt_cli.engine.training.stored import ClassRow
from pointcmt_cli.wording import interval, percent

ORDERS = {
    "alike": "confused classes together",
    "stored": "as in the data",
    "worst": "worst recall first",
    "many": "most shapes first",
    "name": "by name",
}


class Headline(TypedDict):
    """A row of scores."""

    label: str
    split: str
    passes: str
    found: Pass


class ClassTable(TypedDict):
    """A row of the table of classes: what every run made of one."""

    name: str
    count: int
    runs: tuple[ClassRow, ...]
    taken_for: str


def words(document: Document) -> dict[str, Any]:
    """Everything of the page that is text or a table."""
    names = run_names(document["runs"])
    runs: list[Run] = [
        {**run, "label": label} for run, label in zip(document["runs"], names, strict=True)
    ]
    split = shown_split(runs)
    data, counts = document["data"], document["data"]["counts"]
    kind = ", ".join(filter(None, (data["layout"], data["variant"])))
    held = f"{counts['train']} train, {counts['held_out']} held-out, {counts['test']} test"
    if "unlabelled" in counts:
        held += f", {counts['unlabelled']} unlabelled"
    scored = f"{runs[0]['scores'][split]['single']['count']} shapes of {len(data['class_names'])} classes"
    many = len(runs) > 1
    return {
        "document": document,
        "runs": runs,
        "many": many,
        "split": split,
        "split_name": f"{SPLITS[split]} split",
        "title": title(names) if many else f"{names[0]}: {sort_of(runs[0])}",
        "lead": f"{'Side by side' if many else 'Scored'} on {scored}, the {SPLITS[split]} split of {data['path']}.",
        "warnings": warnings(runs, data["path"]),
        "missing": missing(runs),
        "tiles": [] if many else tiles(runs[0], split),
        "headline": headline(runs, document["protocol"]["votes"]),
        "agreement": _of_runs(runs, lambda run: run["scores"][split].get("agreement")),
        "groups": groups(document),
        "comparisons": comparisons(document, runs, split),
        "facts": [facts(run) for run in runs],
        "shared": {
            "Data": f"{data['path']}{f' ({kind})' if kind else ''}",
            "Shapes": f"{held}, of {len(data['class_names'])} classes",
            "Versions": ", ".join(f"{key} {value}" for key, value in document["versions"].items()),
        },
        "command": shlex.join(document["command"] or []),
        "settings": settings,
        "classes": classes(runs, split),
        "orders": ORDERS,
        "corruption": _of_runs(runs, lambda run: run.get("robustness", {}).get("modelnet-c")),
        "corruption_groups": corruption_groups(document),
    }


def missing(runs: Sequence[Run]) -> list[str]:
    """What the page has not got, and what would bring it."""
    found = []
    for run in runs:
        own = "teacher" if run["is_teacher"] else "student"
        beside = Path(run["checkpoint"]).with_suffix(".metrics.csv").name
        if own not in run["training"]:
            found.append(f"No curves of {run['label']}: {beside} is not beside it.")
        elif own == "student" and run["plain"] is False and "teacher" not in run["training"]:
            found.append(f"No curves of {run['label']}'s teacher: its checkpoint is not beside it.")
        if own == "student" and not any("agreement" in each for each in run["scores"].values()):
            found.append(f"Nothing of what the teacher says beside {run['label']}: no features.h5.")
    return found


def title(names: Sequence[str]) -> str:
    """What a page of several runs is called."""
    if len(names) > 3:
        return f"{len(names)} checkpoints side by side"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def tiles(run: Run, split: Split) -> list[dict[str, str]]:
    """The few figures that stand out, of one run."""
    found = run["scores"][split]["single"]
    ranges = found["intervals"]
    tested: dict[Accuracy, str] = {"oa": "Overall accuracy", "macc": "Mean class accuracy"}
    shown = [
        {
            "name": text,
            "value": percent(found[key]),
            "more": interval(ranges[key]),
        }
        for key, text in tested.items()
    ]
    if found["calibration"]["ece"] is not None:
        scaled = percent(found["calibration"]["ece_scaled"])
        shown.append(
            {
                "name": "Calibration error",
                "value": percent(found["calibration"]["ece"]),
                "more": f"{scaled} with the temperature",
            }
        )
    if agreement := run["scores"][split].get("agreement"):
        shown.append(
            {
                "name": "Teacher",
                "value": percent(agreement["teacher_oa"]),
                "more": f"same answer for {percent(agreement['same'])}",
            }
        )
    return shown


def headline(runs: Sequence[Run], votes: int) -> list[Headline]:
    """A row for every run, split and number of passes."""
    passes: dict[Kind, str] = {"single": "", "voted": f"{votes} votes"}
    return [
        {
            "label": run["label"],
            "split": SPLITS[split],
            "passes": text,
            "found": found,
        }
        for run in runs
        for split in SPLITS
        for key, text in passes.items()
        if (found := _pass(run, split, key))
    ]


def _pass(run: Run, split: Split, kind: Kind) -> Pass | None:
    scores = run["scores"].get(split)
    return scores.get(kind) if scores else None


def groups(document: Document) -> list[Group]:
    """Groups over seeds, where there is more to say than each run's own score."""
    found = document["groups"]
    more = any(each["n"] > 1 or "against_plain" in each for each in found)
    return found if more and len(document["runs"]) > 1 else []


def corruption_groups(document: Document) -> list[dict[str, Any]]:
    """Errors under corruption of each group over seeds, and beside the plain student's."""
    rows = []
    for group in groups(document):
        own, beside = (
            each.get("robustness", {}).get("modelnet-c")
            for each in (group, group.get("against_plain", {}))
        )
        if own:
            row = {"name": group["name"], "seeds": group["n"], "own": own, "beside": beside or {}}
            rows.append(row)
    return rows


def comparisons(document: Document, runs: Sequence[Run], split: Split) -> list[dict[str, Any]]:
    """McNemar's tests, with the difference of the two accuracies that they are about."""
    by_path = {run["checkpoint"]: run for run in runs}
    return [
        {
            **each,
            "a": by_path[each["a"]]["label"],
            "b": by_path[each["b"]]["label"],
            "difference": _oa(by_path[each["b"]], split) - _oa(by_path[each["a"]], split),
        }
        for each in document["comparisons"]
        if each["split"] == split
    ]


def classes(runs: Sequence[Run], split: Split) -> list[ClassTable]:
    """A row per class with every run's recall, precision and F1; the first run's worst recall first."""
    tables = [run["scores"][split]["single"]["per_class"] for run in runs]
    confusion = runs[0]["scores"][split]["single"]["confusion"]
    names = [row["name"] for row in tables[0]]
    rows: list[ClassTable] = [
        {
            "name": found[0]["name"],
            "count": found[0]["count"],
            "runs": found,
            "taken_for": taken_for(confusion[index], index, names),
        }
        for index, found in enumerate(zip(*tables, strict=True))
    ]
    return sorted(
        rows, key=lambda row: 2.0 if (recall := row["runs"][0]["recall"]) is None else recall
    )


def confusion(runs: Sequence[Run], split: Split) -> list[dict[str, Any]]:
    """Every run's counts (K, K), and the orders in which its classes can stand."""
    found = []
    for run in runs:
        scores = run["scores"][split]["single"]
        counts, rows = scores["confusion"], scores["per_class"]
        stored = list(range(len(rows)))
        recall = [2.0 if row["recall"] is None else row["recall"] for row in rows]
        orders = {
            "alike": alike(np.array(counts)),
            "stored": stored,
            "worst": sorted(stored, key=lambda k: recall[k]),
            "many": sorted(stored, key=lambda k: -rows[k]["count"]),
            "name": sorted(stored, key=lambda k: rows[k]["name"].casefold()),
        }
        found.append({"label": run["label"], "counts": counts, "orders": orders})
    return found


def alike(counts: NDArray[np.int64]) -> list[int]:
    """An order of the classes (K,) in which those that are taken for each other are neighbours."""
    many = len(counts)
    if many < 3:
        return list(range(many))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    apart = 1 - np.minimum((shares + shares.T) / 2, 1)
    pairs = apart[np.triu_indices(many, 1)]
    return [int(k) for k in leaves_list(linkage(pairs, "average", optimal_ordering=True))]


def gallery_words(gallery: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """The gallery with a sentence about what is in it."""
    shown, total, many = len(gallery["items"]), gallery["total"], words["many"]
    among = f"{total} of the {gallery['shapes']} shapes of the {words['split_name']}"
    about = f"They disagree about {among}." if many else f"{among} are wrong."
    if shown < total:
        about += f" Shown are {shown}: every class in turn, of each the one that a wrong answer is surest of."
    voices = [each["who"] for each in gallery["items"][0]["says"]] if shown else []
    return {**gallery, "about": about, "voices": voices}


def _of_runs(runs: Sequence[Run], pick: Callable[[Run], Any]) -> list[dict[str, Any]]:
    return [{"label": run["label"], "found": found} for run in runs if (found := pick(run))]


def _oa(run: Run, split: Split) -> float:
    return run["scores"][split]["single"]["oa"]
