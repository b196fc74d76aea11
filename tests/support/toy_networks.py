"""Backbones and objectives for the tests of `distill`, loaded as `toy_networks:NAME` in processes of their own too."""

import os
import time

from torch import Tensor, nn

from pointcmt_cli.models.distillation import Distillation

PAUSE = float(os.environ.get("TOY_PAUSE", 0))
"""Seconds before each step of `tiny`, in a process that is to be met in the middle of its training."""


def tiny(*, width: int = 12, dropout: float = 0.0) -> nn.Module:
    """A backbone small enough for a test: per-point MLP and max."""
    return Tiny(width, dropout)


class Tiny(nn.Module):
    minimum_points = 4

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.feature_dim = width
        self.layers = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Dropout(dropout))
        self.last = nn.Linear(width, width)

    def forward(self, points: Tensor) -> Tensor:
        if PAUSE:
            time.sleep(PAUSE)
        pooled: Tensor = self.last(self.layers(points)).amax(dim=1)
        return pooled


class Explodes(nn.Module):
    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        return {"boom": batch.student_logits.sum() * (float("nan") if batch.progress > 0 else 1.0)}


def explodes() -> nn.Module:
    return Explodes()


class Normed(nn.Module):
    """Batch norm, which counts, and dropout, which draws."""

    feature_dim = 12

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny(width=12, dropout=0.3)
        self.norm = nn.BatchNorm1d(12)

    def forward(self, points: Tensor) -> Tensor:
        rows: Tensor = self.norm(self.inner(points))
        return rows


def normed() -> nn.Module:
    return Normed()


class Relations(nn.Module):
    """Every row's loss is about its distances to all others, so that a part of the batch is not enough."""

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        own, wanted = (
            each @ each.T / each.shape[1]
            for each in (batch.student_features, batch.teacher_features)
        )
        labels = nn.functional.cross_entropy(batch.student_logits, batch.labels)
        return {"relations": 0.01 * (own - wanted).square().mean(), "cross_entropy": labels}


def relations() -> nn.Module:
    return Relations()
