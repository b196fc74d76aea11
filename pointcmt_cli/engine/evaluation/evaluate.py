"""Stage `evaluate`: checkpoints and features.h5 or views.h5 -> the evaluation document (docs/json-schema.md).

One pass over the first N stored points of each shape is what `distill` scored, and gives its number again. With votes
(reference: 10 passes, scales U[0.85, 1.15] per axis, first pass unscaled, softmax averaged) a second, separate score
stands beside it. Against the reference: a fixed number of passes, never the best of many; every pass scales the
original points, so scales do not compound. Nothing is chosen here but a temperature, and that on the held-out split.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pointcmt_cli.config import POINT_COUNTS, ROTATIONS, EvaluateConfig
from pointcmt_cli.data.store.views import ShapeSet, read_attributes
from pointcmt_cli.engine.evaluation.comparison import comparisons, teacher_answers
from pointcmt_cli.engine.evaluation.document import document, text
from pointcmt_cli.engine.evaluation.groups import groups, repeated
from pointcmt_cli.engine.evaluation.schema import Document, Run
from pointcmt_cli.engine.evaluation.scoring import SPLITS, Scored, Subject, score_run
from pointcmt_cli.engine.training import setup
from pointcmt_cli.engine.training.freshness import changed_source
from pointcmt_cli.engine.training.trained import (
    Trained,
    check_classes,
    find_data,
    open_trained,
    read_clouds,
    same_data,
)
from pointcmt_cli.errors import DataError, OtherKindError, UsageError
from pointcmt_cli.records import Note, Record, Records, Result
from pointcmt_cli.splits import TEST, classes_without
from pointcmt_cli.wording import some_of


@dataclass(frozen=True)
class Evaluation:
    """The document, and what it was computed from."""

    document: Document
    scored: list[Scored]
    """One per run, in the order of `document["runs"]`."""
    shapes: ShapeSet
    path: Path
    """The data file."""


def evaluate(config: EvaluateConfig) -> Records:
    """Score students and teachers; yields notes, progress and the document."""
    found = yield from measure(config)
    yield Result(found.document)


def measure(config: EvaluateConfig) -> Generator[Record, None, Evaluation]:
    """The same with every answer, for whoever looks at single shapes."""
    opened = yield from open_all(config)
    path = choose_data(config, opened)
    shapes = read_clouds(path)
    for trained in opened:
        check_classes(path, shapes, trained.classes, f"the checkpoint {trained.path}")
    if not any(len(shapes.rows(split)) for split in SPLITS):
        raise DataError(f"{path} has neither held-out nor test shapes: nothing to score")
    config = what_is_asked(config, path, shapes)
    device = setup.choose_device(config.device)
    names = ", ".join(dict.fromkeys(str(each.values["name"]) for each in opened))
    what = str(opened[0].path) if len(opened) == 1 else f"{len(opened)} checkpoints"
    yield Note(f"{what}: {names} on {describe_data(path, shapes)}")
    if stale := changed_source(path):
        yield Note(stale, warning=True)
    yield from gaps(path, shapes)

    teacher = teacher_answers(path, shapes)
    runs: list[Run] = []
    scored = []
    for trained in opened:
        label = f"{trained.path.stem}, " if len(opened) > 1 else ""
        subject = Subject(trained, path, shapes, device, config.batch_size, label)
        yield from warnings(subject)
        run, answers = yield from score_run(subject, config, teacher)
        runs.append(run)
        scored.append(answers)
    for again, first in repeated(runs):
        yield Note(f"{again} has the settings and the seed of {first}: counted once", warning=True)
    result = document(config, path, shapes, runs)
    pairs = [(run["checkpoint"], each.answers()) for run, each in zip(runs, scored, strict=True)]
    result["comparisons"] = comparisons(pairs, scored[0].labels)
    result["groups"] = groups(runs)
    return Evaluation(result, scored, shapes, path)


def open_all(config: EvaluateConfig) -> Generator[Record, None, list[Trained]]:
    """Every checkpoint, once each; what is neither, among several (`runs/*.pt`), is left out."""
    opened: list[Trained] = []
    for path in config.checkpoints:
        try:
            trained = open_trained(path, config.work, "backbones", "teachers")
        except OtherKindError as error:
            if len(config.checkpoints) == 1:
                raise
            yield Note(f"left out: {error}")
            continue
        if any(trained.path.samefile(other.path) for other in opened):
            raise UsageError(f"{trained.path} is given twice")
        opened.append(trained)
    if not opened:
        raise DataError("no student or teacher among the checkpoints: nothing to score")
    if all(trained.is_teacher for trained in opened):
        changed = {
            "--votes scales points": config.votes > 1,
            "--corrupt changes points": config.corrupt,
            "--points counts points": config.points,
            "--rotations turns points": config.rotations,
        }
        for option, used in changed.items():
            if used:
                raise UsageError(f"{option}; {opened[0].path} is a teacher and sees views")
    return opened


def choose_data(config: EvaluateConfig, opened: Sequence[Trained]) -> Path:
    """The data file: a teacher needs one with views."""
    teachers = any(trained.is_teacher for trained in opened)
    names = ("views.h5",) if teachers else ("features.h5", "views.h5")
    path = find_data(config.data, config.work, opened[0].path, *names)
    if teachers and read_attributes(path).get("format") != "pointcmt-views":
        raise DataError(f"{path} has no views; a teacher needs views.h5: name it with --data")
    return path


def what_is_asked(config: EvaluateConfig, path: Path, shapes: ShapeSet) -> EvaluateConfig:
    """`--corrupt all` spelled out, and what cannot be done refused before anything is scored."""
    stored = shapes.points.shape[1]
    if too_many := [count for count in config.points if count > stored]:
        raise UsageError(f"--points {too_many[0]}: {path} stores {stored} points per shape")
    if (config.corrupt or config.points or config.rotations) and not len(shapes.rows(TEST)):
        raise DataError(f"{path} has no test shapes: nothing to corrupt")
    if config.corrupt != "all":
        return config
    curve = tuple(count for count in POINT_COUNTS if count <= stored)
    return replace(config, points=config.points or curve, rotations=config.rotations or ROTATIONS)


def gaps(path: Path, shapes: ShapeSet) -> Iterator[Note]:
    """Splits and classes without shapes."""
    for split in SPLITS:
        absent = classes_without(split, shapes.classes, shapes.labels, shapes.splits)
        if not len(shapes.rows(split)):
            yield Note(f"{path} has no {split} shapes", warning=True)
        elif absent:
            yield Note(
                f"{split}: no shapes of {len(absent)} of {len(shapes.classes)} classes "
                f"({some_of(absent)}); they are in no mAcc",
                warning=True,
            )


def warnings(subject: Subject) -> Iterator[Note]:
    """What a reader of the scores must know first."""
    trained, shapes, path = subject.trained, subject.shapes, subject.path
    if same_data(trained, shapes) is False:
        yield Note(
            f"{path} is not the data that {trained.path} was trained on: the splits may differ, "
            "so shapes it has seen in training may be scored here",
            warning=True,
        )
    recorded, variant = trained.provenance.get("variant"), text(shapes, "variant")
    if recorded and recorded != variant:
        yield Note(
            f"{trained.path} was trained on variant {recorded}, {path} is {variant or 'none'}",
            warning=True,
        )
    taught, there = trained.provenance.get("teacher_digest"), text(shapes, "teacher_digest")
    if taught and there and taught != there:
        yield Note(
            f"{path} holds another teacher's answers than those that {trained.path} learnt from: "
            "the agreement is with that one",
            warning=True,
        )
    stored = shapes.points.shape[1]
    if not trained.is_teacher and stored < trained.points:
        yield Note(
            f"{path} stores {stored} points per shape, {trained.path} asks for {trained.points}: all are used",
            warning=True,
        )


def describe_data(path: Path, shapes: ShapeSet) -> str:
    """Path, layout, variant, classes and counts in one line."""
    kind = " ".join(filter(None, (text(shapes, "source_layout"), text(shapes, "variant"))))
    counts = ", ".join(f"{n} {split}" for split, n in shapes.counts().items())
    return f"{path} ({kind + ', ' if kind else ''}{len(shapes.classes)} classes, {counts})"
