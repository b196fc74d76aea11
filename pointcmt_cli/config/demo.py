"""Settings of `demo`, which runs every stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pointcmt_cli.config.setting import (
    FILES,
    PLUGIN,
    RUN,
    DeviceSetting,
    Seed,
    Setting,
)


@dataclass(frozen=True)
class DemoConfig:
    """`pointcmt demo`: the whole pipeline on shapes it generates, sized for 2 CPU cores in under 5 minutes."""

    work: Annotated[Path, Setting("Folder for everything.", FILES, metavar="DIR")] = Path(
        "pointcmt-demo"
    )
    shapes: Annotated[int, Setting("Train shapes per class.", RUN, low=4)] = 34
    """Half as many again are test."""
    labels: Annotated[
        int, Setting("Train shapes per class that have a label; the others have none.", RUN, low=1)
    ] = 4
    student: Annotated[str, Setting("Backbone plug-in.", PLUGIN)] = "pointnet"
    rig: str = "orthogonal6"
    image_size: int = 112
    points: int = 512
    epochs: Annotated[int, Setting("Epochs of each student.", RUN, low=1)] = 40
    seed: Seed = 0
    device: DeviceSetting = "auto"
