"""The batches of a student: rows of features.h5 on the device for the whole run, labelled and unlabelled side by side.

In: features, an objective's wishes, seed and epoch; out: row numbers and augmented points. An epoch is a number of
steps, the same for every objective on the same file, so that a comparison is fair: a pass over the unlabelled shapes,
or over the labelled ones where that takes longer.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.clouds.augmentation import augment
from pointcmt_cli.data.clouds.sampling import available, is_filled
from pointcmt_cli.data.clouds.strong import strengthen
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.engine.training import setup
from pointcmt_cli.splits import TRAIN, UNLABELLED


class Resident:
    """Everything a step needs of the shapes that are learned from, on the device; the labelled ones first."""

    def __init__(self, features: Features, device: torch.device, objective: Any) -> None:
        """Of the objective: `uses_unlabelled` and `uses_average` (pointcmt_cli.api.Objective)."""
        shapes = features.shapes
        train, others = (torch.from_numpy(shapes.rows(split)) for split in (TRAIN, UNLABELLED))
        shown = others if getattr(objective, "uses_unlabelled", False) else others[:0]
        rows = torch.cat([train, shown])

        def put(values: Any) -> Tensor:
            return torch.from_numpy(values)[rows].to(device)

        self.points = put(shapes.points)
        self.available = None
        """(S,) where a cloud is filled up with repeats: how many of its points are none."""
        if is_filled(shapes.points[rows]):
            self.available = torch.from_numpy(available(shapes.points[rows])).to(device)
        self.labels = put(shapes.labels)
        self.labelled = (torch.arange(len(rows)) < len(train)).to(device)
        self.teacher_features = put(features.teacher_features)
        self.teacher_logits = put(features.teacher_logits) / features.temperature
        self.oof_logits = put(features.oof_logits) / features.temperature
        self.encoder_features = put(features.encoder_features)
        self.counts = len(train), len(shown), len(others)
        """Labelled; unlabelled that are shown to the objective; unlabelled that there are."""
        self.mixed = len(shown) > 0
        self.twice = bool(getattr(objective, "uses_average", False))

    def batches(self, epoch: int, config: DistillConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Row numbers (B,) and augmented points (B, N, 3), or (2 B, N, 3), whose second half is augmented gently.

        Numbers are drawn on the device, from seed and epoch.
        """
        numbers = setup.stream(config.seed, "batches", epoch, device=self.points.device)
        for rows in self._rows(config, numbers):
            given = None if self.available is None else self.available[rows]
            points = augment(self.points[rows], config.points, numbers, given, config.augmentation)
            if self.twice:
                # what has no label is changed more for the student than for its average
                strong = strengthen(points, numbers)
                points = torch.where(self.labelled[rows][:, None, None], points, strong)
                again = augment(self.points[rows], config.points, numbers, given)
                points = torch.cat([points, again])
            yield rows, points

    def steps(self, config: DistillConfig) -> int:
        """Steps per epoch."""
        labelled, _, unlabelled = self.counts
        return steps_per_epoch(labelled, unlabelled, config)

    def _rows(self, config: DistillConfig, numbers: torch.Generator) -> Iterator[Tensor]:
        """Row numbers of every step of an epoch."""
        labelled, shown, unlabelled = self.counts
        size = config.batch_size
        if not unlabelled:
            order = torch.randperm(labelled, generator=numbers, device=numbers.device)
            yield from (rows for rows in torch.split(order, size) if len(rows) > 1)
            return
        steps, own = self.steps(config), with_label(config) if shown else size
        known = torch.split(_round(labelled, steps * own, numbers), own)
        if not shown:
            yield from known
            return
        others = torch.split(labelled + _round(shown, steps * (size - own), numbers), size - own)
        yield from (torch.cat(pair) for pair in zip(known, others, strict=True))


def steps_per_epoch(labelled: int, unlabelled: int, config: DistillConfig) -> int:
    """Of every objective on a file with so many train shapes and so many without a label."""
    full, rest = divmod(labelled, config.batch_size)
    if not unlabelled:
        return full + (rest > 1)  # batch norm needs two
    return max(math.ceil(unlabelled / (config.batch_size - with_label(config))), full)


def with_label(config: DistillConfig) -> int:
    """Labelled shapes of a batch that has others too."""
    wanted = round(config.batch_size * config.labelled_share)
    return min(max(wanted, 1), config.batch_size - 1)


def _round(count: int, wanted: int, numbers: torch.Generator) -> Tensor:
    """So many of `count` row numbers (wanted,), each once before any comes again."""
    rounds = math.ceil(wanted / count)
    orders = [
        torch.randperm(count, generator=numbers, device=numbers.device) for _ in range(rounds)
    ]
    return torch.cat(orders)[:wanted]
