"""Settings of `evaluate`, `compare` and `info`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pointcmt_cli.config.setting import FILES, DeviceSetting, Seed, Setting, Work

Rotations = Literal["z", "so3"]
POINT_COUNTS = (1024, 512, 256, 128, 64)
"""Points per cloud of the curve that `evaluate --corrupt all` draws."""
ROTATIONS: tuple[Rotations, ...] = ("z", "so3")
SCORING = "Scoring"
"""Panel of the options that say how a checkpoint is scored."""
ROBUSTNESS = "Robustness"
"""Panel of the options that say what is done to the clouds before they are scored."""


@dataclass(frozen=True)
class EvaluateConfig:
    """`pointcmt evaluate CHECKPOINT…`: scores on the held-out and the test split."""

    checkpoints: Annotated[
        tuple[Path, ...],
        Setting(
            "A student's or a teacher's .pt, or several; looked for here, then in --work.",
            metavar="CHECKPOINT...",
            argument=True,
            shown=False,
        ),
    ]
    """Of one data set."""
    votes: Annotated[
        int,
        Setting(
            "Passes averaged per shape: the first as it is, the others scaled per axis by 0.85 to 1.15; "
            "shown beside the single pass.",
            SCORING,
            low=1,
            source="the reference votes with 10, and keeps the best of many",
        ),
    ] = 1
    batch_size: Annotated[int, Setting("Shapes per batch.", SCORING, low=1)] = 64
    corrupt: Annotated[
        Literal["modelnet-c", "all"] | None,
        Setting(
            "ModelNet-C's seven corruptions at five severities, made on the fly; all: also fewer points and "
            "rotations.",
            ROBUSTNESS,
        ),
    ] = None
    """all: also POINT_COUNTS, as far as they are stored, and ROTATIONS."""
    points: Annotated[
        tuple[int, ...],
        Setting(
            "Also with so many points, e.g. 1024,512,256,128,64.",
            ROBUSTNESS,
            metavar="N,...",
            commas="1024,512,256",
        ),
    ] = ()
    rotations: Annotated[
        tuple[Rotations, ...],
        Setting(
            "Also turned about the vertical axis (z) or by any rotation (so3).",
            ROBUSTNESS,
            metavar="z,so3",
            commas="z,so3",
        ),
    ] = ()
    data: Annotated[
        Path | None,
        Setting(
            "features.h5 or views.h5; by default the one in --work. A teacher needs views.h5.",
            FILES,
        ),
    ] = None
    work: Work = Path(".")
    seed: Seed = 0
    """Of votes, corruptions, rotations and the bootstrap; no training is repeated."""
    device: DeviceSetting = "auto"


@dataclass(frozen=True)
class InfoConfig:
    """`pointcmt info PATH`: what a file is, what it was made from, how to make it again."""

    path: Annotated[
        Path,
        Setting(
            "views.h5, features.h5, .pt, .onnx, .pt2, .safetensors, or a folder of them.",
            argument=True,
            metavar="PATH",
            shown=False,
        ),
    ]
