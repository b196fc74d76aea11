"""Is a classifier right as often as it says? In: logits (S, K), labels (S,) and a temperature; out: calibration error.

Expected calibration error after Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.engine.evaluation.schema import Bin, Calibration

BINS = 15
"""Of equal width over [0, 1]; Guo et al.'s number."""


def calibration(
    logits: Tensor, labels: NDArray[np.int64], temperature: float | None, fitted_here: bool
) -> Calibration:
    """ECE and reliability bins as the network is, and at a temperature that was fitted on other shapes.

    `fitted_here`: these are the shapes that the temperature was fitted on; a scaled error of them would flatter.
    """
    after = None
    if temperature is not None and not fitted_here:
        after = (logits.double() / temperature).softmax(1)
    before = logits.double().softmax(1)
    return {
        "temperature": temperature,
        "ece": calibration_error(before, labels),
        "ece_scaled": None if after is None else calibration_error(after, labels),
        "bins": bins(before, labels),
        "bins_scaled": None if after is None else bins(after, labels),
    }


def calibration_error(probabilities: Tensor, labels: NDArray[np.int64]) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their shapes; in [0, 1]."""
    target = torch.as_tensor(labels, dtype=torch.int64)
    many = probabilities.shape[1]
    if many == 1:
        return 0.0
    from torchmetrics.functional.classification import multiclass_calibration_error  # takes 1 s

    return float(
        multiclass_calibration_error(
            probabilities.float(), target, many, n_bins=BINS, norm="l1", validate_args=False
        )
    )


def bins(probabilities: Tensor, labels: NDArray[np.int64]) -> list[Bin]:
    """Confidence against accuracy, bin by bin; both None where a bin is empty."""
    confidence, guess = (each.numpy() for each in probabilities.max(dim=1))  # (S,)
    right = guess == np.asarray(labels)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    return [
        {
            "low": float(edges[index]),
            "high": float(edges[index + 1]),
            "count": int(inside.sum()),
            "confidence": float(confidence[inside].mean()) if inside.any() else None,
            "accuracy": float(right[inside].mean()) if inside.any() else None,
        }
        for index in range(BINS)
        for inside in [place == index]
    ]
