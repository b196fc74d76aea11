"""`pointcmt evaluate`: checkpoints in, scores out."""

import sys
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.commands.evaluate import tables
from pointcmt_cli.config import EvaluateConfig, Rotations
from pointcmt_cli.errors import PointCMTError, UsageError


def evaluate(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="A student's or a teacher's .pt, or several; looked for here, then in --work.",
            show_default=False,
        ),
    ],
    votes: options.VotesOption = EvaluateConfig.votes,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="Also every class: precision, recall, F1, and what it is taken for.",
            rich_help_panel=options.SCORING,
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Shapes per batch.", rich_help_panel=options.SCORING)
    ] = EvaluateConfig.batch_size,
    corrupt: options.CorruptOption = EvaluateConfig.corrupt,
    points: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="Also with so many points, e.g. 1024,512,256,128,64.",
            rich_help_panel=options.ROBUSTNESS,
        ),
    ] = None,
    rotations: Annotated[
        str | None,
        typer.Option(
            metavar="z,so3",
            help="Also turned about the vertical axis (z) or by any rotation (so3).",
            rich_help_panel=options.ROBUSTNESS,
        ),
    ] = None,
    data: options.ScoredDataOption = EvaluateConfig.data,
    work: options.WorkOption = EvaluateConfig.work,
    seed: options.SeedOption = EvaluateConfig.seed,
    device: options.DeviceOption = EvaluateConfig.device,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            file_okay=False,
            help="Also write report.html (one page, no network needed), MODEL_CARD.md and evaluation.json there.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Exit status 1 where a checkpoint's OA on test is lower, e.g. 0.9.",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON document on standard output, and nothing else there."
        ),
    ] = False,
) -> None:
    """Score checkpoints on the held-out and the test split; several are compared, and grouped over their seeds.

    Example: pointcmt evaluate pointnet2.pt --votes 10 --report out
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.evaluation.evaluate import evaluate as stage
    from pointcmt_cli.engine.report.report import report as with_report

    config = EvaluateConfig(
        checkpoints=tuple(checkpoints),
        work=work,
        data=data,
        votes=votes,
        corrupt=corrupt,
        points=_counts(points),
        rotations=_rotations(rotations),
        batch_size=batch_size,
        seed=seed,
        device=device,
        command=("pointcmt", *sys.argv[1:]),
    )
    records = stage(config) if report is None else with_report(config, report)
    result = console.follow(records, resumes=False)
    if json:
        console.print_json(result)
    else:
        tables.show(result, per_class)
    if fail_under is not None:
        _check(result, fail_under)


def _counts(typed: str | None) -> tuple[int, ...]:
    """`1024,512` as numbers, each once."""
    words = typed.split(",") if typed else []
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise UsageError(f"--points {typed}: whole numbers are needed, as in --points 1024,512,256")
    return tuple(dict.fromkeys(int(word) for word in words))


def _rotations(typed: str | None) -> tuple[Rotations, ...]:
    """`z,so3` as they are named, each once."""
    words = [word.strip().lower() for word in typed.split(",")] if typed else []
    if not set(words) <= set(get_args(Rotations)):
        raise UsageError(f"--rotations {typed}: z, so3 or both, as in --rotations z,so3")
    return cast(tuple[Rotations, ...], tuple(dict.fromkeys(words)))


def _check(result: dict[str, Any], least: float) -> None:
    """Raise where a checkpoint is worse than was asked for."""
    found = {run["checkpoint"]: run["scores"].get("test") for run in result["runs"]}
    if missing := [name for name, scores in found.items() if scores is None]:
        raise PointCMTError(f"--fail-under {least:g}: {missing[0]} has no score on test")
    under = [
        f"{name} {scores['single']['oa']:.4f}"
        for name, scores in found.items()
        if scores["single"]["oa"] < least
    ]
    if under:
        raise PointCMTError(f"OA on test is under {least:g}: {', '.join(under)}")
