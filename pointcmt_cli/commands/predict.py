"""`pointcmt predict`: mesh or cloud files in, classes out."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import PredictConfig
from pointcmt_cli.config.deploying import ANSWER
from pointcmt_cli.wording import percent


@options.of(PredictConfig)
def predict(
    config: PredictConfig,
    *,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON document on standard output, and nothing else there.",
            rich_help_panel=ANSWER,
        ),
    ] = False,
) -> None:
    """Classify mesh or point-cloud files, a line each as soon as it is known; exit status 1 when one could not be read.

    A file's points are drawn with a seed from its name, so the answer is always the same. A .pt2 may hold code, which
    runs when it is opened: give only those whose maker you trust.

    Example: pointcmt predict pointnet2.onnx chair.off scan.ply
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.deployed.predict import predict as stage

    result = console.follow(stage(config), resumes=False, each=None if json else _show)
    if json:
        console.print_json(result)
    if result["failed"]:
        if not json:
            console.line(f"{result['failed']} of {len(config.files)} files could not be read")
        raise typer.Exit(1)


def _show(row: Mapping[str, Any]) -> None:
    from pointcmt_cli import console

    shown = [
        f"{each['class']} {percent(each['probability'])}" for each in row.get("predictions", [])
    ]
    console.line(f"{row['file']}: {', '.join(shown) or 'cannot be read'}")
