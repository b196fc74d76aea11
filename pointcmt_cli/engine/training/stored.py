"""What scores are, and what the files of a training hold: checkpoints, generators, states to resume from, format 1.

docs/json-schema.md and docs/checkpoint.schema.json are written from them (tests/support/schema_page.py). A field may be
added within a version; none is removed or changes its meaning.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

from pointcmt_cli.provenance import MadeBy

if TYPE_CHECKING:  # commands know these types, and start without torch
    from torch import Tensor


class Range(NamedTuple):
    """Bounds of a number, both included."""

    low: float
    high: float


class Length(NamedTuple):
    """How many a list has."""

    exactly: int


Share = Annotated[float, Range(0, 1)]
Stage = Literal["student", "teacher", "generator"]
"""Of whom a file or a history is."""
State = dict[str, "Tensor"]
"""Of a torch module."""
Row = dict[str, float | None]
"""An epoch of a history: `epoch` and its figures by their columns; None: an empty cell."""


class ClassRow(TypedDict):
    """One class; `null` where nothing was guessed, or is there, to take a share of."""

    name: str
    count: Annotated[int, "shapes"]
    precision: Share | None
    recall: Share | None
    f1: Share | None


class Scores(TypedDict):
    """What the answers of a network on some shapes are worth."""

    count: Annotated[int, "shapes"]
    oa: Annotated[Share, "overall accuracy: the share that is right"]
    macc: Annotated[Share, "mean recall of the classes that have shapes"]
    top5: Annotated[
        Share | None,
        "share whose class is among the five likeliest; `null` with five classes or fewer",
    ]
    per_class: Annotated[list[ClassRow], "rows `name`, `count`, `precision`, `recall`, `f1`"]
    confusion: Annotated[
        list[list[int]],
        "K x K shapes; row: true class, column: predicted class, as in `data.class_names`",
    ]


class SplitScore(TypedDict, total=False):
    """Scores of one split; empty where it has no shapes."""

    oa: Annotated[Share, "overall accuracy"]
    macc: Annotated[Share, "mean recall of the classes that have shapes"]
    count: Annotated[int, "shapes"]


class LastEpoch(TypedDict):
    """The held-out split after the last epoch; `null` where it was not scored."""

    oa: Share | None
    macc: Share | None


class Metrics(TypedDict):
    """`metrics`: the scores of a training, of the weights that were kept."""

    selected_by: Annotated[
        Literal["last", "held-out"], "`held-out` where the epoch was chosen on that split"
    ]
    selected_epoch: Annotated[int, "the epoch that was kept"]
    held_out: Annotated[SplitScore, "of what was kept"]
    last_epoch: Annotated[LastEpoch, "the held-out split after the last epoch"]
    test: Annotated[SplitScore, "scored once, at the end"]
    out_of_fold: NotRequired[
        Annotated[SplitScore, "of teachers: train shapes, each by heads that have not seen it"]
    ]
    seconds: NotRequired[Annotated[float, "of the epochs together"]]


class Provenance(TypedDict, total=False):
    """`provenance`: what it was made from; what is not known of a file is absent."""

    kind: Annotated[Stage, "whose file it is"]
    run_key: Annotated[str, "a hash that changes whenever the weights could"]
    digest: Annotated[str, "of teachers: sha256 of the weights"]
    views_digest: Annotated[str, "of the views.h5"]
    features_digest: Annotated[str, "of the features.h5"]
    teacher: Annotated[str, "of students: the teacher's plug-in"]
    teacher_digest: Annotated[str, "of students: the `digest` of that teacher"]
    generator_key: Annotated[str, "of students: the `run_key` of the generator they learned from"]
    init_digest: Annotated[str | None, "sha256 of the file given with `--init`"]
    weights_digest: Annotated[str | None, "sha256 of the file given with `--weights`"]
    objective: Annotated[str, "of students: the objective's plug-in"]
    objective_options: Annotated[dict[str, Any], "of that plug-in"]
    frozen: Annotated[bool, "of teachers: whether the encoder kept its first weights"]
    stored_points: Annotated[int, "points per shape in the features.h5"]
    labels_per_class: Annotated[
        str, "labels that each class kept in an experiment with few: a number, or a share as `10%`"
    ]
    source_layout: Annotated[str, "how the source of the views was laid out"]
    variant: Annotated[str, "of that source, e.g. ScanObjectNN's PB_T50_RS"]
    up: Annotated[
        str, "the axis that points up in its files: `y`, `z`, or `auto` (each file's own)"
    ]
    counts: Annotated[dict[str, int], "shapes by split"]


class Written(TypedDict):
    """How every file of a training begins."""

    format: Annotated[str, "`pointcmt-checkpoint`"]
    version: Annotated[int, "1"]


class Checkpoint(Written):
    """The flat dict of a student or a teacher: plain values and tensors only."""

    pointcmt: Annotated[str, "the version that trained it"]
    torch: Annotated[str, "the version that trained it"]
    group: Annotated[Literal["backbones", "teachers"], "the kind of plug-in"]
    name: Annotated[str, "the plug-in's, or `module:attribute`"]
    options: Annotated[
        dict[str, Any], "the plug-in's; with these and `state_dict` the encoder is rebuilt"
    ]
    distribution: Annotated[str, "the package that the plug-in came from"]
    distribution_version: Annotated[str, "its version"]
    width: Annotated[int | None, "of the neck; `null`: the head sits on the encoder"]
    class_names: Annotated[list[str], "in the order of the logits"]
    config: Annotated[dict[str, Any], "the stage's settings"]
    metrics: Annotated[Metrics, "the scores of its training"]
    provenance: Annotated[Provenance, "what it was made from"]
    record: NotRequired[Annotated[MadeBy, "the run; absent in files of before there were records"]]
    state_dict: Annotated[State, "encoder, neck and head"]


class GeneratorFile(Written):
    """A generator.pt."""

    group: Annotated[str, "`generator`"]
    layers: Annotated[int, "1 (the reference code) or 3 (the paper)"]
    width: Annotated[int, "of the teacher's features"]
    points: Annotated[int, "of the clouds that it makes"]
    metrics: Annotated[dict[str, float], "`held_out_emd`: mean distance in the unit box"]
    settings: NotRequired[
        Annotated[dict[str, Any], "those that decide the weights; absent in old files"]
    ]
    provenance: Annotated[Provenance, "its `kind` and its `run_key`"]
    record: NotRequired[Annotated[MadeBy, "the run; absent in files of before there were records"]]
    state_dict: Annotated[State, "the weights"]


class ResumeState(Written):
    """A .NAME.resume: what a killed run goes on from."""

    key: Annotated[str, "the `run_key` of its run"]
    epoch: Annotated[int, "finished epochs"]
    history: Annotated[list[dict[str, Any]], "a row for each of them"]
    modules: Annotated[State, "the weights that are being trained"]
    optimizer: Annotated[dict[str, Any], "torch's own state"]
    best: Annotated[State, "the weights of the best epoch so far; may be empty"]


class Stored(TypedDict, total=False):
    """Any of these, before it is known which: `checkpoint.classifier` and its kin look."""

    format: str
    version: int
    group: str
    provenance: Provenance
