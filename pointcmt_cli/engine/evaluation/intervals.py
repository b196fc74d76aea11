"""Confidence intervals of accuracies: the percentile bootstrap over shapes. In: scores; out: [low, high].

A resample with replacement of n answers, of which a share r is right, has Binomial(n, r) right ones: drawing that
number is the bootstrap itself, without the shapes. Intervals say how the score of this one network would vary over
other shapes of the same kind, not how training varies over seeds.
"""

from typing import Any

import numpy as np

from pointcmt_cli.engine.evaluation.schema import Intervals
from pointcmt_cli.engine.training.stored import Scores

RESAMPLES = 1000
LEVEL = 0.95


def intervals(scores: Scores, seed: int) -> Intervals:
    """Of `metrics.scores`; OA: all shapes resampled; mAcc: stratified, each class keeps its number of shapes."""
    numbers = np.random.Generator(np.random.PCG64(seed))
    count = scores["count"]
    overall = numbers.binomial(count, scores["oa"], RESAMPLES) / count  # (R,)
    rows = [row for row in scores["per_class"] if row["count"]]
    counts = np.array([row["count"] for row in rows])
    recalls = np.array([row["recall"] for row in rows])
    each = numbers.binomial(counts, recalls, (RESAMPLES, len(rows))) / counts  # (R, K)
    return {"oa": _percentiles(overall), "macc": _percentiles(each.mean(axis=1))}


def _percentiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]
