"""One step of the student: student and teacher side by side for the objective, on data that stay on the device.

Nothing in here makes the host wait for the device: loss terms add up where they are, and are read once per epoch.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pointcmt_cli.config import DistillConfig, Precision
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.training import setup
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation, mean_of
from pointcmt_cli.ops.peers import Peers

DECAY = 0.99
"""Of the moving average of the student's weights, per step (Tarvainen & Valpola, NeurIPS 2017, early in training)."""
Stepper = Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]]
"""Row numbers (B,), points (B, N, 3) and progress () -> scalars by name; the weights are one step further.

Where the objective needs the average's answers, points are (2 B, N, 3): the second half is for the average.
"""


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
        needed = getattr(objective, "uses_average", False)
        self.average = copy.deepcopy(student).requires_grad_(False).eval() if needed else None
        self.peers = peers or Peers()

    def forward(self, rows: Tensor, points: Tensor, progress: Tensor) -> dict[str, Tensor]:
        """The objective's terms, their sum `loss`, and `train_accuracy`; features leave autocast in float32.

        Of a shared batch, only one's own rows go through the student; all that follows is the whole batch's.
        """
        data, peers = self.data, self.peers
        points, gentle = points[: len(rows)], points[len(rows) :]
        with setup.autocast(points.device, self.precision), peers.own_numbers():
            features = self.student.features(peers.part(points))
        features = peers.whole(features.float(), len(points))
        logits = self.student.head(features)
        labels, labelled = data.labels[rows], data.labelled[rows]
        batch = Distillation(
            labels=labels,
            labelled=labelled,
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
            bank_labelled=data.labelled,
            generator=self.frozen[0],
            mixed=data.mixed,
            average_logits=self.follow(gentle) if self.average else None,
        )
        terms: dict[str, Tensor] = self.objective(batch)
        loss = torch.stack(list(terms.values())).sum()
        accuracy = mean_of((logits.argmax(dim=1) == labels).float(), labelled)
        return {**terms, "loss": loss, "train_accuracy": accuracy}

    @torch.no_grad()
    def follow(self, points: Tensor) -> Tensor:
        """The average's logits (B, K) of the whole batch; in training it first takes a step towards the student."""
        assert self.average is not None
        if self.training:
            pairs = zip(
                [*self.average.parameters(), *self.average.buffers()],
                [*self.student.parameters(), *self.student.buffers()],
                strict=True,
            )
            for own, other in pairs:
                if own.is_floating_point():
                    own.lerp_(other.to(own.dtype), 1 - DECAY)
                else:
                    own.copy_(other)
        self.average.eval()
        with setup.autocast(points.device, self.precision):
            logits: Tensor = self.average(points)
        return logits.float()

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
