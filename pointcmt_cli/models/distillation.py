"""What an objective sees of one training step; in: the engine's tensors, out: nothing, it is plain data."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Distillation:
    """One batch, student and teacher side by side; no teacher tensor carries a gradient.

    An objective that pulls the student's features to the teacher's, beside the labels:

    >>> def terms(batch: Distillation) -> dict[str, Tensor]:
    ...     labels = functional.cross_entropy(batch.student_logits, batch.labels)
    ...     features = functional.mse_loss(batch.student_features, batch.teacher_features)
    ...     return {"labels": labels, "features": 0.5 * features}
    """

    labels: Tensor
    """(B,) int64."""
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
    """(S,) int64 of all train shapes."""
    teacher_features: Tensor
    """(B, D) of the same shapes, computed once from their views."""
    teacher_logits: Tensor
    """(B, K) of the teacher on the same shapes."""
    oof_logits: Tensor
    """(B, K) of teachers that were not trained on these shapes (out of fold)."""
    generator: Callable[[Tensor], Tensor] | None = None
    """CMPG, frozen, in eval mode: features (B, D) -> clouds (B, 1024, 3)."""
