"""One checkpoint scored. In: a model, its shapes and what is asked; out: its run in the document, and its answers.

The first N stored points of each shape are the single pass; votes and corruptions stand beside it, never in its place.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.evaluation.calibration import calibration
from pointcmt_cli.engine.evaluation.comparison import Answers, agreement
from pointcmt_cli.engine.evaluation.document import describe_run
from pointcmt_cli.engine.evaluation.intervals import intervals
from pointcmt_cli.engine.evaluation.robust_schema import Robustness
from pointcmt_cli.engine.evaluation.robustness import robustness
from pointcmt_cli.engine.evaluation.schema import Kind, Pass, Run, Split, SplitScores
from pointcmt_cli.engine.teacher.image_features import Views
from pointcmt_cli.engine.training import setup
from pointcmt_cli.engine.training.metrics import logit_batches, scores
from pointcmt_cli.engine.training.temperature import fit_temperature
from pointcmt_cli.engine.training.trained import Trained
from pointcmt_cli.records import Progress, Record
from pointcmt_cli.splits import HELD_OUT, TEST

SCALE = (0.85, 1.15)
"""Per axis; the reference's voting."""
SPLITS: dict[str, Split] = {HELD_OUT: "held_out", TEST: "test"}
"""The splits by their keys; on the first one the temperature is fitted, which the other is scored with."""
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
    label: str = ""
    """Before the names of its progress, where several are scored."""

    def task(self, name: str) -> str:
        """A name for progress."""
        return f"{self.label}{name.replace('_', '-')}"


@dataclass(frozen=True)
class Scored:
    """A checkpoint's answers on every split that has shapes; in memory only."""

    trained: Trained
    rows: dict[Split, NDArray[np.int64]] = field(default_factory=dict)
    """(S,) where in the data file the split's shapes stand."""
    labels: dict[Split, NDArray[np.int64]] = field(default_factory=dict)
    """(S,)."""
    logits: dict[Split, Tensor] = field(default_factory=dict)
    """(S, K) of the single pass."""

    def answers(self) -> dict[Split, Answers]:
        """Classes (S,) that it says."""
        return {split: logits.argmax(dim=1).numpy() for split, logits in self.logits.items()}


def score_run(
    subject: Subject, config: EvaluateConfig, teacher: Answers | None
) -> Generator[Record, None, tuple[Run, Scored]]:
    """One checkpoint: its run in the document, and its answers."""
    trained, shapes = subject.trained, subject.shapes
    model = trained.model.to(subject.device)
    votes = 1 if trained.is_teacher else config.votes
    run, scored = describe_run(trained, shapes, subject.path, subject.device.type), Scored(trained)
    temperatures: dict[Kind, float] = {}
    for split, key in SPLITS.items():
        rows = shapes.rows(split)
        if not len(rows):
            continue
        answers = yield from answer(subject, split, rows, votes, config.seed)
        labels = shapes.labels[rows]
        if split == HELD_OUT:
            temperatures = {kind: fit_temperature(each, labels) for kind, each in answers.items()}
        passes: dict[Kind, Pass] = {}
        for kind, logits in answers.items():
            of = scores(logits, labels, shapes.classes)
            fitted = temperatures.get(kind)
            more = calibration(logits, labels, fitted, fitted_here=split == HELD_OUT)
            passes[kind] = {**of, "intervals": intervals(of, config.seed), "calibration": more}
        found: SplitScores = {"single": passes["single"]}
        if "voted" in passes:
            found["voted"] = passes["voted"]
        if teacher is not None and not trained.is_teacher:
            said = answers["single"].argmax(dim=1).numpy()
            found["agreement"] = agreement(said, teacher[rows], labels)
        run["scores"][key] = found
        scored.rows[key], scored.labels[key] = rows, labels
        scored.logits[key] = answers["single"]
    if not trained.is_teacher and (config.corrupt or config.points or config.rotations):
        run["robustness"] = yield from stress(
            subject, config, run["scores"]["test"]["single"]["oa"]
        )
    model.to("cpu")
    return run, scored


def answer(
    subject: Subject, split: str, rows: NDArray[np.int64], votes: int, seed: int
) -> Generator[Record, None, dict[Kind, Tensor]]:
    """Logits (S, K) of one split: `single`, one unscaled pass; with votes `voted`, the log of the mean softmax."""
    total = torch.zeros(len(rows), len(subject.shapes.classes), dtype=torch.float64)
    found: dict[Kind, Tensor] = {}
    for vote in range(votes):
        logits = []
        for batch in _batches(subject, rows, vote, seed):
            logits.append(batch)
            done = vote * len(rows) + sum(map(len, logits))
            yield Progress(subject.task(split), done, votes * len(rows))
        single = torch.cat(logits)  # (S, K)
        total += single.double().softmax(dim=1)
        found.setdefault("single", single)
    if votes > 1:
        found["voted"] = (total / votes).clamp_min(1e-300).log()
    return found


def stress(
    subject: Subject, config: EvaluateConfig, clean: float
) -> Generator[Record, None, Robustness]:
    """Robustness on the test split, all of every corrupted cloud's points."""
    shapes, rows = subject.shapes, subject.shapes.rows(TEST)
    labels = torch.from_numpy(shapes.labels[rows])
    model, device = subject.trained.model, subject.device

    def score(
        clouds: NDArray[np.float32], task: str, done: int, total: int
    ) -> Generator[Record, None, float]:
        right = 0
        for batch in logit_batches(model, clouds, clouds.shape[1], subject.batch_size, device):
            right += int((batch.argmax(dim=1) == labels[done % len(rows) :][: len(batch)]).sum())
            done += len(batch)
            yield Progress(subject.task(task), done, total)
        return right / len(rows)

    found = yield from robustness(
        shapes.points[rows],
        [shapes.names[row] for row in rows],
        min(subject.trained.points, shapes.points.shape[1]),
        clean,
        config,
        score,
    )
    return found


def vote_points(points: NDArray[np.float32], vote: int, seed: int) -> NDArray[np.float32]:
    """The clouds (S, P, 3) of one pass: pass 0 as they are, the others scaled per shape and axis, each anew."""
    if vote == 0:
        return points
    low, high = SCALE
    scale = torch.rand(len(points), 1, 3, generator=setup.stream(seed, "vote", vote))
    scaled: NDArray[np.float32] = points * (low + (high - low) * scale).numpy()
    return scaled


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
