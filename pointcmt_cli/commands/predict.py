"""`pointcmt predict`: mesh or cloud files in, classes out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import Axis, PredictConfig


def predict(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A student's .pt or .onnx; looked for here, then in --work.", show_default=False
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            help="Meshes (.off .obj .ply .stl .glb) or clouds (.npy .npz .ply .xyz .txt .pcd).",
            show_default=False,
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
    """Classify mesh or point-cloud files; exit status 1 when any of them could not be read.

    A file's points are drawn with a seed from its name, so the answer is always the same.

    Example: pointcmt predict pointnet2.pt chair.off scan.ply
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.predict import predict as stage

    config = PredictConfig(
        checkpoint=checkpoint, files=tuple(files), work=work, top=top, up=up, device=device
    )
    result = console.follow(stage(config), resumes=False)
    if json:
        console.print_json(result)
    else:
        _show(result)
    if result["failed"]:
        raise typer.Exit(1)


def _show(result: dict[str, Any]) -> None:
    from pointcmt_cli import console

    good = [row["predictions"] for row in result["files"] if "predictions" in row]
    width = len(good[0]) if good else 0
    columns = ["file", *(f"{place}." for place in range(1, width + 1))]
    rows = []
    for row in result["files"]:
        shown = [
            f"{each['class']} {console.percent(each['probability'])}"
            for each in row.get("predictions", [])
        ]
        rows.append([row["file"], *(shown or ["cannot be read"] + [""] * (width - 1))[:width]])
    if good:
        console.table(f"{result['checkpoint']}: {result['name']}", columns, rows)
    if result["failed"]:
        console.line(f"{result['failed']} of {len(result['files'])} files could not be read")
