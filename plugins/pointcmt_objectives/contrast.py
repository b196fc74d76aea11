"""`contrast`: the student's feature must pick its shape's picture, and its class's, out of all training pictures.

Cross-entropy plus a cross-modal InfoNCE against a bank: every training shape's features from the image network, before
the teacher's neck, whitened. A trained teacher is certain of its own training shapes and says little there; the image
network's features still tell which shapes look alike. Measured beside PointCMT's own terms: docs/does-it-help.md.
Sources: InfoNCE (van den Oord et al., 2018), supervised contrast (Khosla et al., NeurIPS 2020), cross-modal contrast of
points and pictures (CrossPoint, Afham et al., CVPR 2022); the mixed target and the whitened bank are ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pointcmt_cli.api import Distillation
from pointcmt_objectives.parts import Labels, SoftLabels, Sum


class Contrast(nn.Module):
    """Two linear projections, dropped after training, and a softmax over the bank; the weight falls to 0 linearly.

    The end of the training belongs to the labels, so that a student that has little time is not kept from fitting them.
    A shape without a label has its own picture alone for its target.
    """

    uses_unlabelled = True
    bank: Tensor

    def __init__(
        self,
        weight: float,
        class_share: float,
        temperature: float,
        whitened: int,
        width: int,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.class_share = class_share
        self.temperature = temperature
        self.whitened = whitened
        self.points_to_shared = nn.LazyLinear(width)
        self.pictures_to_shared = nn.LazyLinear(width)
        self.register_buffer("bank", torch.empty(0))

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """One term."""
        if not len(self.bank):
            self.bank = whiten(batch.bank_features, self.whitened)
        return {"contrast": self.weight * (1 - batch.progress) * self.contrast(batch)}

    def contrast(self, batch: Distillation) -> Tensor:
        """Cross-entropy of the softmax over the bank to its target: part own picture, part pictures of the class."""
        points = functional.normalize(self.points_to_shared(batch.student_features), dim=1)
        pictures = functional.normalize(self.pictures_to_shared(self.bank), dim=1)
        scores = (points @ pictures.T / self.temperature).log_softmax(dim=1)  # (B, S)
        same = batch.labels[:, None] == batch.bank_labels[None]
        same = (same & batch.labelled[:, None] & batch.bank_labelled[None]).to(scores.dtype)
        share = (self.class_share * batch.labelled.to(scores.dtype))[:, None]  # (B, 1)
        target = share * same / same.sum(dim=1, keepdim=True).clamp_min(1)
        own = functional.one_hot(batch.rows, len(self.bank))
        target = target + (1 - share) * own
        loss: Tensor = -(target * scores).sum(dim=1).mean()
        return loss


def whiten(features: Tensor, count: int) -> Tensor:
    """The first `count` principal components of features (S, E), each with variance 1: (S, min(count, S - 1, E))."""
    spread = features.std(dim=0)
    least = torch.finfo(features.dtype).tiny  # where all are alike, nothing tells them apart: zeros
    scaled = (features - features.mean(dim=0)) / (spread + 0.1 * spread.mean()).clamp_min(least)
    left, strengths, _ = torch.linalg.svd(scaled.double(), full_matrices=False)
    kept = max(1, min(count, int((strengths > 1e-6 * strengths[0]).sum())))
    white: Tensor = (left[:, :kept] * (strengths[:kept] > 0) * len(features) ** 0.5).to(
        features.dtype
    )
    return white


def contrast(
    *,
    weight: float = 1.0,
    class_share: float = 0.5,
    temperature: float = 0.1,
    whitened: int = 64,
    width: int = 128,
    smoothing: float = 0.2,
    soft_labels: float = 1.0,
) -> Sum:
    """`class_share` in [0, 1]: of the target, what goes to the class's pictures; the rest to the shape's own.

    `soft_labels`: weight of the teacher's answers on shapes without a label.
    """
    parts: list[nn.Module] = [
        Labels(smoothing),
        Contrast(weight, class_share, temperature, whitened, width),
    ]
    if soft_labels:
        parts.append(SoftLabels(soft_labels, temperature=1.0, confidence=0.0))
    return Sum(parts)
