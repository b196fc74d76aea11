"""What an objective sees of one training step; in: the engine's tensors, out: nothing, it is plain data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Distillation:
    """One batch, student and teacher side by side; no teacher tensor carries a gradient.

    Some shapes may have no label: only objectives that say `uses_unlabelled` are shown any.

    An objective that pulls the student's features to the teacher's, beside the labels:

    >>> def terms(batch: Distillation) -> dict[str, Tensor]:
    ...     labels = functional.cross_entropy(batch.student_logits, batch.labels)
    ...     features = functional.mse_loss(batch.student_features, batch.teacher_features)
    ...     return {"labels": labels, "features": 0.5 * features}
    """

    labels: Tensor
    """(B,) int64; -1 where there is none."""
    labelled: Tensor
    """(B,) bool: who has a label. Of the others none may be read."""
    student_features: Tensor
    """(B, D) after the neck, of the teacher's width D."""
    student_logits: Tensor
    """(B, K) = head(student_features)."""
    head: Callable[[Tensor], Tensor]
    """The student's head, (B, D) -> (B, K); gradients reach it."""
    progress: Tensor
    """(), share of the training done, in [0, 1]: for warm-up. On the device, as all else: read as a Python number it
    makes the host wait for the device, and keeps a step from being captured as a CUDA graph."""
    rows: Tensor
    """(B,) int64, where in the train split these shapes stand."""
    bank_features: Tensor
    """(S, E) of all S train shapes: the teacher's image network before its neck."""
    bank_labels: Tensor
    """(S,) int64 of all train shapes; -1 where there is none."""
    bank_labelled: Tensor
    """(S,) bool: which of them have a label."""
    teacher_features: Tensor
    """(B, D) of the same shapes, computed once from their views."""
    teacher_logits: Tensor
    """(B, K) of the teacher on the same shapes, calibrated: as sure as it is right where it was not trained."""
    oof_logits: Tensor
    """(B, K) of teachers that were not trained on these shapes (out of fold), calibrated likewise."""
    generator: Callable[[Tensor], Tensor] | None = None
    """CMPG, frozen, in eval mode: features (B, D) -> clouds (B, 1024, 3)."""
    mixed: bool = False
    """Whether some of the shapes that are learned from have no label; the same in every batch of a run."""
    average_logits: Tensor | None = None
    """(B, K), for objectives that say `uses_average`: what a moving average of the student says of the same shapes,
    less changed than the student sees them; no gradient."""


def label_loss(batch: Distillation, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the shapes that have a label, with torch's label smoothing; shapes are static.

    >>> def terms(batch: Distillation) -> dict[str, Tensor]:
    ...     return {"labels": label_loss(batch, smoothing=0.1)}
    """
    labels = torch.where(batch.labelled, batch.labels, -1)
    return functional.cross_entropy(
        batch.student_logits, labels, ignore_index=-1, label_smoothing=smoothing
    )


def mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of values (B,) over the chosen (B,) bool; 0 where none is.

    >>> mean_of(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([True, False, True]))
    tensor(3.5000)
    """
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
