"""Stage III, `distill`: features.h5 -> STUDENT.pt. The student sees points and the teacher's cached features, no image.

PointCMT section 3.3 and its train loop: AdamW, cosine to zero, augmentation by scale and shift, one loss per objective
plug-in. Left out on purpose: choosing the best epoch on the test split (the reference does). The learning rate ends at
zero, so the last epoch is what is kept; `select="held-out"` keeps the epoch that is best on the held-out split instead.
The test split is scored once, at the end. Expected results, with hardware: docs/does-it-help.md.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.augmentation import augment
from pointcmt_cli.data.files import digest
from pointcmt_cli.data.store import Features, read_features
from pointcmt_cli.engine import checkpoint, loop
from pointcmt_cli.engine.metrics import predict_logits, scores
from pointcmt_cli.engine.train_generator import train_generator
from pointcmt_cli.errors import DataError
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.records import Note, Progress, Records, Result

CHECKS = 20
"""How often the held-out split is scored during a run, besides the last epoch."""


def distill(config: DistillConfig) -> Records:
    """Train one student; yields notes, progress per epoch and the scores."""
    config = resolve(config)
    assert config.out is not None
    assert config.features is not None
    features = read_features(config.features)
    device = loop.choose_device(config.device)
    key = run_key(config, features, device)
    if not config.force and (done := finished(config.out, key)):
        loop.Resume(config.out, key).clear()
        yield Note(f"{config.out} is up to date (--force trains it again)")
        yield Result(done)
        return

    shapes = features.shapes
    train = shapes.rows("train")
    if len(train) < 2:
        raise DataError(f"{config.features} has {len(train)} train shapes; at least 2 are needed")
    objective = discovery.build("objectives", config.objective, config.objective_options).to(device)
    generator = None
    if getattr(objective, "needs_generator", False):
        generator = yield from train_generator(config, features, device)
    data = Resident(features, device, train)
    with loop.seeded(config.seed, "weights"):
        student = build_student(config, features).to(device)
        settle(objective, student, data, generator, config, device)
    modules = nn.ModuleList([student, objective])
    optimizer = torch.optim.AdamW(
        modules.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    resume = loop.Resume(config.out, key)
    start, history = resume.load(modules, optimizer)
    best = loop.Best.from_history(history)
    if start:
        yield Note(f"going on after epoch {start} of {config.epochs}")
    yield Note(
        f"{config.student} learns from {len(train)} shapes of {len(shapes.classes)} classes "
        f"(objective {config.objective}, {config.points} points, seed {config.seed}, {device.type})"
    )
    every = math.ceil(config.epochs / CHECKS)
    for epoch in range(start, config.epochs):
        began = time.monotonic()
        row = {
            "epoch": epoch + 1,
            **train_epoch(modules, optimizer, data, generator, config, epoch),
        }
        row["seconds"] = time.monotonic() - began
        if (epoch + 1) % every == 0 or epoch + 1 == config.epochs:
            row |= held_out(student, features, config, device)
            if config.select == "held-out" and best.better(row):
                resume.save_best(student)
        history.append(row)
        resume.save(modules, optimizer, epoch + 1, history)
        yield Progress(config.out.stem, epoch + 1, config.epochs, "epochs", shown(row))
    if config.select == "held-out" and best.epoch:
        resume.load_best(student)

    metrics = final_metrics(student, features, config, device, history, best)
    metrics["seconds"] = sum(row["seconds"] for row in history)
    values = checkpoint.describe(
        student,
        group="backbones",
        name=config.student,
        options=config.student_options,
        classes=shapes.classes,
        config=config,
        metrics=metrics,
        provenance=provenance(config, features, key),
    )
    loop.write_run(config.out, asdict(config), history)
    if config.tensorboard:
        loop.log_tensorboard(config.out, history)
    checkpoint.save(config.out, values)
    resume.clear()
    yield Result(summary(values, config.out))


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


class Resident:
    """Everything a step needs of the train split, on the device for the whole run."""

    def __init__(self, features: Features, device: torch.device, rows: Any) -> None:
        def put(values: Any) -> Tensor:
            return torch.from_numpy(values[rows]).to(device)

        self.points = put(features.shapes.points)
        self.labels = put(features.shapes.labels)
        self.teacher_features = put(features.teacher_features)
        self.teacher_logits = put(features.teacher_logits)
        self.oof_logits = put(features.oof_logits)
        self.encoder_features = put(features.encoder_features)

    def batches(self, epoch: int, config: DistillConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Row numbers (B,) and augmented points (B, N, 3); numbers depend on seed and epoch alone."""
        numbers = loop.stream(config.seed, "batches", epoch)
        order = torch.randperm(len(self.labels), generator=numbers)
        for rows in torch.split(order, config.batch_size):
            if len(rows) > 1:  # batch norm needs two
                rows = rows.to(self.labels.device)
                yield rows, augment(self.points[rows], config.points, numbers)

    def steps(self, config: DistillConfig) -> int:
        """Steps per epoch."""
        full, rest = divmod(len(self.labels), config.batch_size)
        return full + (rest > 1)


