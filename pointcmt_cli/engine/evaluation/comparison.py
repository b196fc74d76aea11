"""Two classifiers on the same shapes. In: answers (S,) and labels (S,); out: who is right where, McNemar's test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pointcmt_cli.data.store.views import FEATURES_FORMAT, ShapeSet, open_checked
from pointcmt_cli.engine.evaluation.schema import Agreement, Comparison, Split

Answers = NDArray[np.int64]


def agreement(student: Answers, teacher: Answers, labels: Answers) -> Agreement:
    """Shares of the shapes; `same`: the same class, right or wrong."""
    right, taught = student == labels, teacher == labels
    return {
        "teacher_oa": float(taught.mean()),
        "same": float((student == teacher).mean()),
        "both_right": float((right & taught).mean()),
        "only_student": float((right & ~taught).mean()),
        "only_teacher": float((~right & taught).mean()),
        "both_wrong": float((~right & ~taught).mean()),
    }


class McNemar(TypedDict):
    """The part of a Comparison that is computed."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(a: Answers, b: Answers, labels: Answers) -> McNemar:
    """Exact, two-sided: of the shapes that only one is right on, are half each one's? (McNemar, Psychometrika 1947)."""
    only_a = int(((a == labels) & (b != labels)).sum())
    only_b = int(((a != labels) & (b == labels)).sum())
    one_sided = only_a + only_b
    p_value = float(binomtest(only_a, one_sided).pvalue) if one_sided else 1.0
    return {"only_a": only_a, "only_b": only_b, "p_value": p_value}


def comparisons(
    answers: Sequence[tuple[str, Mapping[Split, Answers]]], labels: Mapping[Split, Answers]
) -> list[Comparison]:
    """Every pair of checkpoints, given as (path, answers per split), on every split."""
    return [
        {"a": a, "b": b, "split": split, **mcnemar(of_a[split], of_b[split], labels[split])}
        for first, (a, of_a) in enumerate(answers)
        for b, of_b in answers[first + 1 :]
        for split in labels
    ]


def teacher_answers(path: Path, shapes: ShapeSet) -> Answers | None:
    """What the teacher says of every shape (S,), from this features.h5 or the one beside views.h5; None: not there."""
    if shapes.attributes["format"] != FEATURES_FORMAT:
        path = path.with_name("features.h5")
        if not path.exists():
            return None
    with open_checked(path, FEATURES_FORMAT) as file:
        if shapes.digest not in (file.attrs.get("digest"), file.attrs.get("views_digest")):
            return None
        found: Answers = file["teacher_logits"][:].argmax(axis=1)
    return found
