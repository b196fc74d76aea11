"""One step of the student: batches that stay on the device, and student and teacher side by side for the objective.

Nothing in here makes the host wait for the device: loss terms add up where they are, and are read once per epoch.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli.config import DistillConfig, Precision
from pointcmt_cli.data.clouds.augmentation import augment
from pointcmt_cli.data.clouds.sampling import available, is_filled
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.engine.training import setup
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.ops.peers import Peers

Stepper = Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]]
"""Row numbers (B,), points (B, N, 3) and progress () -> scalars by name; the weights are one step further."""


class Resident:
    """Everything a step needs of the train split, on the device for the whole run."""

    def __init__(self, features: Features, device: torch.device, rows: Any) -> None:
        def put(values: Any) -> Tensor:
            return torch.from_numpy(values[rows]).to(device)

        self.points = put(features.shapes.points)
        self.available = None
        """(S,) where a cloud is filled up with repeats: how many of its points are none."""
        if is_filled(features.shapes.points[rows]):
            counts = available(features.shapes.points[rows])
            self.available = torch.from_numpy(counts).to(device)
        self.labels = put(features.shapes.labels)
        self.teacher_features = put(features.teacher_features)
        self.teacher_logits = put(features.teacher_logits)
        self.oof_logits = put(features.oof_logits)
        self.encoder_features = put(features.encoder_features)

    def batches(self, epoch: int, config: DistillConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Row numbers (B,) and augmented points (B, N, 3); numbers are drawn on the device, from seed and epoch."""
        numbers = setup.stream(config.seed, "batches", epoch, device=self.points.device)
        order = torch.randperm(len(self.labels), generator=numbers, device=numbers.device)
        for rows in torch.split(order, config.batch_size):
            if len(rows) > 1:  # batch norm needs two
                given = None if self.available is None else self.available[rows]
                yield (
                    rows,
                    augment(self.points[rows], config.points, numbers, given, config.augmentation),
                )

    def steps(self, config: DistillConfig) -> int:
        """Steps per epoch."""
        full, rest = divmod(len(self.labels), config.batch_size)
        return full + (rest > 1)


class Step(nn.Module):
    """Student and objective on one batch; the data and the frozen generator are no part of its state."""

    def __init__(
        self,
        student: Classifier,
        objective: nn.Module,
        data: Resident,
        generator: nn.Module | None,
        precision: Precision,
        peers: Peers | None = None,
    ) -> None:
        """`peers`: the processes that share each batch; None: there are no others."""
        super().__init__()
        self.student = student
        self.objective = objective
        self.data = data
        self.precision = precision
        self.frozen = (generator,)
        self.peers = peers or Peers()

    def forward(self, rows: Tensor, points: Tensor, progress: Tensor) -> dict[str, Tensor]:
        """The objective's terms, their sum `loss`, and `train_accuracy`; features leave autocast in float32.

        Of a shared batch, only one's own rows go through the student; all that follows is the whole batch's.
        """
        data, peers = self.data, self.peers
        with setup.autocast(points.device, self.precision), peers.own_numbers():
            features = self.student.features(peers.part(points))
        features = peers.whole(features.float(), len(points))
        logits = self.student.head(features)
        labels = data.labels[rows]
        batch = Distillation(
            labels=labels,
            student_features=features,
            student_logits=logits,
            head=self.student.head,
            progress=progress,
            teacher_features=data.teacher_features[rows],
            teacher_logits=data.teacher_logits[rows],
            oof_logits=data.oof_logits[rows],
            rows=rows,
            bank_features=data.encoder_features,
            bank_labels=data.labels,
            generator=self.frozen[0],
        )
        terms: dict[str, Tensor] = self.objective(batch)
        loss = torch.stack(list(terms.values())).sum()
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {**terms, "loss": loss, "train_accuracy": accuracy}

    def settle(self, config: DistillConfig) -> None:
        """Show the objective one batch, so that lazy parameters take their shapes before the optimizer is made."""
        self.student.eval()
        rows, points = next(self.data.batches(0, config))
        with torch.no_grad():
            self(rows, points, torch.zeros((), device=points.device))


def plain(step: nn.Module, optimizer: torch.optim.Optimizer) -> Stepper:
    """Forward, backward, update, as one writes it."""

    def take(rows: Tensor, points: Tensor, progress: Tensor) -> Mapping[str, Tensor]:
        terms: Mapping[str, Tensor] = step(rows, points, progress)
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return terms

    return take


class Meter:
    """Sums of an epoch's terms, on the device; `means` reads them, all at once."""

    def __init__(self, stage: str, epoch: int) -> None:
        self.stage = stage
        self.epoch = epoch
        self.sums: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """One step's terms; on a CPU, where looking costs nothing, a loss that is not finite ends the run at once."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()
        self.losses.append(terms["loss"].detach().clone())
        if self.losses[-1].device.type == "cpu":
            setup.guard(float(self.losses[-1]), self.stage, self.epoch, len(self.losses) - 1)

    def means(self) -> dict[str, float]:
        """Over the steps; a loss that was not finite ends the run and names its step."""
        for step, loss in enumerate(torch.stack(self.losses).tolist()):
            setup.guard(loss, self.stage, self.epoch, step)
        found = torch.stack(list(self.sums.values())) / len(self.losses)
        return dict(zip(self.sums, found.tolist(), strict=True))
