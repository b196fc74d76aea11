"""Options that several commands share, each said once: name, help, panel; and the `KEY=VALUE` reader for plug-ins.

A command annotates a parameter with one of these types and takes its default from the stage's config.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from pointcmt_cli.config import Device, Precision
from pointcmt_cli.errors import UsageError

FILES = "Files"
"""Panel of the options that say where things are read and written."""
PLUGIN = "Plug-in"
"""Panel of the options that choose a plug-in and its options."""
RUN = "Run"
"""Panel of the options that say how a stage runs: seed, device, workers, force."""
TRAINING = "Training"
"""Panel of the options that say how a network is trained."""
SCORING = "Scoring"
"""Panel of the options that say how a checkpoint is scored."""
ROBUSTNESS = "Robustness"
"""Panel of the options that say what is done to the clouds before they are scored."""


def _positive(value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"--lr {value}: a positive number is needed")
    return value


WorkOption = Annotated[
    Path,
    typer.Option(
        "--work",
        metavar="DIR",
        file_okay=False,
        help="Folder of every file that is not named explicitly; made when it is not there.",
        rich_help_panel=FILES,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="auto: CUDA when there is one.", rich_help_panel=RUN),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision", help="auto: fp32 on a CPU, bf16 autocast on CUDA.", rich_help_panel=RUN
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        help="Same seed, same machine: the same bytes.",
        rich_help_panel=RUN,
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Make the output anew, even where one is there already.",
        rich_help_panel=RUN,
    ),
]

BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=2, help="Shapes per step.", rich_help_panel=TRAINING)
]
LearningRateOption = Annotated[
    float,
    typer.Option(
        "--lr", callback=_positive, help="Learning rate at the start.", rich_help_panel=TRAINING
    ),
]
WeightDecayOption = Annotated[
    float,
    typer.Option(
        "--weight-decay", min=0.0, help="The optimizer's weight decay.", rich_help_panel=TRAINING
    ),
]
TensorboardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Write TensorBoard scalars beside the checkpoint.",
        rich_help_panel=RUN,
    ),
]
VotesOption = Annotated[
    int,
    typer.Option(
        "--votes",
        min=1,
        help="Passes averaged per shape: the first as it is, the others scaled per axis by 0.85 to 1.15; "
        "shown beside the single pass.",
        rich_help_panel=SCORING,
    ),
]
CorruptOption = Annotated[
    Literal["modelnet-c", "all"] | None,
    typer.Option(
        "--corrupt",
        help="ModelNet-C's seven corruptions at five severities, made on the fly; all: also fewer points and "
        "rotations.",
        rich_help_panel=ROBUSTNESS,
    ),
]
ScoredDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="features.h5 or views.h5; by default the one in --work. A teacher needs views.h5.",
        rich_help_panel=FILES,
    ),
]


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a dict; the values stay text: `discovery.build` reads them by the factory's signature."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise UsageError(f"--option '{pair}': expected KEY=VALUE, as in --option layers=3")
        if key in options:
            raise UsageError(f"--option '{key}' is given twice: {options[key]} and {value.strip()}")
        options[key] = value.strip()
    return options
