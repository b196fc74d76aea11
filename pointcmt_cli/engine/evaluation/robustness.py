"""What corrupted clouds do to a student. In: a function from clouds to overall accuracy; out: scores, mCE and RmCE.

Corruption errors after Ren et al. (ICML 2022): of each corruption, the error over its five severities as a multiple of
DGCNN's (CE), and the loss against clean clouds as a multiple of DGCNN's (RCE); mCE and RmCE are their means.
DGCNN's accuracies are those of the authors' modelnetc_utils/eval.py (jiawei-ren/ModelNet-C at 0c82ce0), on ModelNet40.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.clouds.corruption import CORRUPTIONS, SEVERITIES, corrupt, rotate_fully
from pointcmt_cli.engine.evaluation.robust_schema import CorruptionErrors, Robustness
from pointcmt_cli.records import Record

DGCNN_CLEAN = 0.926
DGCNN = {
    "scale": 0.906,
    "jitter": 0.684,
    "rotate": 0.785,
    "drop-global": 0.752,
    "drop-local": 0.793,
    "add-global": 0.705,
    "add-local": 0.725,
}
"""Overall accuracy of DGCNN, mean over the severities."""


class Score(Protocol):
    """Overall accuracy of clouds (S, M, 3), with progress under a name."""

    def __call__(
        self, clouds: NDArray[np.float32], task: str, done: int, total: int
    ) -> Generator[Record, None, float]:
        """`done` of `total` shapes of this task are behind it."""


def robustness(
    stored: NDArray[np.float32],
    names: Sequence[str],
    points: int,
    clean: float,
    config: EvaluateConfig,
    score: Score,
) -> Generator[Record, None, Robustness]:
    """The parts that were asked for; stored clouds (S, P, 3) of the test split, of which the student takes `points`."""
    found: Robustness = {}
    clouds = stored[:, :points]
    if config.corrupt:
        accuracies: dict[str, list[float]] = {}
        passes = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
        for index, (name, severity) in enumerate(passes):
            changed = corrupt(name, clouds, names, severity, config.seed)
            place = (index * len(names), len(passes) * len(names))
            accuracy = yield from score(changed, "corrupted", *place)
            accuracies.setdefault(name, []).append(accuracy)
        found["modelnet-c"] = corruption_errors(clean, accuracies)
    if config.points:
        fewer: dict[str, float] = {}
        for index, count in enumerate(config.points):
            place = (index * len(names), len(config.points) * len(names))
            fewer[str(count)] = yield from score(stored[:, :count], "fewer points", *place)
        found["points"] = fewer
    if config.rotations:
        turned = {"none": clean}
        for index, group in enumerate(config.rotations):
            place = (index * len(names), len(config.rotations) * len(names))
            changed = rotate_fully(group, clouds, names, config.seed)
            turned[group] = yield from score(changed, "rotated", *place)
        found["rotations"] = turned
    return found


def corruption_errors(clean: float, accuracies: Mapping[str, Sequence[float]]) -> CorruptionErrors:
    """CE and RCE of each corruption, from overall accuracies on clean clouds and at its severities; and their means."""
    means = {name: float(np.mean(each)) for name, each in accuracies.items()}
    ce = {name: (1 - mean) / (1 - DGCNN[name]) for name, mean in means.items()}
    rce = {name: (clean - mean) / (DGCNN_CLEAN - DGCNN[name]) for name, mean in means.items()}
    return {
        "clean": clean,
        "corruptions": {name: list(each) for name, each in accuracies.items()},
        "ce": ce,
        "rce": rce,
        "mce": float(np.mean(list(ce.values()))),
        "rmce": float(np.mean(list(rce.values()))),
    }
