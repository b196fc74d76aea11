"""`pointcmt distill`: options in, the student's scores out."""

from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.config.setting import RUN
from pointcmt_cli.splits import HELD_OUT, TEST, key_of
from pointcmt_cli.wording import percent, spread


@options.of(DistillConfig)
def distill(
    config: DistillConfig,
    *,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many students, from --seed on: STUDENT-s0.pt, STUDENT-s1.pt, ...",
            rich_help_panel=RUN,
        ),
    ] = 1,
) -> None:
    """Train a point network under the image teacher: features.h5 -> STUDENT.pt.

    Example: pointcmt distill --student pointnet2 --epochs 60
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.student.distill import distill as stage

    if seeds > 1:
        _several(config, seeds)
        return
    result = console.follow(stage(config))
    scores = {
        "held-out split": result["held_out"],
        "held-out split, last epoch": result["last_epoch"],
        "test split, scored once": result["test"],
    }
    about = f" on {result['variant']}" if result["variant"] else ""
    if result["labels_per_class"]:
        about += f", {result['labels_per_class']} labels per class"
    title = f"{config.student} ({config.objective}){about}, epoch {result['selected_epoch']} kept"
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
