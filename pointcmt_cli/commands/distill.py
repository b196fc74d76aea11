"""`pointcmt distill`: options in, the student's scores out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.splits import HELD_OUT, TEST, key_of
from pointcmt_cli.wording import percent, spread


def distill(
    student: Annotated[
        str,
        typer.Option(
            help="Backbone plug-in, or module:attribute (`pointcmt plugins list` shows them).",
            rich_help_panel=options.PLUGIN,
        ),
    ] = DistillConfig.student,
    student_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An option of the backbone, e.g. variant=msg.",
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="Objective plug-in; `none` trains the plain student, without a teacher.",
            rich_help_panel=options.PLUGIN,
        ),
    ] = DistillConfig.objective,
    objective_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An option of the objective, e.g. recipe=reference.",
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(min=1, help="Points per cloud.", rich_help_panel=options.TRAINING)
    ] = DistillConfig.points,
    epochs: Annotated[
        int,
        typer.Option(min=1, help="Passes over the train split.", rich_help_panel=options.TRAINING),
    ] = DistillConfig.epochs,
    batch_size: options.BatchSizeOption = DistillConfig.batch_size,
    lr: options.LearningRateOption = DistillConfig.lr,
    weight_decay: options.WeightDecayOption = DistillConfig.weight_decay,
    select: Annotated[
        Literal["last", "held-out"],
        typer.Option(
            help="Keep the last epoch, or the best one on the held-out split.",
            rich_help_panel=options.TRAINING,
        ),
    ] = DistillConfig.select,
    generator_layers: Annotated[
        int,
        typer.Option(
            min=1,
            max=3,
            help="1 (the reference code) or 3 (the paper).",
            rich_help_panel=options.TRAINING,
        ),
    ] = DistillConfig.generator_layers,
    generator_epochs: Annotated[
        int, typer.Option(min=1, help="Passes for the generator.", rich_help_panel=options.TRAINING)
    ] = DistillConfig.generator_epochs,
    generator_points: Annotated[
        int,
        typer.Option(min=1, help="Points of a generated cloud.", rich_help_panel=options.TRAINING),
    ] = DistillConfig.generator_points,
    features: Annotated[
        Path | None,
        typer.Option(help="features.h5 of `train-teacher`.", rich_help_panel=options.FILES),
    ] = None,
    generator: Annotated[
        Path | None,
        typer.Option(
            help="generator.pt, reused when it matches, trained otherwise.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start the encoder from this checkpoint: one of ours, or its paper's public one.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The checkpoint; STUDENT.pt, or STUDENT-OBJECTIVE.pt for other objectives.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    work: options.WorkOption = DistillConfig.work,
    seed: options.SeedOption = DistillConfig.seed,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many students, from --seed on: STUDENT-s0.pt, STUDENT-s1.pt, ...",
            rich_help_panel=options.RUN,
        ),
    ] = 1,
    device: options.DeviceOption = DistillConfig.device,
    precision: options.PrecisionOption = DistillConfig.precision,
    fast: Annotated[
        bool | None,
        typer.Option(
            help="Record the training step and replay it, which starts it faster; the default on CUDA.",
            rich_help_panel=options.RUN,
        ),
    ] = DistillConfig.fast,
    force: options.ForceOption = DistillConfig.force,
    tensorboard: options.TensorboardOption = DistillConfig.tensorboard,
) -> None:
    """Train a point network under the image teacher: features.h5 -> STUDENT.pt.

    Example: pointcmt distill --student pointnet2 --epochs 60
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.student.distill import distill as stage

    if generator_layers == 2:
        raise typer.BadParameter(
            "there are generators of 1 or of 3 layers", param_hint="--generator-layers"
        )
    config = DistillConfig(
        student=student,
        student_options=options.parse_options(student_option or []),
        objective=objective,
        objective_options=options.parse_options(objective_option or []),
        work=work,
        features=features,
        generator=generator,
        init=init,
        out=out,
        points=points,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        select=select,
        generator_layers=3 if generator_layers == 3 else 1,
        generator_epochs=generator_epochs,
        generator_points=generator_points,
        seed=seed,
        device=device,
        precision=precision,
        fast=fast,
        force=force,
        tensorboard=tensorboard,
    )
    if seeds > 1:
        _several(config, seeds)
        return
    result = console.follow(stage(config))
    scores = {
        "held-out split": result["held_out"],
        "held-out split, last epoch": result["last_epoch"],
        "test split, scored once": result["test"],
    }
    variant = f" on {result['variant']}" if result.get("variant") else ""
    title = f"{student} ({objective}){variant}, epoch {result['selected_epoch']} kept"
    console.scores(title, scores)
    console.line(f"{result['checkpoint']}\nnext: pointcmt evaluate {result['checkpoint']}")


def _several(config: DistillConfig, seeds: int) -> None:
    """Train every seed; one row each, and their mean."""
    from pointcmt_cli import console
    from pointcmt_cli.engine.student.seeds import distill_seeds

    result = console.follow(distill_seeds(config, seeds))
    splits = {key_of(split): split for split in (HELD_OUT, TEST) if key_of(split) in result}
    rows = [
        [f"seed {run['seed']}", *(percent(run[split]["oa"]) for split in splits)]
        for run in result["runs"]
    ]
    means = [result[split]["oa"] for split in splits]
    rows.append(["mean ± std", *(f"{spread(each)} %" for each in means)])
    columns = ["", *(f"OA, {split} split" for split in splits.values())]
    chosen = "" if config.select == "last" else ", each the best held-out one"
    title = f"{config.student} ({config.objective}), {seeds} seeds{chosen}"
    console.table(title, columns, rows)
    paths = " ".join(run["checkpoint"] for run in result["runs"])
    console.line(f"next: pointcmt evaluate {paths}")
