"""`pointcmt train-teacher`: views.h5 -> teacher.pt and features.h5."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import (
    CPU_MICRO_BATCH,
    EPOCHS,
    FROZEN_EPOCHS,
    MICRO_BATCH,
    TeacherConfig,
)


def train_teacher(
    views: Annotated[
        Path | None,
        typer.Option(
            help="Rendered shapes; default views.h5 in --work.", rich_help_panel=options.FILES
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint; default teacher.pt in --work.", rich_help_panel=options.FILES
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="What the student learns from; default features.h5 in --work.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    work: options.WorkOption = TeacherConfig.work,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Teacher plug-in; default: the first of "
            f"{', '.join(TeacherConfig.preference)} that can be built here.",
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Option of the teacher.", rich_help_panel=options.PLUGIN
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Pretrained weights, such as a downloaded torchvision file.",
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    freeze: Annotated[
        bool | None,
        typer.Option(
            "--freeze/--no-freeze",
            help="Look at every image once and train only the head; default: on a CPU.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    view_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Average the views down to this many pixels first; a quarter of the pixels is 4 times as fast.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    width: Annotated[
        int,
        typer.Option(
            min=0, help="Width of the features; 0: no neck.", rich_help_panel=options.TRAINING
        ),
    ] = TeacherConfig.width,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Default: {FROZEN_EPOCHS} for a frozen network, else {EPOCHS}.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    batch_size: options.BatchSizeOption = TeacherConfig.batch_size,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            min=2,
            help=f"Shapes at once with --no-freeze, accumulated to a batch; default {MICRO_BATCH}, "
            f"on a CPU {CPU_MICRO_BATCH}.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    lr: options.LearningRateOption = TeacherConfig.lr,
    weight_decay: options.WeightDecayOption = TeacherConfig.weight_decay,
    smoothing: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Label smoothing, torch's definition.",
            rich_help_panel=options.TRAINING,
        ),
    ] = TeacherConfig.smoothing,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Out-of-fold heads, for logits of shapes that the head was not trained on; 0: none.",
            rich_help_panel=options.TRAINING,
        ),
    ] = TeacherConfig.folds,
    seed: options.SeedOption = TeacherConfig.seed,
    device: options.DeviceOption = TeacherConfig.device,
    precision: options.PrecisionOption = TeacherConfig.precision,
    force: options.ForceOption = TeacherConfig.force,
    tensorboard: options.TensorboardOption = TeacherConfig.tensorboard,
) -> None:
    """Train an image network on the views, and keep what it says of every shape.

    Example: pointcmt train-teacher --teacher mvcnn --weights resnet18-f37072fd.pth
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.teacher.train_teacher import train_teacher as stage

    config = TeacherConfig(
        work=work,
        views=views,
        out=out,
        features=features,
        teacher=teacher,
        teacher_options=options.parse_options(option or []),
        weights=weights,
        freeze=freeze,
        view_size=view_size,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        micro_batch=micro_batch,
        lr=lr,
        weight_decay=weight_decay,
        smoothing=smoothing,
        folds=folds,
        seed=seed,
        device=device,
        precision=precision,
        force=force,
        tensorboard=tensorboard,
    )
    result = console.follow(stage(config))
    selected = f"held-out, epoch {result['selected_epoch']} (selected by {result['selected_by']})"
    scores = {
        selected: result["held_out"],
        "held-out, last epoch": result["last_epoch"],
        "out of fold (train shapes, heads that never saw them)": result["out_of_fold"],
        "test": result["test"],
    }
    console.scores(f"Teacher {result['teacher']}", scores)
    console.line(f"{result['checkpoint']}, {result['features']}")
    where = "" if work == TeacherConfig.work else f" --work {work}"
    console.line(f"next: pointcmt distill --student pointnet2{where}")
