"""`pointcmt compare`: several checkpoints side by side on one page."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.commands.evaluate.evaluate import evaluate as score
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.errors import UsageError


def compare(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT CHECKPOINT...",
            help="Two or more .pt of one data set; looked for here, then in --work.",
            show_default=False,
        ),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            file_okay=False,
            help="Folder of the page; by default `compare` in --work.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    votes: options.VotesOption = EvaluateConfig.votes,
    corrupt: options.CorruptOption = EvaluateConfig.corrupt,
    data: options.ScoredDataOption = EvaluateConfig.data,
    work: options.WorkOption = EvaluateConfig.work,
    seed: options.SeedOption = EvaluateConfig.seed,
    device: options.DeviceOption = EvaluateConfig.device,
) -> None:
    """Put checkpoints side by side on one page: scores, tests of their differences, curves, where they disagree.

    It is `evaluate` with several checkpoints and a report.
    Example: pointcmt compare pointnet2.pt pointnet2-none.pt
    """
    if len(checkpoints) < 2:
        raise UsageError(
            f"compare takes two checkpoints or more; for {checkpoints[0]} alone: pointcmt evaluate --report DIR"
        )
    score(
        checkpoints,
        votes=votes,
        corrupt=corrupt,
        data=data,
        work=work,
        seed=seed,
        device=device,
        report=work / "compare" if report is None else report,
    )
