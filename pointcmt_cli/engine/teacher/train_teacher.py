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

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pointcmt_cli import discovery
from pointcmt_cli.config import TeacherConfig, deciding
from pointcmt_cli.data.store.features import Features, write_features
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.views import VIEWS_FORMAT, ShapeSet, read_attributes, read_shapes
from pointcmt_cli.engine.teacher.choice import choose, files, options_of, resolve, run_key
from pointcmt_cli.engine.teacher.fit import Task, cached, fit, out_of_fold
from pointcmt_cli.engine.teacher.image_features import Views, encode_views
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.beside import differences, log_tensorboard, write_run
from pointcmt_cli.engine.training.finished import other_file, protect
from pointcmt_cli.engine.training.metrics import scores
from pointcmt_cli.engine.training.resume import Best, Resume
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import digest, file_digest
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.provenance import MadeBy, record
from pointcmt_cli.records import Note, Record, Records, Result
from pointcmt_cli.splits import HELD_OUT, TEST, TRAIN


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
    write_features(features_file, features, feature_attributes(config, kept), made)
    resume.clear()
    yield Result(summary(kept, config))


def kept_checkpoint(
    config: TeacherConfig, shapes: ShapeSet, key: str
) -> Generator[Record, None, dict[str, Any] | None]:
    """The checkpoint of an earlier run with the same key; of another run, a note says what changed."""
    _, out, _ = files(config)
    values = checkpoint.kept(out, "teacher", config.force)
    if values is None:
        protect_features(config, shapes, key)
        return None
    made = values["provenance"]
    if made.get("run_key") == key:
        return values
    changes = differences(deciding(values["config"], TeacherConfig), deciding(config))
    weights = []
    if made.get("weights_digest") != weights_digest(config):
        weights = other_file("--weights", values["config"].get("weights"), config.weights)
    protect(out, weights + changes)
    if made.get("views_digest") != shapes.digest:
        changes.insert(0, "the views")
    if made.get("weights_digest") != weights_digest(config):
        changes.insert(0, "--weights")
    why = ", ".join(changes) or "the network's first weights, its package or the device"
    yield Note(f"{out} is trained anew; changed: {why}")
    return None


def protect_features(config: TeacherConfig, shapes: ShapeSet, key: str) -> None:
    """A new teacher does not replace what another one says of the same views, unasked."""
    _, _, features_file = files(config)
    if config.force or not features_file.exists():
        return
    made = feature_attributes_of(features_file)
    if made.get("views_digest") == shapes.digest and made.get("teacher_key") != key:
        protect(features_file, ["another teacher of the same views"], "--features")


def features_match(config: TeacherConfig, kept: Mapping[str, Any]) -> bool:
    """Whether features.h5 was made by this very teacher."""
    _, _, features_file = files(config)
    if not features_file.exists():
        return False
    made = feature_attributes_of(features_file)
    expected = feature_attributes(config, kept)
    return all(made.get(key) == value for key, value in expected.items())


def feature_attributes_of(path: Path) -> dict[str, Any]:
    """What a features.h5 says of itself; a file that says nothing is not replaced unasked."""
    try:
        return read_attributes(path)
    except DataError as error:
        raise DataError(f"{error}; it is in the way: --force replaces it") from error


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


def selected(history: list[dict[str, Any]]) -> int:
    """The epoch that is kept: the best on the held-out split, the last one where there is none."""
    return Best.from_history(history).epoch or len(history)


def final_metrics(
    features: Features, history: list[dict[str, Any]], config: TeacherConfig
) -> dict[str, Any]:
    """What is reported, labelled apart: held-out of the selected and of the last epoch, test, out of fold."""
    shapes = features.shapes

    def score(split: str, logits: NDArray[np.float32]) -> dict[str, Any]:
        rows = shapes.rows(split)
        if not len(rows):
            return {}
        found = scores(torch.from_numpy(logits[rows]), shapes.labels[rows], shapes.classes)
        return {"oa": found["oa"], "macc": found["macc"], "count": len(rows)}

    last = {key: history[-1].get(f"held_out_{key}") for key in ("oa", "macc")}
    return {
        "selected_by": HELD_OUT if len(shapes.rows(HELD_OUT)) else "last",
        "selected_epoch": selected(history),
        "held_out": score(HELD_OUT, features.teacher_logits),
        "last_epoch": last,
        "test": score(TEST, features.teacher_logits),
        "out_of_fold": score(TRAIN, features.oof_logits) if config.folds else {},
        "seconds": sum(row["seconds"] for row in history),
    }


def weights_digest(config: TeacherConfig) -> str | None:
    """sha256 of the file of first weights: what is in it counts, not how its path was typed."""
    if config.weights is None or not config.weights.is_file():
        return None
    with config.weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(
    model: Classifier, shapes: ShapeSet, config: TeacherConfig, key: str
) -> dict[str, Any]:
    """What the checkpoint was made from, and its own hash."""
    attributes = shapes.attributes
    return {
        "kind": "teacher",
        "run_key": key,
        "digest": checkpoint.state_digest(model),
        "views_digest": shapes.digest,
        **({"weights_digest": weights_digest(config)} if config.weights else {}),
        "frozen": config.freeze,
        **{
            name: str(attributes[name])
            for name in ("source_layout", "variant")
            if name in attributes
        },
        "counts": shapes.counts(),
    }


def record_of(config: TeacherConfig, shapes: ShapeSet) -> MadeBy:
    """The run that trains this teacher."""
    views_file, _, _ = files(config)
    inputs: dict[str, tuple[Path, str | None]] = {"views": (views_file, shapes.digest)}
    if config.weights:
        inputs["weights"] = (config.weights, file_digest(config.weights))
    assert config.teacher is not None
    return record(inputs, discovery.find("teachers", config.teacher).distribution)


def feature_attributes(config: TeacherConfig, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What features.h5 says of its teacher."""
    made = kept["provenance"]
    return {
        "teacher": kept["name"],
        "teacher_digest": made["digest"],
        "teacher_key": made["run_key"],
        "folds": config.folds,
    }


def describe(config: TeacherConfig, shapes: ShapeSet, device: torch.device) -> str:
    """One line before the training starts."""
    counts = shapes.counts()
    what = "frozen, its head trained" if config.freeze else "trained end to end"
    selection = "" if counts[HELD_OUT] else "; no held-out shapes: the last epoch is kept"
    return (
        f"teacher {config.teacher}, {what} on {counts['train']} shapes of {len(shapes.classes)} classes for "
        f"{config.epochs} epochs (seed {config.seed}, {device.type}){selection}"
    )


def summary(kept: Mapping[str, Any], config: TeacherConfig) -> dict[str, Any]:
    """The stage's result in plain values."""
    return {
        "checkpoint": str(config.out),
        "features": str(config.features),
        "teacher": kept["name"],
        "frozen": kept["provenance"]["frozen"],
        "variant": kept["provenance"].get("variant"),
        **kept["metrics"],
    }
