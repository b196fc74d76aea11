"""What the splits are called, and which one a shape is in: by a hash of its name, stable when shapes are added.

In: a shape's name; out: its split, the same on every machine.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from pointcmt_cli.wording import some_of

TRAIN: Final = "train"
HELD_OUT: Final = "held-out"
"""What is set apart of train, which every selection uses; in keys and columns: `held_out`, see `key_of`."""
TEST: Final = "test"
SPLITS = (TRAIN, HELD_OUT, TEST)
UNLABELLED: Final = "unlabelled"
"""Shapes of no known class, to learn from without their labels: their label is NO_LABEL."""
NO_LABEL: Final = -1
SPLIT_OF_FOLDER = {"train": TRAIN, "val": HELD_OUT, "held-out": HELD_OUT, "test": TEST}
"""The folders by whose name a data set says what is in which split."""
UNLABELLED_FOLDERS = (UNLABELLED, "unlabeled")
"""The folder of a source, in either case, whose shapes have no class."""
FOLDER_OF_SPLIT = {TRAIN: "train", HELD_OUT: "val", TEST: "test"}
"""The folder of a split's pictures, as public data sets name it."""
LAST = 2
"""Train shapes that a class keeps, whatever the hash says of them."""
OLD = "val"
"""What files of before this name say in place of HELD_OUT."""


def named(said: str) -> str:
    """The split that a file speaks of."""
    return HELD_OUT if said == OLD else said


def counts_of(splits: Iterable[str]) -> dict[str, int]:
    """Shapes per split; the unlabelled only where there are some."""
    found = Counter(splits)
    return {
        split: found[split] for split in (*SPLITS, UNLABELLED) if split in SPLITS or found[split]
    }


def classes_without(
    split: str, classes: Sequence[str], labels: Iterable[int], splits: Iterable[str]
) -> list[str]:
    """The classes that have no shape in a split."""
    there = {int(label) for label, own in zip(labels, splits, strict=True) if own == split}
    return [name for label, name in enumerate(classes) if label not in there]


def gaps(classes: Sequence[str], labels: Iterable[int], splits: Iterable[str]) -> str | None:
    """One line that names the classes without train or test shapes; None: all have some of both."""
    labels, splits, said = list(labels), list(splits), []
    for split, meaning in ((TRAIN, "nobody learns them"), (TEST, "no test score counts them")):
        absent = classes_without(split, classes, labels, splits)
        if len(absent) == len(classes):
            said.append(f"no {split} shapes")
        elif absent:
            which = f"{len(absent)} of {len(classes)} classes ({some_of(absent)})"
            said.append(f"no {split} shapes of {which}: {meaning}")
    return "; ".join(said) or None


def key_of(split: str) -> str:
    """The split as keys of documents and columns of metrics name it: held_out."""
    return split.replace("-", "_")


def unit_hash(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(f"{salt}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(name: str, given: str | None, test_fraction: float, held_out_fraction: float) -> str:
    """TRAIN, HELD_OUT or TEST; `given` is the source's own split (None: it has none).

    The held-out split is carved from train by the hash, so test is never touched by any selection.
    """
    if given is None:
        given = TEST if unit_hash(name, "test") < test_fraction else TRAIN
    if given == TRAIN and unit_hash(name, "held-out") < held_out_fraction:
        return HELD_OUT
    return given


def splits_of(
    names: Sequence[str],
    given: Sequence[str | None],
    test_fraction: float,
    held_out_fraction: float,
) -> list[str]:
    """The splits of the shapes of one class: `split_of` each, but that the carving leaves the class something to learn.

    Test takes no class's last shape, held-out none of its last two in train. Of what was carved, the shapes with the
    largest hashes go back: those that a slightly smaller share would not have taken.
    """
    each = zip(names, given, strict=True)
    found = [split_of(name, own, test_fraction, held_out_fraction) for name, own in each]

    def carved(split: str) -> list[int]:
        rows = [k for k, own in enumerate(given) if found[k] == split and own != split]
        return sorted(rows, key=lambda row: unit_hash(names[row], split), reverse=True)

    if all(split == TEST for split in found):
        for row in carved(TEST)[:1]:
            found[row] = TRAIN
    for row in carved(HELD_OUT)[: max(0, LAST - found.count(TRAIN))]:
        found[row] = TRAIN
    return found


def fold_of(name: str, folds: int) -> int:
    """The out-of-fold group of a training shape, 0 to folds - 1."""
    return int(unit_hash(name, "fold") * folds)
