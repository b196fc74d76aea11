"""Stage I, `train_teacher`: views.h5 -> teacher.pt and features.h5. An image network over the views of every shape.

PointCMT section 3.1 and its train_mvcnn.py: maximum over the views, Adam 1e-3, weight decay 1e-4, constant rate, batch
128 accumulated from smaller ones. A frozen network (the default on a CPU) looks at every image once; neck and head are
then trained on its features. What differs from the reference on purpose: label smoothing is torch's (eps / K on every
class, not eps / (K - 1) on the wrong ones), and the epoch is selected on the held-out split; test is scored once.

Out of fold: what a teacher says of the shapes it was trained on is nearly always right, and so tells a student little
beyond the labels. With a frozen network, `folds` more heads are each trained without one part of the train split
and give their logits of it. Features have no such twin: each head's neck has a space of its own. A network trained end
to end has seen every train shape, so it has no out-of-fold logits.

Expected, 1,210 meshes of 36 classes (707 train, 137 held out), 12 views at 128 pixels, frozen EfficientNet-Lite0, one
seed: 84 % on test, 82 % out of fold; 85 CPU-seconds on one EPYC core (bf16: 65), 0.64 GB.
"""

from collections.abc import Generator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pointcmt_cli.config import TeacherConfig
from pointcmt_cli.data.store.features import Features, write_features
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.views import VIEWS_FORMAT, ShapeSet, read_shapes
from pointcmt_cli.engine.teacher.choice import choose, files, options_of, resolve, run_key
from pointcmt_cli.engine.teacher.few_labels import few_labels
from pointcmt_cli.engine.teacher.fit import Task, cached, fit, out_of_fold
from pointcmt_cli.engine.teacher.image_features import Views, encode_views
from pointcmt_cli.engine.teacher.provenance import (
    feature_attributes,
    features_match,
    kept_checkpoint,
    provenance,
    record_of,
    summary,
)
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.beside import log_tensorboard, write_run
from pointcmt_cli.engine.training.metrics import scores
from pointcmt_cli.engine.training.resume import Best, Resume
from pointcmt_cli.engine.training.stored import Metrics, SplitScore
from pointcmt_cli.engine.training.temperature import fit_temperature
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import digest
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.records import Note, Record, Records, Result
from pointcmt_cli.splits import HELD_OUT, TEST, TRAIN, UNLABELLED, gaps


def train_teacher(config: TeacherConfig) -> Records:
    """Train one teacher and write what the student learns from; yields notes, progress and the scores."""
    config = resolve(config)
    _, out, _ = files(config)
    with exclusive(out):
        yield from train(config)


def train(config: TeacherConfig) -> Records:
    """The stage, once no other run writes its output."""
    views_file, out, features_file = files(config)
    if config.tensorboard:
        log_tensorboard(out, [])  # says now, not at the end, that the extra is missing
    shapes = read_shapes(views_file, [VIEWS_FORMAT])
    if config.labels_per_class:
        shapes = few_labels(shapes, config.labels_per_class, config.seed)
    if len(shapes.rows(TRAIN)) < 2:
        raise DataError(f"{views_file}: a teacher needs 2 train shapes or more")
    device = setup.choose_device(config.device)
    config, model = yield from choose(config, shapes, device)
    key = run_key(config, model, shapes, device)
    kept = yield from kept_checkpoint(config, shapes, key)
    if kept and features_match(config, kept):
        yield Note(f"{out} and {features_file} are up to date (--force trains again)")
        yield Result(summary(kept, config))
        return

    views = Views(views_file, config.view_size, device)
    resume = Resume(out, key)
    encoded, history = None, []
    if config.freeze:
        encoded = yield from encode(model, views, shapes, config)
    if kept:
        model.load_state_dict(kept["state_dict"])
    else:
        if lacking := gaps(shapes.classes, shapes.labels, shapes.splits):
            yield Note(lacking, warning=True)
        yield Note(describe(config, shapes, device))
        task = task_of(model, views, encoded, shapes, config, device)
        history = yield from fit(task, resume)
        resume.load_best(task.module)
    if encoded is None:
        encoded = yield from encode(model, views, shapes, config)

    features = teach(model, encoded, shapes, device)
    if config.folds:
        epochs = kept["metrics"]["selected_epoch"] if kept else selected(history)
        logits = yield from out_of_fold(features, model.width, config, device, epochs)
        features = replace(features, oof_logits=logits)
    made = record_of(config, shapes)
    if not kept:
        kept = checkpoint.describe(
            model,
            group="teachers",
            name=model.name,
            options=options_of(config),
            classes=shapes.classes,
            config=config,
            metrics=final_metrics(features, history, config),
            provenance=provenance(model, shapes, config, key),
            record=made,
        )
        write_run(out, asdict(config), history, made)
        checkpoint.save(out, kept)
        if config.tensorboard:
            log_tensorboard(out, history)
    attributes = {**feature_attributes(config, kept), "temperature": temperature(features, config)}
    write_features(features_file, features, attributes, made)
    resume.clear()
    yield Result(summary(kept, config))


