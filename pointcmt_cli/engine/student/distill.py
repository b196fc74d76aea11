"""Stage III, `distill`: features.h5 -> STUDENT.pt. The student sees points and the teacher's cached features, no image.

PointCMT section 3.3 and its train loop: AdamW, cosine to zero, augmentation by scale and shift, one loss per objective
plug-in; other papers' optimizers and augmentations are settings (examples/recipes). Left out on purpose: choosing the
best epoch on the test split (the reference does). The learning rate ends low, so the last epoch is what is kept;
`select="held-out"` keeps the epoch that is best on the held-out split instead. The test split is scored once, at the
end. Expected results, with hardware: docs/does-it-help.md.
"""

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import Features, read_features
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.student.first_weights import fill
from pointcmt_cli.engine.student.provenance import (
    other_settings,
    provenance,
    record_of,
    run_key,
    summary,
    why_anew,
)
from pointcmt_cli.engine.student.ranks import Alone, launch
from pointcmt_cli.engine.student.recorded_step import check_fast, stepper
from pointcmt_cli.engine.student.scores import final_metrics, held_out, shown
from pointcmt_cli.engine.student.step import Meter, Step, Stepper
from pointcmt_cli.engine.student.train_generator import generator_key, train_generator
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.beside import log_tensorboard, write_run
from pointcmt_cli.engine.training.finished import protect
from pointcmt_cli.engine.training.freshness import changed_source
from pointcmt_cli.engine.training.resume import Best, Resume
from pointcmt_cli.errors import DataError, StaleError
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.records import Note, Progress, Records, Result
from pointcmt_cli.splits import HELD_OUT, TRAIN, gaps

CHECKS = 20
"""How often the held-out split is scored during a run, besides the last epoch."""


def distill(config: DistillConfig) -> Records:
    """Train one student; yields notes, progress per epoch and the scores. Under torchrun, one process of several."""
    with launch(config.device) as ranks:
        yield from distill_among(ranks, config)


def distill_among(ranks: Alone, config: DistillConfig) -> Records:
    """The stage in one process, which may have peers: what it reads and writes, the first one reads and writes."""
    named = config.features
    config = settled(resolve(config), ranks.device)
    out = config.out
    assert out is not None
    assert config.features is not None
    if stale := ranks.from_first(changed_source, config.features):
        if named is None:
            raise StaleError(stale)
        yield Note(stale, warning=True)
    features = ranks.from_first_of_node(read_features, config.features)
    ranks.agree("features", features.shapes.digest)
    stored = features.shapes.points.shape[1]
    if config.points > stored:
        yield Note(f"{config.features} stores {stored} points per shape: training on {stored}")
        config = replace(config, points=stored)
    check_fast(config, ranks.device)
    key = ranks.from_first(run_key, config, features, ranks.device)
    with exclusive(out) if ranks.first else nullcontext():
        kept = ranks.from_first(checkpoint.existing, out, "student", config.force)
        if kept and kept["provenance"].get("run_key") == key:
            ranks.from_first(Resume(out, key).clear)
            yield Note(f"{out} is up to date (--force trains it again)")
            yield Result(summary(kept, out))
            return
        if kept:
            protect(out, ranks.from_first(other_settings, kept, config, features))
            yield Note(
                f"retraining {out}; changed: {ranks.from_first(why_anew, kept, config, features)}"
            )
        yield from train_student(config, features, ranks, key)


