"""MODEL_CARD.md of a scored checkpoint: what it is, its scores and how they were measured.

In: the evaluation document (docs/json-schema.md) and the checkpoint's path in it; out: Markdown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pointcmt_cli.engine.evaluation.schema import Accuracy, Document, Kind, Protocol, Run
from pointcmt_cli.engine.report import tables
from pointcmt_cli.engine.report.words import number
from pointcmt_cli.engine.training.card import (
    Markdown,
    bullets,
    card,
    command,
    heading,
    plain,
    slug,
    table,
)
from pointcmt_cli.wording import interval, percent

TASK = {"type": "point-cloud-classification", "name": "Point cloud classification"}
METRICS: dict[Accuracy, str] = {"oa": "Overall accuracy", "macc": "Mean class accuracy"}
PASSES: tuple[Kind, ...] = ("single", "voted")
CHANGED: dict[Literal["points", "rotations"], str] = {
    "points": "points per cloud",
    "rotations": "rotation",
}
UNMEASURED = {
    "noisy": ("modelnet-c",),
    "partial": ("modelnet-c", "points"),
    "turned": ("modelnet-c", "rotations"),
}
"""Kinds of scans, and the measures that say something of them."""
SCORES = {
    "split": "l",
    "passes": "l",
    "shapes": "r",
    "overall accuracy": "r",
    "mean class accuracy": "r",
    "ECE": "r",
    "ECE with the temperature": "r",
}
CLASSES = {
    "class": "l",
    "shapes": "r",
    "recall": "r",
    "precision": "r",
    "most often taken for": "l",
}


def model_card(document: Document, checkpoint: str) -> str:
    """The card of one of the document's runs."""
    run = next(each for each in document["runs"] if each["checkpoint"] == checkpoint)
    words = tables.words({**document, "runs": [run], "comparisons": []})
    label = words["runs"][0]["label"]
    facts = {**words["facts"][0], **words["shared"], "pointcmt": document["pointcmt"]}
    classes = [
        [row["name"], row["count"], *map(percent, _recall(row)), row["taken_for"]]
        for row in words["classes"]
    ]
    sections = {
        "Scores": [*scores(words["headline"], document["protocol"]), *robustness(run)],
        "Classes": [
            plain(f"Worst recall first, {words['split_name']}."),
            table(CLASSES, classes),
        ],
        "Use": use(run, document),
        "How it was made": [table({"": "l", " ": "l"}, facts.items())],
    }
    return card(label, description(run, document), sections, **metadata(run, document, label))


def scores(headline: Sequence[tables.Headline], protocol: Protocol) -> Iterator[Markdown]:
    """Every split and number of passes, and how it was measured."""
    rows = []
    for row in headline:
        found = row["found"]
        ranges = found["intervals"] or {}
        tested = [
            percent(found[key]) + (f" ({interval(ranges[key])})" if key in ranges else "")
            for key in METRICS
        ]
        errors = [percent(found["calibration"][key]) for key in ("ece", "ece_scaled")]
        rows.append([row["split"], row["passes"] or "one", found["count"], *tested, *errors])
    yield table(SCORES, rows)
    yield plain(f"In brackets: {percent(protocol['level'], 0)} intervals.")
    yield bullets(protocol["sentences"])


def robustness(run: Run) -> Iterator[Markdown]:
    """What was measured under corruption, with fewer points, and turned."""
    found = run.get("robustness", {})
    if corruption := found.get("modelnet-c"):
        errors = {"mCE": corruption["mce"], "RmCE": corruption["rmce"], **corruption["ce"]}
        yield heading("Robustness")
        yield plain(
            "Errors under the corruptions of ModelNet-C as multiples of DGCNN's published ones (less is better): "
            + ", ".join(f"{name} {number(value)}" for name, value in errors.items())
            + "."
        )
    for key, kind in CHANGED.items():
        if key in found:
            parts = ", ".join(f"{name} {percent(value)}" for name, value in found[key].items())
            yield plain(f"Overall accuracy by {kind}: {parts}.")


def use(run: Run, document: Document) -> Iterator[Markdown]:
    """How it is called, on what, and what nobody has measured."""
    if run["is_teacher"]:
        yield plain(
            "It sees rendered views, not points: pointcmt distill teaches a student with it."
        )
        return
    yield command("pointcmt", "predict", Path(run["checkpoint"]).name, "shape.off", "another.ply")
    robust, counts = run.get("robustness", {}), document["data"]["counts"]
    unmeasured = [
        kind for kind, keys in UNMEASURED.items() if not any(key in robust for key in keys)
    ]
    unknown = (
        f"; how it does on {' or '.join(unmeasured)} scans was not measured" if unmeasured else ""
    )
    yield plain(
        f"It takes {run['points']} points of a shape's surface, moved and scaled into the unit sphere, and knows the "
        "classes above and no others: of anything else it names the one that looks most alike. It was scored on "
        f"{counts['test'] or counts['held_out']} shapes that are prepared as those it was trained on{unknown}."
    )


def metadata(run: Run, document: Document, label: str) -> dict[str, Any]:
    """The block that the hub reads: tags, and every score of the split that chose nothing."""
    data = document["data"]
    dataset = " ".join(filter(None, (data["layout"], data["variant"]))) or "point clouds"
    objective = [] if run["objective"] is None else [f"objective-{run['objective']}"]
    results = [
        {
            "task": TASK,
            "dataset": {"type": slug(dataset), "name": dataset, "split": split},
            "metrics": [
                {
                    "type": "accuracy",
                    "name": text if kind == "single" else f"{text}, voted",
                    "value": round(found[key], 4),
                }
                for kind in PASSES
                if (found := of.get(kind))
                for key, text in METRICS.items()
            ],
        }
        for split, of in run["scores"].items()
        if split == "test" or "test" not in run["scores"]
    ]
    return {
        "tags": [slug(run["name"]), *map(slug, objective)],
        "metrics": ["accuracy"],
        "model-index": [{"name": label, "results": results}],
    }


def description(run: Run, document: Document) -> str:
    """One or two sentences: what it does, and what it learned from."""
    many = len(document["data"]["class_names"])
    if run["is_teacher"]:
        return f"An image network ({run['name']}) that tells {many} classes of shapes apart by rendered views of them."
    teacher = run["provenance"].get("teacher")
    with_teacher = teacher and not run["plain"]
    taught = f" and taught by an image network ({teacher})" if with_teacher else ""
    return (
        f"A point-cloud network ({run['name']}) that tells {many} classes of shapes apart, trained with the objective "
        f"{run['objective']}{taught}. It needs points alone."
    )


def _recall(row: tables.ClassTable) -> list[float | None]:
    first = row["runs"][0]
    return [first["recall"], first["precision"]]
