"""What objectives are made of: parts with one or two terms each, and their sum.

In: a batch; out: weighted terms by name. Each part that can learn from shapes without labels says so.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pointcmt_cli.api import Distillation, label_loss, mean_of


class Sum(nn.Module):
    """Parts side by side; it needs what any of them needs."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        for name in ("needs_generator", "uses_unlabelled", "uses_average"):
            setattr(self, name, any(getattr(part, name, False) for part in parts))
        self.uses_teacher = any(getattr(part, "uses_teacher", True) for part in parts)

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """The terms of all parts."""
        return {name: term for part in self.parts for name, term in part(batch).items()}


class Labels(nn.Module):
    """Cross-entropy with label smoothing (torch's definition)."""

    uses_teacher = False

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """One term."""
        return {"cross_entropy": label_loss(batch, self.smoothing)}


class SoftLabels(nn.Module):
    """Hinton's distillation (2015): KL to the teacher's softened answers, where a shape has no label.

    Labelled shapes are left to their labels. Where all have one, `everywhere` learns from the out-of-fold answers on
    them. `confidence`: shapes of which the teacher's surest class has less than this share are left out.
    """

    uses_unlabelled = True

    def __init__(
        self, weight: float, temperature: float, confidence: float, everywhere: bool = False
    ) -> None:
        super().__init__()
        self.everywhere = everywhere
        self.weight = weight
        self.temperature = temperature
        self.confidence = confidence

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """One term; times the temperature's square, so that its gradients keep their size."""
        if not (batch.mixed or self.everywhere):
            return {}
        teacher = batch.teacher_logits if batch.mixed else batch.oof_logits
        chosen = ~batch.labelled if batch.mixed else batch.labelled
        target = (teacher / self.temperature).softmax(dim=1)
        said = (batch.student_logits / self.temperature).log_softmax(dim=1)
        each = functional.kl_div(said, target, reduction="none").sum(dim=1)  # (B,)
        sure = teacher.softmax(dim=1).amax(dim=1) >= self.confidence
        weight = self.weight * self.temperature**2
        return {"soft_labels": weight * mean_of(each, chosen & sure)}


class Consistency(nn.Module):
    """Self-training on points alone: the student's surest guess, from a gentle sight, for a strongly changed one.

    FixMatch (Sohn et al., NeurIPS 2020) with the guesses of a moving average of the student (Tarvainen & Valpola, Mean
    teacher, NeurIPS 2017); the weight rises over `warm_up` of the training.
    """

    uses_teacher = False
    uses_unlabelled = True
    uses_average = True

    def __init__(self, weight: float, confidence: float, warm_up: float) -> None:
        super().__init__()
        self.weight = weight
        self.confidence = confidence
        self.warm_up = warm_up

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """One term."""
        if not batch.mixed:
            return {}
        assert batch.average_logits is not None
        share, guess = batch.average_logits.softmax(dim=1).max(dim=1)
        each = functional.cross_entropy(batch.student_logits, guess, reduction="none")  # (B,)
        sure = (share >= self.confidence).to(each.dtype)
        ramp = ramp_of(batch.progress, self.warm_up)
        return {"consistency": self.weight * ramp * mean_of(each * sure, ~batch.labelled)}


def ramp_of(progress: Tensor, warm_up: float) -> Tensor:
    """From 0 to 1 over the first `warm_up` of the training."""
    return (progress / warm_up).clamp(max=1) if warm_up else torch.ones_like(progress)
