"""For experiments: as if only a few shapes had a label. In: all shapes and how many; out: the others unlabelled.

The held-out split is drawn from as well and then is no more: nothing may be chosen by labels that nobody has. What is
hidden is in no file that a student reads: neither its label nor its name, which begins with the class.
"""

from dataclasses import replace

import numpy as np

from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import digest
from pointcmt_cli.splits import HELD_OUT, NO_LABEL, TRAIN, UNLABELLED


def few_labels(shapes: ShapeSet, per_class: str, seed: int) -> ShapeSet:
    """The same shapes, of which `per_class` (a number, or a share as `10%`) of each class keep a label, test apart.

    A draw by the seed; a class with fewer keeps them all, and of a share at least one.
    """
    labels, splits, names = shapes.labels.copy(), shapes.splits.astype(object), list(shapes.names)
    train = np.concatenate([shapes.rows(TRAIN), shapes.rows(HELD_OUT)])
    splits[train] = TRAIN
    for label in range(len(shapes.classes)):
        rows = train[shapes.labels[train] == label]
        order = np.random.Generator(np.random.PCG64([seed, label])).permutation(rows)
        for row in order[wanted(per_class, len(rows)) :]:
            labels[row], splits[row] = NO_LABEL, UNLABELLED
            names[row] = f"{UNLABELLED}/{digest(seed, names[row])[:16]}"
    return replace(shapes, labels=labels, splits=splits.astype(str), names=names)


def wanted(per_class: str, count: int) -> int:
    """Labels that a class of `count` shapes keeps."""
    number, percent = per_class.strip().removesuffix("%"), per_class.strip().endswith("%")
    try:
        value = float(number) if percent else int(number)
    except ValueError:
        value = 0
    if not 0 < value <= (100 if percent else value):
        raise UsageError(
            f"--labels-per-class {per_class}: a number of shapes, or a share such as 10%"
        )
    return max(1, round(count * value / 100)) if percent else int(value)
