"""Settings of `distill`; a path that is None has a default name in `work`."""

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
from pointcmt_cli.config.training import LearningRate, Tensorboard, WeightDecay

Augmentation = Literal["usual", "drop", "turn", "strong"]
Optimizer = Literal["adamw", "sgd"]

PLAIN_OBJECTIVE = "none"
"""The objective plug-in that trains a plain student: the yardstick beside every distilled one."""


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
            "Epochs: passes over the train split, or over the unlabelled shapes where there are more.",
            TRAINING,
            low=1,
            source="the reference trains 1,000 on a GPU; docs/does-it-help.md says what 60 give",
        ),
    ] = 60
    batch_size: Annotated[int, Setting("Batch size: shapes per step.", TRAINING, low=2)] = 32
    labelled_share: Annotated[
        float,
        Setting(
            "Share of each batch that has labels, where there are shapes without.",
            TRAINING,
            low=0.0,
            high=1.0,
            source="8 of 32: docs/few-labels.md",
        ),
    ] = 0.25
    augmentation: Annotated[
        Augmentation,
        Setting(
            "usual: scale and shift; drop: and up to 7/8 of the points left out; turn: a small scale and a turn "
            "about the vertical; strong: the usual, and turns, tilts, jitter and missing parts.",
            TRAINING,
            source="usual: the reference; the others: examples/recipes",
        ),
    ] = "usual"
    optimizer: Annotated[
        Optimizer,
        Setting("AdamW, or SGD with momentum 0.9.", TRAINING, source="the reference"),
    ] = "adamw"
    lr: LearningRate = 1e-3
    last_lr: Annotated[
        float,
        Setting(
            "Learning rate at the end of the cosine.", TRAINING, low=0.0, source="the reference"
        ),
    ] = 0.0
    weight_decay: WeightDecay = 0.05
    clip: Annotated[
        float,
        Setting(
            "Longest gradient (norm over all weights); longer ones are shortened. 0: none is.",
            TRAINING,
            low=0.0,
        ),
    ] = 0.0
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
    generator_epochs: Annotated[int, Setting("Epochs of the generator.", TRAINING, low=1)] = 50
    generator_lr: Annotated[
        float,
        Setting("Learning rate of the generator (Adam).", TRAINING, positive=True, hidden=True),
    ] = 1e-3
    """It and the batch are the generator's own, so that a student's settings do not retrain it."""
    generator_batch_size: Annotated[
        int, Setting("Batch size of the generator.", TRAINING, low=2, hidden=True)
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
