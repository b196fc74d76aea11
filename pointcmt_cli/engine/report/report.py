"""Stage `report`: what `evaluate` does, and a folder with report.html, MODEL_CARD.md and evaluation.json.

In: checkpoints and data, as `evaluate` takes them; out: one page that a browser opens without a network, a model card
for each checkpoint, and the document that both were made from. The same input gives the same bytes.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.data.store.views import FEATURES_FORMAT, VIEWS_FORMAT, ShapeSet, read_attributes
from pointcmt_cli.engine.evaluation.evaluate import Evaluation, measure
from pointcmt_cli.engine.evaluation.naming import run_names, shown_split
from pointcmt_cli.engine.evaluation.schema import Document
from pointcmt_cli.engine.report.card import model_card
from pointcmt_cli.engine.report.gallery import Answers, gallery
from pointcmt_cli.engine.report.page import page
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.files import atomic, check_folder
from pointcmt_cli.records import Note, Records, Result
from pointcmt_cli.wording import missing_package


def report(config: EvaluateConfig, folder: Path) -> Records:
    """Score, then write the folder; the Result is the evaluation document."""
    if find_spec("plotly") is None:
        raise PointCMTError(missing_package("a report", "plotly", "report"))
    for name in ("report.html", "evaluation.json"):
        check_folder(folder / name)
    found = yield from measure(config)
    for path in write_report(folder, found.document, pictured(found)):
        yield Note(f"{path} written")
    yield Result(found.document)


def write_report(folder: Path, document: Document, shown: Mapping[str, Any]) -> list[Path]:
    """Write every file; returns the paths, the page first."""
    runs = document["runs"]
    names = [f"-{label.replace('/', '-')}" if len(runs) > 1 else "" for label in run_names(runs)]
    content = {
        "report.html": page(document, shown),
        "evaluation.json": json.dumps(document, indent=2) + "\n",
        **{
            f"MODEL_CARD{name}.md": model_card(document, run["checkpoint"])
            for name, run in zip(names, runs, strict=True)
        },
    }
    for name, text in content.items():
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in content]


def pictured(found: Evaluation) -> dict[str, Any]:
    """The gallery: errors of one checkpoint, disagreements of several, beside what the teacher says."""
    runs = found.document["runs"]
    split, names = shown_split(runs), run_names(runs)
    rows = found.scored[0].rows[split]
    answers = [
        Answers(name, scored.logits[split].numpy())
        for name, scored in zip(names, found.scored, strict=True)
    ]
    teacher = None
    features = _beside(found.path, found.shapes, "features.h5", FEATURES_FORMAT)
    if features and not any(run["is_teacher"] for run in runs):
        name = "its teacher" if "teacher" in names else "teacher"
        teacher = Answers(name, read_features(features).teacher_logits[rows])
    views = _beside(found.path, found.shapes, "views.h5", VIEWS_FORMAT)
    points = max(run["points"] or 0 for run in runs) or found.shapes.points.shape[1]
    return gallery(found.shapes, rows, answers, teacher, views, points)


def _beside(path: Path, shapes: ShapeSet, name: str, kind: str) -> Path | None:
    """The file of this format that holds the same shapes: the data file itself, or the one beside it; None: neither."""
    if shapes.attributes["format"] == kind:
        return path
    other = path.with_name(name)
    if not other.exists():
        return None
    attributes = read_attributes(other)
    views = [each.get("views_digest", each["digest"]) for each in (attributes, shapes.attributes)]
    return other if attributes["format"] == kind and views[0] == views[1] else None
