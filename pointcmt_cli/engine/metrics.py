"""Logits of stored clouds, and scores of logits; the one place where accuracy is computed, by every stage.

In: a classifier and clouds (S, P, 3); out: logits (S, K), then overall accuracy, mean class accuracy, per-class recall.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_recall,
)

from pointcmt_cli.errors import DataError


def logit_batches(
    model: nn.Module,
    points: NDArray[np.float32],
    count: int,
    batch_size: int,
    device: torch.device | str,
) -> Iterator[Tensor]:
    """Logits (B, K) float32 on the CPU, batch by batch, of the first `count` of the points (S, P, 3).

    Stored points are uniform draws in random order, so the first ones are a fair, repeatable cloud; all of them
    where fewer are stored, as in training. No autocast: a checkpoint has one score whatever it was trained in.
    Every module's mode is put back afterwards.
    """
    clouds = torch.from_numpy(np.ascontiguousarray(points[:, :count], np.float32))  # (S, N, 3)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for batch in torch.split(clouds, batch_size):
            with torch.inference_mode():
                logits = model(batch.to(device)).float().cpu()
            yield logits
    finally:
        for module, training in modes:
            module.training = training


def predict_logits(
    model: nn.Module,
    points: NDArray[np.float32],
    count: int,
    batch_size: int,
    device: torch.device | str,
) -> Tensor:
    """Logits (S, K) of `logit_batches`, together; the model is on `device` already."""
    return torch.cat(list(logit_batches(model, points, count, batch_size, device)))


def scores(
    logits: Tensor, labels: NDArray[np.int64] | Tensor, classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of logits or probabilities (S, K) against labels (S,), as plain values.

    `oa` overall accuracy, `macc` the mean recall of the classes that have shapes (the others are named in `absent`,
    they are in no mean), `classes` a row per class, `confusion` (K, K) counts, rows are the true classes.
    """
    target = torch.as_tensor(labels, dtype=torch.int64).cpu()
    guess = logits.float().cpu()
    if not len(target):
        raise DataError("no shapes to score")
    if not torch.isfinite(guess).all():
        raise DataError("the model gives NaN or infinite logits")
    many = len(classes)
    options: dict[str, Any] = {"num_classes": many, "validate_args": False}
    if many == 1:  # torchmetrics has no multiclass metric of a single class; it is always right
        recall, confusion = torch.ones(1), torch.tensor([[len(target)]])
        overall = 1.0
    else:
        recall = multiclass_recall(guess, target, average="none", **options)  # (K,)
        confusion = multiclass_confusion_matrix(guess, target, **options)  # (K, K)
        overall = float(multiclass_accuracy(guess, target, average="micro", **options))
    counts = confusion.sum(dim=1)  # (K,)
    present = counts > 0
    return {
        "oa": overall,
        "macc": float(recall[present].double().mean()),
        "shapes": len(target),
        "absent": [
            name for name, there in zip(classes, present.tolist(), strict=True) if not there
        ],
        "classes": [
            {"class": name, "count": count, "recall": share if count else None}
            for name, count, share in zip(classes, counts.tolist(), recall.tolist(), strict=True)
        ],
        "confusion": confusion.tolist(),
    }
