"""The teacher's training and what follows from it: epochs, predictions, out-of-fold heads.

In: a module, a function from row numbers to its inputs (views, or cached image features), labels; out: history, logits.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pointcmt_cli.config import CPU_MICRO_BATCH, MICRO_BATCH, TeacherConfig
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.training import setup
from pointcmt_cli.engine.training.metrics import scores
from pointcmt_cli.engine.training.resume import Best, Resume
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.records import Progress, Record
from pointcmt_cli.splits import HELD_OUT, TRAIN, fold_of


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and how."""

    module: nn.Module
    inputs: Callable[[Tensor], Tensor]
    """Row numbers (B,) on the CPU -> what the module takes, on the device."""
    shapes: ShapeSet
    config: TeacherConfig
    device: torch.device
    purpose: str = "teacher"
    """Keeps the random numbers of several heads apart."""

    @property
    def at_once(self) -> int:
        """Shapes per forward pass: all of a batch on cached features, few through the image network."""
        if self.config.freeze:
            return self.config.batch_size
        usual = MICRO_BATCH if self.device.type == "cuda" else CPU_MICRO_BATCH
        return self.config.micro_batch or usual

    def forward(self, rows: Tensor) -> Tensor:
        """Logits (B, K) float32 on the device; autocast is for images, heads are float32."""
        with setup.autocast(self.device, "fp32" if self.config.freeze else self.config.precision):
            logits: Tensor = self.module(self.inputs(rows))
        return logits.float()

    def adam(self) -> torch.optim.Optimizer:
        """The reference's optimizer; its rate is constant."""
        return torch.optim.Adam(
            self.module.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )


def fit(task: Task, resume: Resume) -> Generator[Record, None, list[dict[str, Any]]]:
    """Train on the train split and score the held-out split after every epoch; returns the history.

    `resume` holds the weights of the best epoch afterwards, if there are held-out shapes.
    """
    config, shapes = task.config, task.shapes
    epochs = config.epochs or 0
    train, held_out = (torch.from_numpy(shapes.rows(split)) for split in (TRAIN, HELD_OUT))
    optimizer = task.adam()
    start, history = resume.load(task.module, optimizer)
    best = Best.from_history(history)
    count = len(even(train, config.batch_size))
    figures: dict[str, float] = {}
    for epoch in range(start, epochs):
        began, loss, right = time.monotonic(), 0.0, 0.0
        for step, (value, share) in enumerate(train_epoch(task, train, optimizer, epoch), 1):
            loss, right = loss + value / count, right + share / count
            figures["loss"] = value
            yield Progress("teacher", epoch * count + step, epochs * count, "steps", dict(figures))
        row = {"epoch": epoch + 1, "loss": loss, "train_accuracy": right}
        if len(held_out):
            found = scores(predict(task, held_out), shapes.labels[held_out.numpy()], shapes.classes)
            row |= {"held_out_oa": found["oa"], "held_out_macc": found["macc"]}
            figures[HELD_OUT] = found["oa"]
        row["seconds"] = time.monotonic() - began
        if best.better(row):
            resume.save_best(task.module)
        history.append(row)
        resume.save(task.module, optimizer, epoch + 1, history)
    return history


def train_epoch(
    task: Task, rows: Tensor, optimizer: torch.optim.Optimizer, epoch: int
) -> Iterator[tuple[float, float]]:
    """One pass over `rows`; yields loss and share of right answers per step.

    Cross-entropy with torch's label smoothing; the gradients of small passes add up to their batch's. The order
    depends on seed, purpose and epoch alone, dropout on these and the step.
    """
    config, device = task.config, task.device
    labels = torch.from_numpy(task.shapes.labels)
    keys = (config.seed, task.purpose, epoch)
    order = torch.randperm(len(rows), generator=setup.stream(*keys))
    task.module.train()
    for step, batch in enumerate(even(rows[order], config.batch_size)):
        total, right = torch.zeros((), device=device), torch.zeros((), device=device)
        optimizer.zero_grad(set_to_none=True)
        with setup.seeded(*keys, step):
            for part in even(batch, task.at_once):
                target = labels[part].to(device)
                logits = task.forward(part)
                loss = F.cross_entropy(
                    logits, target, label_smoothing=config.smoothing, reduction="sum"
                )
                (loss / len(batch)).backward()  # type: ignore[no-untyped-call]
                total += loss.detach() / len(batch)
                right += (logits.argmax(dim=1) == target).sum() / len(batch)
        value = setup.guard(total, "train-teacher", epoch, step)
        optimizer.step()
        yield value, float(right)


def predict(task: Task, rows: Tensor) -> Tensor:
    """Logits (R, K) on the CPU of some rows, in eval mode."""
    task.module.eval()
    with torch.inference_mode():
        return torch.cat([task.forward(part).cpu() for part in even(rows, task.at_once)])


def out_of_fold(
    features: Features, width: int | None, config: TeacherConfig, device: torch.device, epochs: int
) -> Generator[Record, None, NDArray[np.float32]]:
    """Logits (S, K), those of train shapes from a head that was not trained on them: one head per fold.

    The heads stand on the frozen network's features and are trained like the main one, for the number of epochs
    that was selected for it. All other rows are the main head's.
    """
    shapes = features.shapes
    train = torch.from_numpy(shapes.rows(TRAIN))
    folds = torch.tensor([fold_of(shapes.names[row], config.folds) for row in train.tolist()])
    inputs = cached(features.encoder_features, device)
    logits = features.teacher_logits.copy()
    for fold in range(config.folds):
        inside, rest = train[folds == fold], train[folds != fold]
        if len(inside) and len(rest) > 1:
            purpose = f"fold {fold}"
            with setup.seeded(config.seed, purpose, "weights"):
                head = Classifier(
                    Given(features.encoder_features.shape[1]), len(shapes.classes), width
                )
            task = Task(head.to(device), inputs, shapes, config, device, purpose)
            optimizer = task.adam()
            for epoch in range(epochs):
                for _ in train_epoch(task, rest, optimizer, epoch):
                    pass
            logits[inside.numpy()] = predict(task, inside).numpy()
        yield Progress("out-of-fold heads", fold + 1, config.folds, "heads")
    return logits


class Given(nn.Module):
    """An encoder whose features are computed already."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, features: Tensor) -> Tensor:
        """(B, E) -> (B, E)."""
        return features


def cached(features: NDArray[np.float32], device: torch.device) -> Callable[[Tensor], Tensor]:
    """The inputs of a head on a frozen network: rows of (S, E), on the device for the whole run."""
    held = torch.from_numpy(features).to(device)
    return lambda rows: held[rows.to(device)]


def even(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """`rows` in parts of nearly equal length, about `size` and never a single one: batch norm needs two."""
    parts = max(1, min(math.ceil(len(rows) / size), len(rows) // 2))
    return torch.tensor_split(rows, parts)
