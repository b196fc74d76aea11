"""`soft-labels` and `self-training`: two ways to learn from shapes without labels, from pictures or from points alone.

The second is the control: what it gains has nothing to do with pictures. Measured: docs/few-labels.md.
"""

from pointcmt_objectives.parts import Consistency, Labels, SoftLabels, Sum


def soft_labels(
    *,
    weight: float = 1.0,
    temperature: float = 1.0,
    confidence: float = 0.0,
    smoothing: float = 0.1,
) -> Sum:
    """`confidence` in [0, 1): the teacher is not heard on shapes of which it is less sure."""
    return Sum([Labels(smoothing), SoftLabels(weight, temperature, confidence, everywhere=True)])


def self_training(
    *,
    weight: float = 1.0,
    confidence: float = 0.8,
    warm_up: float = 0.3,
    smoothing: float = 0.1,
) -> Sum:
    """No teacher; `confidence` in [0, 1): guesses of which the student is less sure are not learned from."""
    return Sum([Labels(smoothing), Consistency(weight, confidence, warm_up)])
