"""Settings of `train-teacher` and `distill`, and of `demo`, which runs both.

`None` for a path means the default name in `work`; the stage's `resolve` fills it in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pointcmt_cli.config.setting import (
    FILES,
    PLUGIN,
    RUN,
    TRAINING,
    DeviceSetting,
    Force,
    PrecisionSetting,
    Seed,
    Setting,
    Work,
)

PLAIN_OBJECTIVE = "none"
"""The objective plug-in that trains a plain student: the yardstick beside every distilled one."""
SMOOTHING = 0.2
"""Label smoothing of the reference (main_cls.py); torch's definition, not its (docs/method.md)."""
EPOCHS, FROZEN_EPOCHS = 50, 100
"""Of a teacher: the reference's, and of the head of a frozen network, which is cheap."""
MICRO_BATCH, CPU_MICRO_BATCH = 32, 4
"""Shapes at once in a network that is trained end to end: the reference's, and what a CPU's memory takes."""
PREFERENCE = ("efficientnet-lite", "mvcnn")
"""Teachers, tried in this order where none is named: one that brings ImageNet weights first."""

LearningRate = Annotated[float, Setting("Learning rate at the start.", TRAINING, positive=True)]
WeightDecay = Annotated[float, Setting("The optimizer's weight decay.", TRAINING, low=0.0)]
Tensorboard = Annotated[
    bool, Setting("Write TensorBoard scalars beside the checkpoint.", RUN, decides=False)
]


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
            "Shapes per step.",
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


@dataclass(frozen=True)
class DistillConfig:
    """`pointcmt distill`: features.h5 -> STUDENT.pt."""

    student: Annotated[
        str,
        Setting(
            "Backbone plug-in, or module:attribute (`pointcmt plugins list` shows them).", PLUGIN
        ),
    ] = "pointnet2"
    student_options: Annotated[
        Mapping[str, Any],
        Setting(
            "An option of the backbone, e.g. variant=msg.",
            PLUGIN,
            flag="--student-option",
            metavar="KEY=VALUE",
        ),
    ] = field(default_factory=dict)
    objective: Annotated[
        str,
        Setting(
            "Objective plug-in; `none` trains the plain student, without a teacher.",
            PLUGIN,
            source="docs/does-it-help.md",
        ),
    ] = "contrast"
    objective_options: Annotated[
        Mapping[str, Any],
        Setting(
            "An option of the objective, e.g. recipe=reference.",
            PLUGIN,
            flag="--objective-option",
            metavar="KEY=VALUE",
        ),
    ] = field(default_factory=dict)
    points: Annotated[
        int,
        Setting(
            "Points per cloud.",
            TRAINING,
            low=1,
            source="the reference: 1,024, drawn anew from the stored ones at every step",
        ),
    ] = 1024
    epochs: Annotated[
        int,
        Setting(
            "Passes over the train split.",
            TRAINING,
            low=1,
            source="the reference trains 1,000 on a GPU; docs/does-it-help.md says what 60 give",
        ),
    ] = 60
    batch_size: Annotated[int, Setting("Shapes per step.", TRAINING, low=2)] = 32
    lr: LearningRate = 1e-3
    """AdamW with cosine to zero, as the reference."""
    weight_decay: WeightDecay = 0.05
    select: Annotated[
        Literal["last", "held-out"],
        Setting(
            "Keep the last epoch, or the best one on the held-out split.",
            TRAINING,
            source="the learning rate ends at zero",
        ),
    ] = "last"
    generator_layers: Annotated[
        Literal[1, 3],
        Setting(
            "1 (the reference code) or 3 (the paper).",
            TRAINING,
            source='the reference code; 3 "works equally", its author says',
        ),
    ] = 1
    generator_epochs: Annotated[int, Setting("Passes for the generator.", TRAINING, low=1)] = 50
    generator_lr: Annotated[
        float,
        Setting("Learning rate of the generator (Adam).", TRAINING, positive=True, hidden=True),
    ] = 1e-3
    """It and the batch are the generator's own, so that a student's settings do not retrain it."""
    generator_batch_size: Annotated[
        int, Setting("Shapes per step of the generator.", TRAINING, low=2, hidden=True)
    ] = 32
    generator_points: Annotated[
        int,
        Setting(
            "Points of a generated cloud.",
            TRAINING,
            low=1,
            source="the reference; the EMD costs about their square on a CPU",
        ),
    ] = 1024
    features: Annotated[
        Path | None, Setting("features.h5 of `train-teacher`.", FILES, decides="content")
    ] = None
    generator: Annotated[
        Path | None,
        Setting("generator.pt, reused when it matches, trained otherwise.", FILES, decides=False),
    ] = None
    init: Annotated[
        Path | None,
        Setting(
            "Start the encoder from this checkpoint: one of ours, or its paper's public one.",
            FILES,
            decides="content",
        ),
    ] = None
    out: Annotated[
        Path | None,
        Setting(
            "The checkpoint; STUDENT.pt, or STUDENT-OBJECTIVE.pt for other objectives.",
            FILES,
            decides=False,
        ),
    ] = None
    work: Work = Path(".")
    seed: Seed = 0
    device: DeviceSetting = "auto"
    precision: PrecisionSetting = "auto"
    fast: Annotated[
        bool | None,
        Setting(
            "Record the training step and replay it, which starts it faster; the default on CUDA.",
            RUN,
            decides=False,
        ),
    ] = None
    """As a CUDA graph (docs/speed.md). The numbers are the same."""
    force: Force = False
    tensorboard: Tensorboard = False


@dataclass(frozen=True)
class DemoConfig:
    """`pointcmt demo`: the whole pipeline on shapes it generates, sized for 2 CPU cores in under 5 minutes."""

    work: Annotated[Path, Setting("Folder for everything.", FILES, metavar="DIR")] = Path(
        "pointcmt-demo"
    )
    shapes: Annotated[int, Setting("Train shapes per class.", RUN, low=4)] = 30
    """Half as many again are test."""
    student: Annotated[str, Setting("Backbone plug-in.", PLUGIN)] = "pointnet"
    rig: str = "orthogonal6"
    image_size: int = 112
    points: int = 512
    epochs: Annotated[int, Setting("Passes of each student.", RUN, low=1)] = 40
    seed: Seed = 0
    device: DeviceSetting = "auto"
