"""`none`: the plain student, cross-entropy alone; the yardstick beside every distilled one."""

from pointcmt_objectives.parts import Labels


def plain(*, smoothing: float = 0.2) -> Labels:
    """No teacher; `smoothing` in [0, 1) of the labels (0.2: the reference's amount)."""
    return Labels(smoothing)