def train_student(config: DistillConfig, features: Features, ranks: Alone, key: str) -> Records:
    """The training itself: data, model, optimizer, loop, save."""
    assert config.out is not None

    device = ranks.device
    shapes = features.shapes
    train = shapes.rows(TRAIN)
    if len(train) < 2:
        raise DataError(f"{config.features} has {len(train)} train shapes; at least 2 are needed")
    objective = discovery.build("objectives", config.objective, config.objective_options).to(device)
    generator, made_by = None, None
    if getattr(objective, "needs_generator", False):
        made_by = generator_key(config, features, device)
        if ranks.first:
            generator = yield from train_generator(config, features, device)
        generator = ranks.module_of_first(generator)
    data = Resident(features, device, objective)
    with setup.seeded(config.seed, "weights"):
        student = build_student(config, features)
        filled = ""
        if config.init:
            filled = ranks.from_first(fill, student.encoder, config.init, config.student)
        student.to(device)
        step = Step(student, objective, data, generator, config.precision, ranks.peers)
        step.settle(config)
    if filled:
        yield Note(filled)
    modules = nn.ModuleList([student, objective, *([step.average] if step.average else [])])
    optimizer = setup.optimizer(
        config.optimizer, modules, config.lr, config.weight_decay, config.clip
    )
    resume = Resume(config.out, key)
    start, history = resume.load(modules, optimizer, ranks.from_first)
    ranks.saved = start
    best = Best.from_history(history)
    if resume.discarded:
        yield Note(
            f"discarding the interrupted run of {config.out}: its settings differ", warning=True
        )
    if start:
        yield Note(f"going on after epoch {start} of {config.epochs}")
    if lacking := gaps(shapes.classes, shapes.labels, shapes.splits):
        yield Note(lacking, warning=True)
    yield Note(
        f"{config.student} learns from {learned_from(data)} of {len(shapes.classes)} classes "
        f"(objective {config.objective}, {config.points} points, seed {config.seed}, {device.type})"
    )
    take = ranks.stepper(step, optimizer, (yield from stepper(step, optimizer, data, config)))
    every = math.ceil(config.epochs / CHECKS)

    def keep(done: int) -> int:
        # known here, even if the news does not reach a peer
        ranks.saved = resume.save(modules, optimizer, done, history)
        return ranks.saved

    for epoch in range(start, config.epochs):
        began = time.monotonic()
        modules.train()
        row = {"epoch": epoch + 1, **train_epoch(take, optimizer, data, config, epoch)}
        row["seconds"] = time.monotonic() - began
        if (epoch + 1) % every == 0 or epoch + 1 == config.epochs:
            row |= ranks.from_first(held_out, student, features, config, device)
            if config.select == HELD_OUT and best.better(row):
                resume.save_best(student)
        history.append(row)
        ranks.saved = ranks.from_first(keep, epoch + 1)
        yield Progress(config.out.stem, epoch + 1, config.epochs, "epochs", shown(row))
    if config.select == HELD_OUT and best.epoch:
        resume.load_best(student)
    done = (config, features, device, history, best, resume, made_by)
    yield Result(ranks.from_first(finish, student, *done))


def learned_from(data: Resident) -> str:
    """How many shapes, with and without labels."""
    labelled, shown, unlabelled = data.counts
    if not unlabelled:
        return f"{labelled} shapes"
    idle = "" if shown else ", which this objective does not use,"
    return f"{labelled} labelled and {unlabelled} unlabelled shapes{idle}"


def finish(
    student: Classifier,
    config: DistillConfig,
    features: Features,
    device: torch.device,
    history: list[Any],
    best: Best,
    resume: Resume,
    made_by: str | None,
) -> dict[str, Any]:
    """The scores and the files of a trained student; returns the stage's result."""
    assert config.out is not None
    metrics = final_metrics(student, features, config, device, history, best)
    made = record_of(config, features)
    values = checkpoint.describe(
        student,
        group="backbones",
        name=config.student,
        options=config.student_options,
        classes=features.shapes.classes,
        config=config,
        metrics=metrics,
        provenance=provenance(config, features, resume.key, made_by),
        record=made,
    )
    write_run(config.out, asdict(config), history, made)
    if config.tensorboard:
        log_tensorboard(config.out, history)
    checkpoint.save(config.out, values)
    resume.clear()
    return summary(values, config.out)


def resolve(config: DistillConfig) -> DistillConfig:
    """Default file names filled in; an objective that is not the default one gets a name of its own."""
    stem = config.student.rpartition(":")[2]
    if config.objective != DistillConfig.objective:
        stem += f"-{config.objective.rpartition(':')[2]}"
    return replace(
        config,
        features=config.features or config.work / "features.h5",
        generator=config.generator or config.work / "generator.pt",
        out=config.out or config.work / f"{stem}.pt",
    )


def settled(config: DistillConfig, device: torch.device) -> DistillConfig:
    """`auto` replaced by what it comes to here: the two are one run, and its record says which it was."""
    return replace(
        config,
        device="cuda" if device.type == "cuda" else "cpu",
        precision=setup.choose_precision(device, config.precision),
    )


def train_epoch(
    take: Stepper,
    optimizer: torch.optim.Optimizer,
    data: Resident,
    config: DistillConfig,
    epoch: int,
) -> dict[str, float]:
    """One pass over the train split; returns the mean of every loss term and the train accuracy."""
    steps = data.steps(config)
    progress = torch.zeros((), device=data.points.device)
    meter = Meter("distill", epoch)
    with setup.seeded(config.seed, "epoch", epoch):
        for step, (rows, points) in enumerate(data.batches(epoch, config)):
            done = (epoch * steps + step) / (config.epochs * steps)
            progress.fill_(done)
            setup.set_rate(optimizer, setup.rate(done, config.lr, config.last_lr))
            meter.add(take(rows, points, progress))
    return meter.means()


def build_student(config: DistillConfig, features: Features) -> Classifier:
    """The backbone with neck and head of the teacher's width."""
    encoder = discovery.build("backbones", config.student, config.student_options)
    least = getattr(encoder, "minimum_points", 1)
    stored = features.shapes.points.shape[1]
    if min(config.points, stored) < least:
        raise DataError(
            f"{config.student} takes at least {least} points, got {min(config.points, stored)}: raise --points"
        )
    width = features.teacher_features.shape[1]
    return Classifier(encoder, len(features.shapes.classes), width, name=config.student)
