"""One step of the student: batches that stay on the device, and student and teacher side by side for the objective."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.augmentation import augment
from pointcmt_cli.data.features import Features
from pointcmt_cli.engine import loop
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation


class Resident:
    """Everything a step needs of the train split, on the device for the whole run."""

    def __init__(self, features: Features, device: torch.device, rows: Any) -> None:
        def put(values: Any) -> Tensor:
            return torch.from_numpy(values[rows]).to(device)

        self.points = put(features.shapes.points)
        self.labels = put(features.shapes.labels)
        self.teacher_features = put(features.teacher_features)
        self.teacher_logits = put(features.teacher_logits)
        self.oof_logits = put(features.oof_logits)
        self.encoder_features = put(features.encoder_features)

    def batches(self, epoch: int, config: DistillConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Row numbers (B,) and augmented points (B, N, 3); numbers depend on seed and epoch alone."""
        numbers = loop.stream(config.seed, "batches", epoch)
        order = torch.randperm(len(self.labels), generator=numbers)
        for rows in torch.split(order, config.batch_size):
            if len(rows) > 1:  # batch norm needs two
                rows = rows.to(self.labels.device)
                yield rows, augment(self.points[rows], config.points, numbers)

    def steps(self, config: DistillConfig) -> int:
        """Steps per epoch."""
        full, rest = divmod(len(self.labels), config.batch_size)
        return full + (rest > 1)


def forward(
    student: Any,
    data: Resident,
    rows: Tensor,
    points: Tensor,
    generator: nn.Module | None,
    config: DistillConfig,
    device: torch.device,
    progress: float,
) -> Distillation:
    """Student and teacher side by side on one batch; features and logits leave autocast in float32."""
    with loop.autocast(device, config.precision):
        features = student.features(points)
    features = features.float()
    return Distillation(
        labels=data.labels[rows],
        student_features=features,
        student_logits=student.head(features),
        head=student.head,
        progress=progress,
        teacher_features=data.teacher_features[rows],
        teacher_logits=data.teacher_logits[rows],
        oof_logits=data.oof_logits[rows],
        rows=rows,
        bank_features=data.encoder_features,
        bank_labels=data.labels,
        generator=generator,
    )


def settle(
    objective: Any,
    student: Classifier,
    data: Resident,
    generator: nn.Module | None,
    config: DistillConfig,
    device: torch.device,
) -> None:
    """Show the objective one batch, so that lazy parameters take their shapes before the optimizer is made."""
    student.eval()
    rows, points = next(data.batches(0, config))
    with torch.no_grad():
        objective(forward(student, data, rows, points, generator, config, device, 0.0))


def accuracy(batch: Distillation) -> Tensor:
    """Share of the batch that the student has right."""
    return (batch.student_logits.argmax(dim=1) == batch.labels).float().mean()
