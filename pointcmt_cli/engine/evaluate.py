"""Stage `evaluate`: a checkpoint and features.h5 or views.h5 -> scores of the held-out and the test split.

One pass over the first N stored points of each shape is what `distill` scored, and gives its number again. With votes
(reference: 10 passes, scales U[0.85, 1.15] per axis, first pass unscaled, softmax averaged) a second, separate score
stands beside it. Against the reference: a fixed number of passes, never the best of many; every pass scales the
original points, so scales do not compound.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.files import plain
from pointcmt_cli.data.store import ShapeSet, read_attributes
from pointcmt_cli.engine import loop
from pointcmt_cli.engine.freshness import changed_source
from pointcmt_cli.engine.metrics import logit_batches, scores
from pointcmt_cli.engine.teacher_features import Views
from pointcmt_cli.engine.trained import Trained, find_data, open_trained, read_clouds, same_data
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Progress, Record, Records, Result

SCALE = (0.85, 1.15)
"""Per axis; the reference's voting."""
SPLITS = {"held_out": "val", "test": "test"}
IMAGES = 8
"""Shapes per batch of views: twelve 224-pixel views of eight shapes are 60 MB of floats."""


@dataclass(frozen=True)
class Subject:
    """What is scored: a model on its device, and the shapes it is asked about."""

    trained: Trained
    path: Path
    shapes: ShapeSet
    device: torch.device
    batch_size: int


def evaluate(config: EvaluateConfig) -> Records:
    """Score a student, or a teacher; yields notes, progress and the scores per split."""
    trained = open_trained(config.checkpoint, config.work, "backbones", "teachers")
    if trained.is_teacher and config.votes > 1:
        raise UsageError(f"--votes scales points; {trained.path} is a teacher and sees views")
    names = ("views.h5",) if trained.is_teacher else ("features.h5", "views.h5")
    path = find_data(config.data, config.work, trained.path, *names)
    if trained.is_teacher and read_attributes(path).get("format") != "pointcmt-views":
        raise DataError(f"{path} has no views; a teacher needs views.h5: name it with --data")
    shapes = read_clouds(path, trained.classes)
    device = loop.choose_device(config.device)
    trained.model.to(device)
    subject = Subject(trained, path, shapes, device, config.batch_size)
    yield Note(f"{trained.path}: {trained.values['name']} on {describe_data(path, shapes)}")
    if stale := changed_source(path):
        yield Note(stale, warning=True)
    yield from warnings(subject)

    found: dict[str, Any] = {}
    for label, split in SPLITS.items():
        rows = shapes.rows(split)
        if len(rows):
            found[label] = yield from score_split(subject, label, rows, config)
        else:
            yield Note(f"{path} has no {label.replace('_', '-')} shapes", warning=True)
    if not found:
        raise DataError(f"{path} has neither held-out nor test shapes: nothing to score")
    yield Result(
        {
            **trained.describe(),
            "data": str(path),
            "layout": _text(shapes, "source_layout"),
            "variant": _text(shapes, "variant"),
            "counts": shapes.counts(),
            "class_names": trained.classes,
            "trained_on_this_data": same_data(trained, shapes),
            "points": None if trained.is_teacher else min(trained.points, shapes.points.shape[1]),
            "votes": config.votes,
            "seed": config.seed,
            "device": device.type,
            "scores": found,
            "recorded": plain(trained.values["metrics"]),
        }
    )


def score_split(
    subject: Subject, label: str, rows: NDArray[np.int64], config: EvaluateConfig
) -> Generator[Record, None, dict[str, Any]]:
    """Scores of one split: `single` (one unscaled pass) and, with votes, `voted` (the mean over all passes)."""
    labels, classes = subject.shapes.labels[rows], subject.shapes.classes
    total = torch.zeros(len(rows), len(classes), dtype=torch.float64)
    result: dict[str, Any] = {}
    for vote in range(config.votes):
        logits = []
        for batch in _batches(subject, rows, vote, config.seed):
            logits.append(batch)
            done = vote * len(rows) + sum(map(len, logits))
            yield Progress(label.replace("_", "-"), done, config.votes * len(rows))
        single = torch.cat(logits)  # (S, K)
        total += single.double().softmax(dim=1)
        if vote == 0:
            result["single"] = scores(single, labels, classes)
    if config.votes > 1:
        result["voted"] = scores((total / config.votes).float(), labels, classes)
    if absent := result["single"]["absent"]:
        shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        yield Note(
            f"{label.replace('_', '-')}: no shapes of {len(absent)} of {len(classes)} classes "
            f"({shown}); they are in no mAcc",
            warning=True,
        )
    return result


def vote_points(points: NDArray[np.float32], vote: int, seed: int) -> NDArray[np.float32]:
    """The clouds (S, P, 3) of one pass: pass 0 as they are, the others scaled per shape and axis, each anew."""
    if vote == 0:
        return points
    low, high = SCALE
    scale = torch.rand(len(points), 1, 3, generator=loop.stream(seed, "vote", vote))
    scaled: NDArray[np.float32] = points * (low + (high - low) * scale).numpy()
    return scaled


def warnings(subject: Subject) -> Iterator[Note]:
    """What a reader of the scores must know first."""
    trained, shapes, path = subject.trained, subject.shapes, subject.path
    if same_data(trained, shapes) is False:
        yield Note(
            f"{path} is not the data that {trained.path} was trained on: the splits may differ, "
            "so shapes it has seen in training may be scored here",
            warning=True,
        )
    recorded, variant = trained.provenance.get("variant"), _text(shapes, "variant")
    if recorded and recorded != variant:
        yield Note(
            f"{trained.path} was trained on variant {recorded}, {path} is {variant or 'none'}",
            warning=True,
        )
    stored = shapes.points.shape[1]
    if not trained.is_teacher and stored < trained.points:
        yield Note(
            f"{path} stores {stored} points per shape, {trained.path} asks for {trained.points}: all are used",
            warning=True,
        )


def describe_data(path: Path, shapes: ShapeSet) -> str:
    """Path, layout, variant, classes and counts in one line."""
    kind = " ".join(filter(None, (_text(shapes, "source_layout"), _text(shapes, "variant"))))
    names = {"val": "held-out"}
    counts = ", ".join(f"{n} {names.get(split, split)}" for split, n in shapes.counts().items())
    return f"{path} ({kind + ', ' if kind else ''}{len(shapes.classes)} classes, {counts})"


def _batches(subject: Subject, rows: NDArray[np.int64], vote: int, seed: int) -> Iterator[Tensor]:
    model, device = subject.trained.model, subject.device
    if not subject.trained.is_teacher:
        points = vote_points(subject.shapes.points[rows], vote, seed)
        return logit_batches(model, points, subject.trained.points, subject.batch_size, device)
    return _view_batches(subject, rows)


def _view_batches(subject: Subject, rows: NDArray[np.int64]) -> Iterator[Tensor]:
    model, config = subject.trained.model, subject.trained.values["config"]
    views = Views(subject.path, config["view_size"], subject.device)
    for batch in torch.split(torch.from_numpy(rows), min(IMAGES, subject.batch_size)):
        with torch.inference_mode():
            logits: Tensor = model(views(batch))
        yield logits.float().cpu()


def _text(shapes: ShapeSet, key: str) -> str | None:
    value = shapes.attributes.get(key)
    return None if value is None or str(value) == "" else str(value)