def train_epoch(
    modules: nn.ModuleList,
    optimizer: torch.optim.Optimizer,
    data: Resident,
    generator: nn.Module | None,
    config: DistillConfig,
    epoch: int,
) -> dict[str, float]:
    """One pass over the train split; returns the mean of every loss term and the train accuracy."""
    student, objective = modules
    device = data.points.device
    modules.train()
    steps = data.steps(config)
    sums: dict[str, float] = {}
    with loop.seeded(config.seed, "epoch", epoch):
        for step, (rows, points) in enumerate(data.batches(epoch, config)):
            progress = (epoch * steps + step) / (config.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * loop.cosine(progress)
            batch = forward(student, data, rows, points, generator, config, device, progress)
            terms = objective(batch)
            loss = torch.stack(list(terms.values())).sum()
            loop.guard(loss, "distill", epoch, step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            terms = {**terms, "loss": loss, "train_accuracy": accuracy(batch)}
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
    return sums


def forward(
    student: Any,
    data: Resident,
    rows: Tensor,
    points: Tensor,
    generator: nn.Module | None,
    config: DistillConfig,
    device: torch.device,
    progress: float,
) -> Distillation:
    """Student and teacher side by side on one batch; features and logits leave autocast in float32."""
    with loop.autocast(device, config.precision):
        features = student.features(points)
    features = features.float()
    return Distillation(
        labels=data.labels[rows],
        student_features=features,
        student_logits=student.head(features),
        head=student.head,
        progress=progress,
        teacher_features=data.teacher_features[rows],
        teacher_logits=data.teacher_logits[rows],
        oof_logits=data.oof_logits[rows],
        rows=rows,
        bank_features=data.encoder_features,
        bank_labels=data.labels,
        generator=generator,
    )


def settle(
    objective: Any,
    student: Classifier,
    data: Resident,
    generator: nn.Module | None,
    config: DistillConfig,
    device: torch.device,
) -> None:
    """Show the objective one batch, so that lazy parameters take their shapes before the optimizer is made."""
    student.eval()
    rows, points = next(data.batches(0, config))
    with torch.no_grad():
        objective(forward(student, data, rows, points, generator, config, device, 0.0))


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


def held_out(
    student: Classifier, features: Features, config: DistillConfig, device: torch.device
) -> dict[str, float]:
    """Accuracy on the held-out split, for the history."""
    found = split_scores(student, features, "val", config, device)
    return {"held_out_oa": found["oa"], "held_out_macc": found["macc"]} if found else {}


def split_scores(
    student: Classifier, features: Features, split: str, config: DistillConfig, device: torch.device
) -> dict[str, Any]:
    """OA and mAcc of one split, empty where it has no shapes."""
    shapes = features.shapes
    rows = shapes.rows(split)
    if not len(rows):
        return {}
    logits = predict_logits(student, shapes.points[rows], config.points, 64, device)
    found = scores(logits, torch.from_numpy(shapes.labels[rows]), shapes.classes)
    return {"oa": found["oa"], "macc": found["macc"], "count": len(rows)}


def final_metrics(
    student: Classifier,
    features: Features,
    config: DistillConfig,
    device: torch.device,
    history: list[Any],
    best: "loop.Best",
) -> dict[str, Any]:
    """What is kept, labelled apart: last epoch and selected epoch on the held-out split, test of what is kept."""
    last = {key: history[-1].get(f"held_out_{key}") for key in ("oa", "macc")}
    chosen = best.epoch if config.select == "held-out" and best.epoch else config.epochs
    kept = split_scores(student, features, "val", config, device)
    return {
        "selected_by": config.select,
        "selected_epoch": chosen,
        "held_out": kept,
        "last_epoch": last,
        "test": split_scores(student, features, "test", config, device),
    }


def accuracy(batch: Distillation) -> Tensor:
    """Share of the batch that the student has right."""
    return (batch.student_logits.argmax(dim=1) == batch.labels).float().mean()


def shown(row: Mapping[str, float]) -> dict[str, float]:
    """The figures beside the progress bar."""
    names = {"loss": "loss", "train_accuracy": "train", "held_out_oa": "held-out"}
    return {name: row[key] for key, name in names.items() if key in row}


def run_key(config: DistillConfig, features: Features, device: torch.device) -> str:
    """Changes whenever the weights could: settings, input, plug-in versions, device."""
    idle = ("work", "features", "generator", "out", "force", "tensorboard")
    settings = {name: value for name, value in asdict(config).items() if name not in idle}
    plugins = [
        discovery.find("backbones", config.student),
        discovery.find("objectives", config.objective),
    ]
    versions = [(plugin.distribution, plugin.version) for plugin in plugins]
    return digest(settings, features.shapes.digest, versions, device.type)


def finished(out: Path, key: str) -> dict[str, Any] | None:
    """The summary of an earlier run with the same key."""
    if not out.exists():
        return None
    values = checkpoint.load(out)
    return summary(values, out) if values["provenance"].get("run_key") == key else None


def provenance(config: DistillConfig, features: Features, key: str) -> dict[str, Any]:
    """What the checkpoint was made from."""
    attributes = features.shapes.attributes
    names = ("source_layout", "variant", "views_digest", "teacher_digest", "teacher")
    return {
        "kind": "student",
        "run_key": key,
        "objective": config.objective,
        "objective_options": dict(config.objective_options),
        "features_digest": features.shapes.digest,
        "stored_points": features.shapes.points.shape[1],
        **{name: str(attributes[name]) for name in names if name in attributes},
        "counts": features.shapes.counts(),
    }


def summary(values: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """The stage's result in plain values."""
    metrics = values["metrics"]
    return {
        "checkpoint": str(out),
        "student": values["name"],
        "objective": values["provenance"]["objective"],
        "variant": values["provenance"].get("variant"),
        **metrics,
    }
