"""`none`: the plain student, cross-entropy alone; the yardstick beside every distilled one."""

from torch import Tensor, nn
from torch.nn import functional

from pointcmt_cli.api import Distillation


class Plain(nn.Module):
    """Cross-entropy with label smoothing (torch's definition)."""

    uses_teacher = False

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """One term."""
        loss = functional.cross_entropy(
            batch.student_logits, batch.labels, label_smoothing=self.smoothing
        )
        return {"cross_entropy": loss}


def plain(*, smoothing: float = 0.2) -> Plain:
    """No teacher; `smoothing` in [0, 1) of the labels (0.2: the reference's amount)."""
    return Plain(smoothing)
