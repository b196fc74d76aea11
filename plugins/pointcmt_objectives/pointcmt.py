"""`pointcmt`: PointCMT's feature enhancement and classifier enhancement on top of the cross-entropy (section 3.3).

`recipe=reference` is the reference's train_pointcmt.py to the letter, its oddities included; `recipe=balanced`, the
default, is the same two terms so scaled that they cannot swamp the labels. docs/does-it-help.md has both measured.
"""

from dataclasses import replace
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from pointcmt_cli.api import Distillation, earth_movers_distance, label_loss, unit_box
from pointcmt_objectives.parts import ramp_of


class Balanced(nn.Module):
    """Means over the batch, a target without gradient, weights that ramp up over `warm_up` of the training.

    Both terms need no label. `head_weight`: the student's head also learns the labelled shapes from their teacher
    features; a head that has never seen such features makes noise of them, and noise is a harmful target.
    """

    uses_unlabelled = True

    def __init__(
        self,
        feature_weight: float,
        classifier_weight: float,
        head_weight: float,
        warm_up: float,
        smoothing: float,
    ) -> None:
        super().__init__()
        self.head_weight = head_weight
        self.feature_weight = feature_weight
        self.classifier_weight = classifier_weight
        self.warm_up = warm_up
        self.smoothing = smoothing
        self.needs_generator = feature_weight > 0

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """Cross-entropy, and the terms whose weight is not 0."""
        ramp = ramp_of(batch.progress, self.warm_up)
        terms = {"cross_entropy": label_loss(batch, self.smoothing)}
        if self.head_weight:
            taught = replace(batch, student_logits=batch.head(batch.teacher_features))
            terms["head"] = self.head_weight * label_loss(taught, self.smoothing)
        if self.classifier_weight:
            terms["classifier"] = ramp * self.classifier_weight * classifier_enhancement(batch)
        if self.feature_weight:
            terms["feature"] = ramp * self.feature_weight * feature_enhancement(batch)
        return terms


class Reference(nn.Module):
    """The reference code: sums over the batch, a target with gradient, its own smoothing and its own box."""

    def __init__(self, feature_weight: float, classifier_weight: float, smoothing: float) -> None:
        super().__init__()
        self.feature_weight = feature_weight
        self.classifier_weight = classifier_weight
        self.smoothing = smoothing
        self.needs_generator = feature_weight > 0

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        """The three terms of train_pointcmt.py."""
        terms = {"cross_entropy": self.smoothed(batch.student_logits, batch.labels)}
        if self.classifier_weight:
            target = batch.head(batch.teacher_features).softmax(dim=1)
            divergence = functional.kl_div(
                batch.student_logits.log_softmax(dim=1), target, reduction="sum"
            )
            terms["classifier"] = self.classifier_weight * divergence
        if self.feature_weight:
            made, target = clouds(batch)
            distance = earth_movers_distance(uncentred_box(made), uncentred_box(target))
            terms["feature"] = self.feature_weight * distance.mean()
        return terms

    def smoothed(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The reference's smoothing: spread over the K - 1 wrong classes."""
        classes = logits.shape[1]
        target = functional.one_hot(labels, classes).to(logits.dtype)
        target = target * (1 - self.smoothing) + (1 - target) * self.smoothing / max(1, classes - 1)
        return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def classifier_enhancement(batch: Distillation) -> Tensor:
    """KL from the student's prediction to what its own head makes of the teacher's features; mean over the batch."""
    target = batch.head(batch.teacher_features).detach().softmax(dim=1)
    return functional.kl_div(batch.student_logits.log_softmax(dim=1), target, reduction="batchmean")


def feature_enhancement(batch: Distillation) -> Tensor:
    """EMD between the clouds that the generator makes of both features, in the unit box; mean over the batch."""
    made, target = clouds(batch)
    return earth_movers_distance(unit_box(made), unit_box(target)).mean()


def clouds(batch: Distillation) -> tuple[Tensor, Tensor]:
    """Generated clouds (B, N, 3) of the student's and of the teacher's features."""
    assert batch.generator is not None
    return batch.generator(batch.student_features), batch.generator(batch.teacher_features)


def uncentred_box(cloud: Tensor) -> Tensor:
    """The reference's rescaling (N, 3 per cloud): longest side 1, but moved by (min - d) / 2, so not centred."""
    low, high = cloud.amin(dim=1), cloud.amax(dim=1)  # (B, 3)
    lengths = high - low
    side = lengths.amax(dim=1, keepdim=True)  # (B, 1)
    corner = (low - (side - lengths)) / 2
    return (cloud / side[..., None]) + (-0.5 - corner / side)[:, None]


def pointcmt(
    *,
    recipe: Literal["balanced", "reference"] = "balanced",
    feature_weight: float | None = None,
    classifier_weight: float | None = None,
    head_weight: float = 0.0,
    warm_up: float = 0.3,
    smoothing: float = 0.2,
) -> nn.Module:
    """Weights >= 0, either may be 0; None: the recipe's own (reference: 30 and 0.3; balanced: 1 and 1)."""
    weights = (30.0, 0.3) if recipe == "reference" else (1.0, 1.0)
    feature = weights[0] if feature_weight is None else feature_weight
    classifier = weights[1] if classifier_weight is None else classifier_weight
    if recipe == "reference":
        return Reference(feature, classifier, smoothing)
    return Balanced(feature, classifier, head_weight, warm_up, smoothing)
