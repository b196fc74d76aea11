"""Settings of `train-teacher`; a path that is None has a default name in `work`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pointcmt_cli.config.setting import (
    FILES,
    PLUGIN,
    TRAINING,
    DeviceSetting,
    Force,
    PrecisionSetting,
    Seed,
    Setting,
    Work,
)
from pointcmt_cli.config.training import SMOOTHING, LearningRate, Tensorboard, WeightDecay

EPOCHS, FROZEN_EPOCHS = 50, 100
"""Of a teacher: the reference's, and of the head of a frozen network, which is cheap."""


MICRO_BATCH, CPU_MICRO_BATCH = 32, 4
"""Shapes at once in a network that is trained end to end: the reference's, and what a CPU's memory takes."""


PREFERENCE = ("efficientnet-lite", "mvcnn")
"""Teachers, tried in this order where none is named: one that brings ImageNet weights first."""


@dataclass(frozen=True)
class TeacherConfig:
    """`pointcmt train-teacher`: views.h5 -> teacher.pt, features.h5."""

    views: Annotated[
        Path | None,
        Setting("Rendered shapes; default views.h5 in --work.", FILES, decides="content"),
    ] = None
    out: Annotated[
        Path | None, Setting("Checkpoint; default teacher.pt in --work.", FILES, decides=False)
    ] = None
    features: Annotated[
        Path | None,
        Setting(
            "What the student learns from; default features.h5 in --work.", FILES, decides=False
        ),
    ] = None
    work: Work = Path(".")
    teacher: Annotated[
        str | None,
        Setting(
            f"Teacher plug-in; default: the first of {', '.join(PREFERENCE)} that can be built here.",
            PLUGIN,
        ),
    ] = None
    preference: Annotated[
        tuple[str, ...],
        Setting(
            "Teachers, tried in this order where none is named.",
            PLUGIN,
            hidden=True,
            decides=False,
            source="one that brings ImageNet weights first",
        ),
    ] = PREFERENCE
    teacher_options: Annotated[
        Mapping[str, Any],
        Setting("Option of the teacher.", PLUGIN, flag="--option", metavar="KEY=VALUE"),
    ] = field(default_factory=dict)
    weights: Annotated[
        Path | None,
        Setting(
            "Pretrained weights, such as a downloaded torchvision file.",
            PLUGIN,
            metavar="FILE",
            decides="content",
        ),
    ] = None
    """Handed to the plug-in's option `weights`."""
    freeze: Annotated[
        bool | None,
        Setting(
            "Look at every image once and train only the head; default: on a CPU.",
            TRAINING,
            flag="--freeze/--no-freeze",
        ),
    ] = None
    view_size: Annotated[
        int | None,
        Setting(
            "Average the views down to this many pixels first; a quarter of the pixels is 4 times as fast.",
            TRAINING,
            low=1,
        ),
    ] = None
    width: Annotated[
        int,
        Setting(
            "Width of the features; 0: no neck.",
            TRAINING,
            low=0,
            source="ResNet-18's, and so the reference's",
        ),
    ] = 512
    """The neck is left out when 0, and when the network is trained end to end and has this width already."""
    epochs: Annotated[
        int | None,
        Setting(
            f"Default: {FROZEN_EPOCHS} for a frozen network, else {EPOCHS}.",
            TRAINING,
            low=1,
            source="50 as the reference; the head alone is cheap",
        ),
    ] = None
    batch_size: Annotated[
        int,
        Setting(
            "Batch size: shapes per step.",
            TRAINING,
            low=2,
            source='the reference: 32 x 4 accumulated; "large batch is necessary"',
        ),
    ] = 128
    micro_batch: Annotated[
        int | None,
        Setting(
            f"Shapes at once with --no-freeze, accumulated to a batch; default {MICRO_BATCH}, on a CPU "
            f"{CPU_MICRO_BATCH}.",
            TRAINING,
            low=2,
            source="32 as the reference",
        ),
    ] = None
    lr: LearningRate = 1e-3
    """The reference: Adam 1e-3, constant."""
    weight_decay: WeightDecay = 1e-4
    smoothing: Annotated[
        float,
        Setting(
            "Label smoothing, torch's definition.",
            TRAINING,
            low=0,
            high=1,
            source="the reference's 0.2 (docs/method.md says what differs)",
        ),
    ] = SMOOTHING
    labels_per_class: Annotated[
        str | None,
        Setting(
            "For experiments: hide the labels of all other train shapes; a number, or a share of each class as 10%.",
            TRAINING,
            metavar="K",
        ),
    ] = None
    """Class-balanced, drawn by the seed; features.h5 then holds no label and no name of the hidden ones."""
    folds: Annotated[
        int,
        Setting(
            "Out-of-fold heads, for logits of shapes that the head was not trained on; 0: none.",
            TRAINING,
            low=0,
        ),
    ] = 5
    seed: Seed = 0
    device: DeviceSetting = "auto"
    precision: PrecisionSetting = "auto"
    force: Force = False
    tensorboard: Tensorboard = False
