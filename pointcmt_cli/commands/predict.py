"""`pointcmt predict`: mesh or cloud files in, classes out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import Axis, PredictConfig
from pointcmt_cli.wording import percent


def predict(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A student's .pt, .onnx, .safetensors or .pt2; looked for here, then in --work.",
            show_default=False,
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            help="Meshes (.off .obj .ply .stl .glb) or clouds (.npy .npz .ply .xyz .txt .pcd).",
            show_default=False,
            readable=False,  # said file by file
        ),
    ],
    top: Annotated[
        int, typer.Option(min=1, help="Classes shown per file.", rich_help_panel="Answer")
    ] = PredictConfig.top,
    up: Annotated[
        Axis | None,
        typer.Option(
            "--up",
            help="The axis of the files that points up; by default as in the data set that it was trained on.",
            show_default=False,
            rich_help_panel="Answer",
        ),
    ] = PredictConfig.up,
    work: options.WorkOption = PredictConfig.work,
    device: options.DeviceOption = PredictConfig.device,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON document on standard output, and nothing else there.",
            rich_help_panel="Answer",
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

    config = PredictConfig(
        checkpoint=checkpoint, files=tuple(files), work=work, top=top, up=up, device=device
    )
    result = console.follow(stage(config), resumes=False, each=None if json else _show)
    if json:
        console.print_json(result)
    if result["failed"]:
        if not json:
            console.line(f"{result['failed']} of {len(files)} files could not be read")
        raise typer.Exit(1)


def _show(row: Mapping[str, Any]) -> None:
    from pointcmt_cli import console

    shown = [
        f"{each['class']} {percent(each['probability'])}" for each in row.get("predictions", [])
    ]
    console.line(f"{row['file']}: {', '.join(shown) or 'cannot be read'}")
