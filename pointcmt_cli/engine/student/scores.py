"""A student's scores during its training and at its end, by split."""

from collections.abc import Mapping
from typing import Any

import torch

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.engine.training.metrics import predict_logits, scores
from pointcmt_cli.engine.training.resume import Best
from pointcmt_cli.engine.training.stored import Metrics, SplitScore
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.splits import HELD_OUT, TEST


def held_out(
    student: Classifier, features: Features, config: DistillConfig, device: torch.device
) -> dict[str, float]:
    """Accuracy on the held-out split, for the history."""
    found = split_scores(student, features, HELD_OUT, config, device)
    return {"held_out_oa": found["oa"], "held_out_macc": found["macc"]} if found else {}


def split_scores(
    student: Classifier, features: Features, split: str, config: DistillConfig, device: torch.device
) -> SplitScore:
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
    best: Best,
) -> Metrics:
    """What is kept, labelled apart: last epoch and selected epoch on the held-out split, test of what is kept."""
    last = history[-1]
    chosen = best.epoch if config.select == HELD_OUT and best.epoch else config.epochs
    kept = split_scores(student, features, HELD_OUT, config, device)
    return {
        "selected_by": config.select,
        "selected_epoch": chosen,
        "held_out": kept,
        "last_epoch": {"oa": last.get("held_out_oa"), "macc": last.get("held_out_macc")},
        "test": split_scores(student, features, TEST, config, device),
        "seconds": sum(row["seconds"] for row in history),
    }


def shown(row: Mapping[str, float]) -> dict[str, float]:
    """The figures beside the progress bar."""
    names = {"loss": "loss", "train_accuracy": "train", "held_out_oa": HELD_OUT}
    return {name: row[key] for key, name in names.items() if key in row}
