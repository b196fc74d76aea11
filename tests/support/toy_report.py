"""Reports of toy checkpoints for the tests: real files through the real stage, in a second or two."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.features import read_features, write_features
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.report.report import report
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.provenance import TYPED
from pointcmt_cli.records import Note, Result
from toy_student import clouds, save, write_data

HOSTILE = ["<script>alert(1)</script>", "a|b *c* & <b>d</b>", "rod"]
"""Class names that break a page, a table or a chart that takes them as they are."""


def make(work: Path, classes: list[str], names: tuple[str, ...] = ("first",)) -> None:
    """Data and checkpoints in `work`, the history of each beside it; the teacher of features.h5 knows every second."""
    write_data(work, classes=classes, points=clouds(90, 1))
    path = work / "features.h5"
    found, views = read_features(path), read_shapes(work / "views.h5")
    logits = np.zeros_like(found.teacher_logits)
    logits[np.arange(90), (views.labels + np.arange(90) % 2) % 3] = 4
    features = found.teacher_features
    path.unlink()
    write_features(path, type(found)(views, features, logits, logits, found.encoder_features), {})
    for seed, name in enumerate(names):
        (work / name).parent.mkdir(exist_ok=True)
        out = work / f"{name}.pt"
        save(
            out,
            seed=seed,
            config={"seed": seed, "objective": "none"},
            metrics={"selected_by": "last", "selected_epoch": 3},
            objective="none",
            teacher="toy <i>teacher</i>",
            views_digest=views.digest,
        )
        checkpoint.save(out, {**checkpoint.load(out), "class_names": classes})
        with out.with_suffix(".metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "cross_entropy", "contrast", "train_accuracy", "held_out_oa"])
            writer.writerows(
                [[1, 2.5, 300, 0.3, ""], [2, 1.5, 20, 0.5, 0.4], [3, 1.0, 1, 0.6, 0.5]]
            )


def run(
    work: Path, out: Path, *names: str, typed: tuple[str, ...] | None = None, **options: Any
) -> tuple[dict[str, Any], list[str]]:
    """The document and the notes of a report in the folder `out`."""
    checkpoints = tuple(work / f"{name}.pt" for name in names or ("first",))
    config = EvaluateConfig(checkpoints, work=work, device="cpu", **options)
    token = TYPED.set(typed)
    try:
        records = list(report(config, out))
    finally:
        TYPED.reset(token)
    assert isinstance(records[-1], Result)
    return dict(records[-1].values), [each.text for each in records if isinstance(each, Note)]
