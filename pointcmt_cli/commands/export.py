"""`pointcmt export`: a checkpoint in, a file to deploy out, proved equal."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import ExportConfig
from pointcmt_cli.wording import from_to, percent

FORMAT, PROOF = "Format", "Proof"


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A student's .pt; looked for here, then in --work.", show_default=False
        ),
    ],
    format: Annotated[
        Literal["onnx", "pt2", "safetensors"],
        typer.Option(
            "--format",
            help="onnx (any runtime), pt2 (torch.export), or safetensors (weights and what rebuilds the network).",
            rich_help_panel=FORMAT,
        ),
    ] = ExportConfig.format,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Weights in 16 bits: half the size, computed in 32.",
            rich_help_panel=FORMAT,
        ),
    ] = ExportConfig.half,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Layers in 8 bits (ONNX), calibrated on the held-out split.",
            rich_help_panel=FORMAT,
        ),
    ] = ExportConfig.int8,
    max_drop: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the held-out split that --half or --int8 may lose.",
            rich_help_panel=PROOF,
        ),
    ] = ExportConfig.max_drop,
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
    compiled: Annotated[
        bool,
        typer.Option(
            "--compiled/--no-compiled",
            help="Also time torch.compile, which takes up to a minute to compile.",
            rich_help_panel=PROOF,
        ),
    ] = ExportConfig.compiled,
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
    """Write a student as ONNX, torch.export or safetensors file, compared with the checkpoint on 64 real clouds.

    Batch size and number of points are free, as far as the network allows it.

    Example: pointcmt export pointnet2.pt --format onnx
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.export.export import export as stage

    config = ExportConfig(
        checkpoint=checkpoint,
        format=format,
        work=work,
        out=out,
        data=data,
        tolerance=tolerance,
        half=half,
        int8=int8,
        max_drop=max_drop,
        compiled=compiled,
    )
    result = console.follow(stage(config), resumes=False)
    kind = format if result["precision"] == "float32" else f"{format}, {result['precision']}"
    variant = f" ({result['variant']})" if result["variant"] else ""
    title = f"{result['out']}: {result['name']}{variant}, {kind}"
    console.table(title, ["", "value"], _rows(result))
    loss = f" but for {result['precision']}'s rounding" if half or int8 else ""
    console.line(f"{result['out']} written, equal to {result['checkpoint']}{loss}")


def _rows(result: dict[str, Any]) -> list[tuple[str, str]]:

    fewest, most = result["points_min"], result["points_max"]
    takes = from_to(fewest, most)
    if fewest == most:
        takes = f"{most} only: {result['points_fixed_because']}"
    elif result["points"] != fewest:
        takes += f" (trained with {result['points']})"
    sizes = ", ".join(map(str, result["batch_sizes"]))
    counts = ", ".join(map(str, result["points_compared"]))
    rounding = result["precision"] == "int8"
    allowed = "(rounding)" if rounding else f"(allowed {result['tolerance']:.1e})"
    rows = [
        ("size", f"{result['bytes'] / 2**20:.2f} MiB"),
        ("input", "points (batch, points, 3) float32"),
        ("points it takes", takes),
        ("output", f"probabilities (batch, {result['classes']})"),
        ("off eager by at most", f"{result['difference']:.1e} {allowed}"),
        ("compared on", f"{result['clouds']} clouds, in batches of {sizes}"),
        ("with points", counts),
    ]
    if result["precision"] != "float32":
        change = f"{percent(result['accuracy'])} (eager {percent(result['accuracy_eager'])})"
        rows.append(("held-out accuracy", f"{change}, {result['held_out']} clouds"))
    rows += [
        ("one cloud, eager", f"{result['eager_ms']:.1f} ms"),
        (f"one cloud, {result['format']}", f"{result['exported_ms']:.1f} ms"),
    ]
    if result["compiled_ms"] is None:
        rows.append(("one cloud, torch.compile", f"- ({result['not_compiled_because']})"))
    else:
        rows.append(("one cloud, torch.compile", f"{result['compiled_ms']:.1f} ms"))
    return rows
