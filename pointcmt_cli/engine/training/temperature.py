"""The temperature at which a classifier is as sure as it is right. In: logits (S, K) and labels (S,); out: a number.

One number for all classes, after Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017).
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

TEMPERATURES = (0.05, 20.0)
"""Between these it is looked for; where every answer is right the likelihood has no maximum."""


def fit_temperature(logits: Tensor, labels: NDArray[np.int64]) -> float:
    """That which makes softmax(logits / temperature) most likely; for shapes that the classifier was not trained on."""
    target = torch.as_tensor(labels, dtype=torch.int64)
    exact = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = exact / math.exp(log_temperature)
        return float(torch.nn.functional.cross_entropy(scaled, target))

    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))
