"""`pointcmt compare`: several checkpoints side by side on one page."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.commands.evaluate import tables
from pointcmt_cli.commands.evaluate.evaluate import scored
from pointcmt_cli.config import EvaluateConfig, Setting
from pointcmt_cli.config.setting import FILES
from pointcmt_cli.errors import UsageError


@options.of(
    EvaluateConfig,
    checkpoints=Setting(
        "Two or more .pt of one data set; looked for here, then in --work.",
        metavar="CHECKPOINT CHECKPOINT...",
        argument=True,
        shown=False,
    ),
    batch_size=None,
    points=None,
    rotations=None,
)
def compare(
    config: EvaluateConfig,
    *,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            file_okay=False,
            help="Folder of the page; by default `compare` in --work.",
            rich_help_panel=FILES,
        ),
    ] = None,
) -> None:
    """Put checkpoints side by side on one page: scores, tests of their differences, curves, where they disagree.

    It is `evaluate` with several checkpoints and a report.
    Example: pointcmt compare pointnet2.pt pointnet2-none.pt
    """
    if len(config.checkpoints) < 2:
        raise UsageError(
            f"compare takes two checkpoints or more; for {config.checkpoints[0]} alone: "
            "pointcmt evaluate --report DIR"
        )
    tables.show(scored(config, report or config.work / "compare"), False)
