"""What the runs of an evaluation document and their splits are called, alike on the terminal, the page and the card.

In: runs (docs/json-schema.md); out: text.
"""

from collections.abc import Sequence
from pathlib import Path

from pointcmt_cli.engine.evaluation.schema import AgainstPlain, Run, Split
from pointcmt_cli.splits import HELD_OUT, TEST
from pointcmt_cli.wording import UNKNOWN, chance

SPLITS: dict[Split, str] = {"test": TEST, "held_out": HELD_OUT}
"""The document's keys of the splits that are scored, and their names; the first that there is comes first."""


def run_names(runs: Sequence[Run]) -> list[str]:
    """What to call each run: its file's name; its path where two files have one name; all of that where need be.

    >>> run_names([{"checkpoint": "a/dgcnn.pt"}, {"checkpoint": "b/dgcnn.pt"}, {"checkpoint": "b/pct.pt"}])
    ['a/dgcnn', 'b/dgcnn', 'pct']
    """
    paths = [Path(run["checkpoint"]) for run in runs]
    names = [[path.stem, str(path.with_suffix("")), str(path)] for path in paths]
    shorter = list(zip(*names, strict=True))
    return [
        next(name for name, others in zip(own, shorter, strict=True) if others.count(name) == 1)
        for own in names
    ]


def names_by_checkpoint(runs: Sequence[Run]) -> dict[str, str]:
    """The name of each run by its checkpoint's path."""
    return dict(zip((run["checkpoint"] for run in runs), run_names(runs), strict=True))


def shown_split(runs: Sequence[Run]) -> Split:
    """The key of the split that tables are about: test, or held-out where one of the runs has no test."""
    return next(key for key in SPLITS if all(key in run["scores"] for run in runs))


def paired_test(against: AgainstPlain | None) -> str:
    """The p-value of a group's seeds beside those of its plain twin, or why there is none."""
    if against is None or against["difference"] is None:
        return UNKNOWN
    return "one pair" if against["n"] == 1 else chance(against["p_value"])


def taken_for(counts: Sequence[int], own: int, names: Sequence[str]) -> str:
    """The wrong class that most shapes of class `own` were given, with how many: a row of the confusion matrix.

    >>> taken_for([3, 1, 5], 2, ["bench", "chair", "desk"])
    'bench (3)'
    """
    wrong = [(count, -index) for index, count in enumerate(counts) if index != own and count]
    if not wrong:
        return ""
    count, index = max(wrong)
    return f"{names[-index]} ({count})"
