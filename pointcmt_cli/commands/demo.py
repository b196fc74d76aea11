"""`pointcmt demo`: the whole pipeline on generated shapes, in a table."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import DemoConfig


def demo(
    work: Annotated[
        Path,
        typer.Option(
            "--work", metavar="DIR", help="Folder for everything.", rich_help_panel=options.FILES
        ),
    ] = DemoConfig.work,
    shapes: Annotated[
        int, typer.Option(min=4, help="Train shapes per class.", rich_help_panel=options.RUN)
    ] = DemoConfig.shapes,
    student: Annotated[
        str, typer.Option(help="Backbone plug-in.", rich_help_panel=options.PLUGIN)
    ] = DemoConfig.student,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes of each student.", rich_help_panel=options.RUN)
    ] = DemoConfig.epochs,
    seed: options.SeedOption = DemoConfig.seed,
    device: options.DeviceOption = DemoConfig.device,
) -> None:
    """Run everything on shapes it generates itself; nothing is downloaded (under 5 minutes on 2 cores).

    Example: pointcmt demo --work demo
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.demo import demo as stage

    config = DemoConfig(work, shapes, student, epochs=epochs, seed=seed, device=device)
    result = console.follow(stage(config))
    console.scores("On the test split, one seed", result["scores"])
    console.line(f"{result['seconds']:.0f} s; files in {result['work']}")
    console.line(f"next: pointcmt predict {result['work']}/{student}.pt {result['example']}")