def encode(
    model: Classifier, views: Views, shapes: ShapeSet, config: TeacherConfig
) -> Generator[Record, None, NDArray[np.float32]]:
    """The encoder's features (S, E) of every shape, from the cache beside the checkpoint where they are there."""
    _, out, _ = files(config)
    state = checkpoint.state_digest(model.encoder)
    what = (shapes.digest, state, model.name, config.teacher_options, views.size, config.precision)
    folder = out.with_name(f".{out.name}.image-features")
    key = digest(what, views.device.type)[:16]
    features = yield from encode_views(
        model, views, len(shapes.names), folder, key, config.precision
    )
    return features


def task_of(
    model: Classifier,
    views: Views,
    encoded: NDArray[np.float32] | None,
    shapes: ShapeSet,
    config: TeacherConfig,
    device: torch.device,
) -> Task:
    """Neck and head on cached features, or the whole model on views."""
    if encoded is not None:
        head = nn.Sequential(model.neck, model.head)
        return Task(head, cached(encoded, device), shapes, config, device)
    views.hold(len(shapes.names))
    return Task(model, views, shapes, config, device)


def teach(
    model: Classifier, encoded: NDArray[np.float32], shapes: ShapeSet, device: torch.device
) -> Features:
    """Features (S, D) and logits (S, K) of every shape, from the encoder's features (S, E)."""
    model.eval()
    with torch.inference_mode():
        features = model.neck(torch.from_numpy(encoded).to(device))
        logits = model.head(features).cpu().numpy()
    return Features(shapes, features.cpu().numpy(), logits, logits, encoded)


def temperature(features: Features, config: TeacherConfig) -> float:
    """At which it is as sure as it is right, of shapes that it was not trained on: out of fold, else held-out."""
    shapes = features.shapes
    rows = shapes.rows(TRAIN if config.folds else HELD_OUT)
    if not len(rows):
        return 1.0
    return fit_temperature(torch.from_numpy(features.oof_logits[rows]), shapes.labels[rows])


def selected(history: list[dict[str, Any]]) -> int:
    """The epoch that is kept: the best on the held-out split, the last one where there is none."""
    return Best.from_history(history).epoch or len(history)


def final_metrics(
    features: Features, history: list[dict[str, Any]], config: TeacherConfig
) -> Metrics:
    """What is reported, labelled apart: held-out of the selected and of the last epoch, test, out of fold."""
    shapes = features.shapes

    def score(split: str, logits: NDArray[np.float32]) -> SplitScore:
        rows = shapes.rows(split)
        if not len(rows):
            return {}
        found = scores(torch.from_numpy(logits[rows]), shapes.labels[rows], shapes.classes)
        return {"oa": found["oa"], "macc": found["macc"], "count": len(rows)}

    last = history[-1]
    return {
        "selected_by": HELD_OUT if len(shapes.rows(HELD_OUT)) else "last",
        "selected_epoch": selected(history),
        "held_out": score(HELD_OUT, features.teacher_logits),
        "last_epoch": {"oa": last.get("held_out_oa"), "macc": last.get("held_out_macc")},
        "test": score(TEST, features.teacher_logits),
        "out_of_fold": score(TRAIN, features.oof_logits) if config.folds else {},
        "seconds": sum(row["seconds"] for row in history),
    }


def describe(config: TeacherConfig, shapes: ShapeSet, device: torch.device) -> str:
    """One line before the training starts."""
    counts = shapes.counts()
    what = "frozen, its head trained" if config.freeze else "trained end to end"
    selection = "" if counts[HELD_OUT] else "; no held-out shapes: the last epoch is kept"
    labelled = f"{counts['train']} shapes"
    if UNLABELLED in counts:
        labelled = f"{counts['train']} labelled shapes (and asked about {counts[UNLABELLED]} unlabelled ones)"
    return (
        f"teacher {config.teacher}, {what} on {labelled} of {len(shapes.classes)} classes for "
        f"{config.epochs} epochs (seed {config.seed}, {device.type}){selection}"
    )
