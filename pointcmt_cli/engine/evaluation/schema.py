"""The evaluation document's type: every field, what it is, and where it may be missing.

docs/json-schema.md and docs/evaluation.schema.json are written from it (tests/support/schema_page.py), and its readers
are checked against it. A field may be added within a version; none is removed or changes its meaning.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pointcmt_cli.engine.evaluation.robust_schema import Robustness, RobustnessSpread
from pointcmt_cli.engine.training.stored import (
    Length,
    Metrics,
    Provenance,
    Range,
    Row,
    Scores,
    Share,
    Stage,
)
from pointcmt_cli.wording import Spread

Interval = Annotated[list[Share], Length(2)]
"""[low, high]."""
Probability = Annotated[float, Range(0, 1)]
Accuracy = Literal["oa", "macc"]
"""The accuracies of a pass, by their keys."""
Kind = Literal["single", "voted"]
"""The passes of a split, by their keys."""
Split = Literal["held_out", "test"]
"""The splits that are scored, by their keys."""


class Counts(TypedDict):
    """Shapes by split."""

    train: int
    held_out: int
    test: int
    unlabelled: NotRequired[Annotated[int, "shapes without a class, which nothing here scores"]]


class Data(TypedDict):
    """`data`: the file that was scored."""

    path: Annotated[str, "the features.h5 or views.h5"]
    layout: Annotated[str | None, "how its source was laid out"]
    variant: Annotated[str | None, "of its source, e.g. ScanObjectNN's PB_T50_RS"]
    class_names: Annotated[list[str], "in the order of the logits"]
    counts: Annotated[
        Counts, "shapes of `train`, `held_out`, `test`, and `unlabelled` where there are some"
    ]


class Protocol(TypedDict):
    """`protocol`: how it was scored."""

    votes: Annotated[int, "passes of the voted scores"]
    seed: Annotated[int, "of votes, corruptions and intervals"]
    bootstrap: Annotated[int, "resamples of the intervals"]
    level: Annotated[Share, "of the intervals"]
    sentences: Annotated[list[str], "the protocol in words: what was chosen on what"]


class Intervals(TypedDict):
    """Percentile bootstrap over shapes."""

    oa: Annotated[Interval, "all shapes resampled"]
    macc: Annotated[Interval, "each class by itself (stratified)"]


class Bin(TypedDict):
    """One bar of the reliability diagram; `null` in an empty one."""

    low: Share
    high: Share
    count: int
    confidence: Share | None
    accuracy: Share | None


class Calibration(TypedDict):
    """Is it right as often as it says?"""

    temperature: Annotated[
        float | None,
        "fitted on the held-out split by maximum likelihood, between 0.05 and 20; `null` where there is none",
    ]
    ece: Annotated[
        Share, "expected calibration error (15 bins of equal width, L1), as the network is"
    ]
    ece_scaled: Annotated[
        Share | None, "the same with that temperature; `null` on the split on which it was fitted"
    ]
    bins: Annotated[list[Bin], "rows `low`, `high`, `count`, `confidence`, `accuracy`"]
    bins_scaled: Annotated[list[Bin] | None, "the same with that temperature"]


class Pass(Scores):
    """`single` (one pass over the first `points` stored points) and, with `--votes`, `voted`."""

    intervals: Annotated[
        Intervals, "`oa` and `macc`: `[low, high]`, percentile bootstrap over shapes"
    ]
    calibration: Annotated[Calibration, "whether it is right as often as it says"]


class Agreement(TypedDict):
    """`agreement` of a student with its teacher, where a features.h5 is there."""

    teacher_oa: Annotated[Share, "of the teacher on the same shapes"]
    same: Annotated[Share, "the same class, right or wrong"]
    both_right: Annotated[Share, "both are right"]
    only_student: Annotated[Share, "the student alone is right"]
    only_teacher: Annotated[Share, "the teacher alone is right"]
    both_wrong: Annotated[Share, "both are wrong"]


class SplitScores(TypedDict):
    """`scores.SPLIT`."""

    single: Annotated[Pass, "one pass"]
    voted: NotRequired[Annotated[Pass, "the mean of several, with `--votes`"]]
    agreement: NotRequired[Annotated[Agreement, "of students, where a features.h5 is there"]]


class Run(TypedDict):
    """`runs`: one per checkpoint, in the order of the command."""

    checkpoint: Annotated[str, "its file"]
    name: Annotated[str, "backbone (or teacher) plug-in"]
    options: Annotated[dict[str, Any], "of the plug-in"]
    distribution: Annotated[str, "the package that the plug-in came from, when it was trained"]
    distribution_version: Annotated[str, "its version then"]
    trained_with: Annotated[dict[str, str], "versions of `pointcmt` and `torch` that trained it"]
    is_teacher: Annotated[bool, "it sees views, not points"]
    objective: Annotated[str | None, "the objective plug-in; `null` of a teacher"]
    objective_options: Annotated[dict[str, Any], "of that plug-in"]
    plain: Annotated[
        bool | None,
        "it learns from labels alone (the yardstick); `null` where the objective's plug-in is not installed",
    ]
    uses_generator: Annotated[bool, "its objective needs the generator of stage II"]
    seed: Annotated[int, "of the training"]
    selected_by: Annotated[
        Literal["last", "held-out"] | None, "`held-out` where the epoch was chosen on that split"
    ]
    selected_epoch: Annotated[int | None, "the epoch that was kept"]
    trained_on_this_data: Annotated[
        bool | None,
        "whether `data.path` holds the shapes it was trained from; `null` where the checkpoint does not say",
    ]
    points: Annotated[int | None, "per cloud; `null`: views"]
    device: Annotated[str, "`cpu` or `cuda`"]
    parameters: Annotated[int, "number of weights"]
    config: Annotated[dict[str, Any], "its settings, as they stand in the checkpoint"]
    provenance: Annotated[Provenance, "what it was made from, as it stands in the checkpoint"]
    recorded: Annotated[Metrics, "the scores of its training, as they stand in the checkpoint"]
    training: Annotated[
        dict[Stage, list[Row]],
        "`student`, `teacher`, `generator`: rows from the `.metrics.csv` beside each file, where found: the "
        "teacher's beside any `teacher*.pt` of its hash, the generator's where its key is the one in `provenance`; "
        "neither for a plain student",
    ]
    group: Annotated[
        str,
        "a hash of the other settings that decide the weights, the data and the teacher's plug-in (where there is "
        "one): equal in runs that differ by the seed alone; teachers of one plug-in may be other ones",
    ]
    scores: Annotated[
        dict[Split, SplitScores], "`held_out` and `test`, each where the split has shapes"
    ]
    robustness: NotRequired[Annotated[Robustness, "of students, on test, where it was asked for"]]


class Comparison(TypedDict):
    """`comparisons`: every pair of checkpoints, on every split; not corrected for the number of pairs."""

    a: Annotated[str, "a checkpoint"]
    b: Annotated[str, "another one"]
    split: Annotated[Split, "`held_out` or `test`"]
    only_a: Annotated[int, "shapes that `a` alone is right on"]
    only_b: Annotated[int, "shapes that `b` alone is right on"]
    p_value: Annotated[Probability, "McNemar's exact test, two-sided"]


class AgainstPlain(TypedDict):
    """`against_plain`: the same seeds, trained without a teacher."""

    group: Annotated[str, "the plain one"]
    n: Annotated[int, "pairs of equal seeds"]
    difference: Annotated[Spread | None, "of overall accuracy, minus the plain one's"]
    p_value: Annotated[
        Probability | None,
        "paired t-test, two-sided; `null` under two pairs, or where all differences are equal",
    ]
    robustness: NotRequired[Annotated[RobustnessSpread, "as of a group, of the differences"]]


class Group(TypedDict):
    """`groups`: runs that are equal but for the seed."""

    group: Annotated[str, "the hash that the runs carry"]
    name: Annotated[str, "what to call it"]
    objective: Annotated[str | None, "the objective plug-in"]
    split: Annotated[Split, "`test`, or `held_out` where a run has no test"]
    n: Annotated[int, "runs"]
    seeds: Annotated[list[int], "of their trainings"]
    oa: Annotated[Spread, "of the single pass"]
    macc: Annotated[Spread, "of the single pass"]
    robustness: NotRequired[
        Annotated[
            RobustnessSpread,
            "where it was asked for: as of a run, with `mean` and `std` over the runs in place of every number, "
            "and one pair in place of five severities (of their mean)",
        ]
    ]
    against_plain: NotRequired[
        Annotated[AgainstPlain, "absent where no plain student was trained in the same way"]
    ]


class Document(TypedDict):
    """The whole."""

    schema: Annotated[Literal["pointcmt-evaluation"], "`pointcmt-evaluation`"]
    version: Annotated[Literal[1], "1"]
    pointcmt: Annotated[str, "the version that scored"]
    versions: Annotated[dict[str, str], "of Python and the libraries that computed the scores"]
    command: Annotated[list[str] | None, "what was typed; `null` from Python"]
    units: Annotated[dict[str, str], "of the fields, for a program that never saw this page"]
    data: Annotated[Data, "the file that was scored"]
    protocol: Annotated[Protocol, "how it was scored"]
    runs: Annotated[list[Run], "one per checkpoint, in the order of the command"]
    comparisons: Annotated[list[Comparison], "every pair of checkpoints, on every split"]
    groups: Annotated[list[Group], "runs that are equal but for the seed"]
