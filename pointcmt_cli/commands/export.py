"""`pointcmt export`: a checkpoint in, a file to deploy out, proved equal."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import ExportConfig

PROOF = "Proof"


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A student's .pt; looked for here, then in --work.", show_default=False
        ),
    ],
    format: Annotated[
        Literal["onnx", "pt2"],
        typer.Option(
            "--format", help="onnx (any runtime), or pt2 (torch.export).", rich_help_panel="Format"
        ),
    ] = ExportConfig.format,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Largest difference of any probability from eager's that passes.",
            rich_help_panel=PROOF,
        ),
    ] = ExportConfig.tolerance,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="features.h5 or views.h5 with the 64 real clouds of the comparison; by default the one in --work.",
            rich_help_panel=PROOF,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file; CHECKPOINT's name with the format's ending, in --work.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    work: options.WorkOption = ExportConfig.work,
) -> None:
    """Write a student as ONNX or torch.export file, compared with the checkpoint on 64 real clouds.

    Example: pointcmt export pointnet2.pt --format onnx
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.export import export as stage

    config = ExportConfig(
        checkpoint=checkpoint, format=format, work=work, out=out, data=data, tolerance=tolerance
    )
    result = console.follow(stage(config), resumes=False)
    sizes = ", ".join(map(str, result["batch_sizes"]))
    rows = [
        ("size", f"{result['bytes'] / 2**20:.2f} MiB"),
        ("input", f"points (batch, {result['points']}, 3) float32"),
        ("output", f"probabilities (batch, {result['classes']})"),
        (
            f"largest difference, {result['clouds']} clouds, batches of {sizes}",
            f"{result['difference']:.1e} (allowed {result['tolerance']:.1e})",
        ),
        ("one cloud, eager", f"{result['eager_ms']:.1f} ms"),
        (f"one cloud, {result['format']}", f"{result['exported_ms']:.1f} ms"),
    ]
    variant = f" ({result['variant']})" if result["variant"] else ""
    console.table(f"{result['out']}: {result['name']}{variant}, {format}", ["", "value"], rows)
    console.line(f"{result['out']} written, equal to {result['checkpoint']}")
