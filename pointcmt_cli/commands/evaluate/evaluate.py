"""`pointcmt evaluate`: checkpoints in, scores out."""

from pathlib import Path
from typing import Annotated, cast

import typer

from pointcmt_cli import console
from pointcmt_cli.commands import options
from pointcmt_cli.commands.evaluate import tables
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.config.scoring import SCORING
from pointcmt_cli.config.setting import FILES
from pointcmt_cli.engine.evaluation.schema import Document
from pointcmt_cli.errors import PointCMTError


@options.of(EvaluateConfig)
def evaluate(
    config: EvaluateConfig,
    *,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="Also every class: precision, recall, F1, and what it is taken for.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            file_okay=False,
            help="Also write report.html (one page, no network needed), MODEL_CARD.md and evaluation.json there.",
            rich_help_panel=FILES,
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
    result = scored(config, report)
    if json:
        console.print_json(result)
    else:
        tables.show(result, per_class)
    if fail_under is not None:
        _fail_under(result, fail_under)


def scored(config: EvaluateConfig, report: Path | None) -> Document:
    """The evaluation document of what was typed, and its report's files where a folder is named."""
    from pointcmt_cli.engine.evaluation.evaluate import evaluate as stage
    from pointcmt_cli.engine.report.report import report as with_report

    records = stage(config) if report is None else with_report(config, report)
    return cast(Document, console.follow(records, resumes=False))


def _fail_under(result: Document, least: float) -> None:
    """Raise where a checkpoint is worse than was asked for."""
    if missing := [run["checkpoint"] for run in result["runs"] if "test" not in run["scores"]]:
        raise PointCMTError(f"--fail-under {least:g}: {missing[0]} has no score on test")
    found = {run["checkpoint"]: run["scores"]["test"]["single"]["oa"] for run in result["runs"]}
    under = [f"{name} {share:.4f}" for name, share in found.items() if share < least]
    if under:
        raise PointCMTError(f"OA on test is under {least:g}: {', '.join(under)}")
