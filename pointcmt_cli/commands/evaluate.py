"""`pointcmt evaluate`: a checkpoint in, scores out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import EvaluateConfig

SCORING = "Scoring"
SPLITS = {"test": "test split", "held_out": "held-out split"}


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A student's or a teacher's .pt; looked for here, then in --work.",
            show_default=False,
        ),
    ],
    votes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Passes averaged per shape: the first as it is, the others scaled per axis by 0.85 to 1.15; "
            "shown beside the single pass.",
            rich_help_panel=SCORING,
        ),
    ] = EvaluateConfig.votes,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Shapes per batch.", rich_help_panel=SCORING)
    ] = EvaluateConfig.batch_size,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="features.h5 or views.h5; by default the one in --work. A teacher needs views.h5.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    work: options.WorkOption = EvaluateConfig.work,
    seed: options.SeedOption = EvaluateConfig.seed,
    device: options.DeviceOption = EvaluateConfig.device,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON document on standard output, and nothing else there."
        ),
    ] = False,
) -> None:
    """Score a checkpoint: overall and mean class accuracy, per class, on the held-out and the test split.

    Example: pointcmt evaluate pointnet2.pt --votes 10
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.evaluate import evaluate as stage

    config = EvaluateConfig(
        checkpoint=checkpoint,
        work=work,
        data=data,
        votes=votes,
        batch_size=batch_size,
        seed=seed,
        device=device,
    )
    result = console.follow(stage(config), resumes=False)
    if json:
        console.print_json(result)
        return
    _classes(result)
    _summary(result)


def _summary(result: dict[str, Any]) -> None:
    from pointcmt_cli import console

    voted = result["votes"] > 1
    rows = [
        [
            SPLITS[key],
            found["single"]["shapes"],
            *_pair(found["single"]),
            *_pair(found.get("voted")),
        ]
        for key in SPLITS
        if (found := result["scores"].get(key))
    ]
    variant = f", {result['variant']}" if result["variant"] else ""
    inputs = f"{result['points']} points" if result["points"] else "views"
    columns = ["", "shapes", "OA", "mAcc"]
    if recorded := _recorded(result["recorded"]):
        console.table("Recorded in the checkpoint when it was trained", columns, recorded)
    if voted:
        columns = [*columns, f"OA, {result['votes']} votes", f"mAcc, {result['votes']} votes"]
    console.table(
        f"{result['checkpoint']}: {result['name']} on {result['data']}{variant}, {inputs}",
        columns,
        rows,
    )


def _recorded(metrics: dict[str, Any]) -> list[list[Any]]:
    """What the checkpoint says of itself, apart from what was computed now."""
    labels = {
        "held_out": f"held-out split, epoch {metrics.get('selected_epoch', '?')} (kept)",
        "last_epoch": "held-out split, last epoch",
        "test": "test split, scored once",
    }
    pairs = [(text, metrics.get(key)) for key, text in labels.items()]
    return [
        [text, found.get("count", ""), *_pair(found)]
        for text, found in pairs
        if isinstance(found, dict) and found.get("oa") is not None
    ]


def _pair(found: dict[str, Any] | None) -> list[str]:
    from pointcmt_cli import console

    return [console.percent(found[key]) for key in ("oa", "macc")] if found else []


def _classes(result: dict[str, Any]) -> None:
    from pointcmt_cli import console

    split = "test" if "test" in result["scores"] else "held_out"
    found = result["scores"][split]
    voted = found.get("voted")
    columns = ["class", "shapes", "recall", *([f"{result['votes']} votes"] if voted else [])]
    rows = []
    for index, row in enumerate(found["single"]["classes"]):
        recalls = [row["recall"], *([voted["classes"][index]["recall"]] if voted else [])]
        shown = ["no shapes" if value is None else console.percent(value) for value in recalls]
        taken = _taken_for(found["single"]["confusion"][index], index, result["class_names"])
        rows.append([row["class"], row["count"], *shown, taken])
    console.table(f"Per class, {SPLITS[split]}", [*columns, "most often taken for"], rows)


def _taken_for(counts: list[int], own: int, names: list[str]) -> str:
    """The wrong class that most shapes of a class were given, with how many."""
    wrong = [(count, -index) for index, count in enumerate(counts) if index != own and count]
    if not wrong:
        return ""
    count, index = max(wrong)
    return f"{names[-index]} ({count})"
