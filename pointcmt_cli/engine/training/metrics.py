"""Logits of stored clouds, and scores of logits; the one place where accuracy is computed, by every stage.

In: a classifier and clouds (S, P, 3); out: logits (S, K), then accuracies, and precision, recall and F1 of every class.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointcmt_cli.engine.training.stored import Scores
from pointcmt_cli.errors import DataError
from pointcmt_cli.wording import Spread


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


def scores(logits: Tensor, labels: NDArray[np.int64] | Tensor, classes: Sequence[str]) -> Scores:
    """Scores of logits or probabilities (S, K) against labels (S,), as plain values; every share in [0, 1].

    Shares are exact quotients of counts: 9 right of 10 are 0.9, where float32 has a little less.
    """
    target = torch.as_tensor(labels, dtype=torch.int64).cpu()
    guess = logits.float().cpu()
    if not len(target):
        raise DataError("no shapes to score")
    if not torch.isfinite(guess).all():
        raise DataError("the model gives NaN or infinite logits")
    many = len(classes)
    if many == 1:  # torchmetrics has no multiclass metric of a single class; it is always right
        confusion = torch.tensor([[len(target)]])
    else:
        from torchmetrics.functional.classification import (  # takes 1 s
            multiclass_confusion_matrix,
        )

        confusion = multiclass_confusion_matrix(guess, target, many, validate_args=False)  # (K, K)
    right, counts, guessed = confusion.diag(), confusion.sum(dim=1), confusion.sum(dim=0)  # (K,)
    recall = right.double() / counts
    top5 = (guess.topk(min(5, many)).indices == target[:, None]).any(dim=1)  # (S,)
    return {
        "count": len(target),
        "oa": int(right.sum()) / len(target),
        "macc": float(recall[counts > 0].mean()),
        "top5": int(top5.sum()) / len(target) if many > 5 else None,
        "per_class": [
            {
                "name": name,
                "count": int(counts[k]),
                "precision": int(right[k]) / int(guessed[k]) if guessed[k] else None,
                "recall": int(right[k]) / int(counts[k]) if counts[k] else None,
                "f1": 2 * int(right[k]) / int(counts[k] + guessed[k]) if counts[k] else None,
            }
            for k, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
    }


def spread(values: Sequence[float]) -> Spread:
    """Mean, and sample standard deviation (n - 1), which one value does not have."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": deviation}
