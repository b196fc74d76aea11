"""`pointcmt export`: a checkpoint in, a file to deploy out, proved equal."""

from typing import Any

from pointcmt_cli.commands import options
from pointcmt_cli.config import ExportConfig
from pointcmt_cli.wording import from_to, percent


@options.of(ExportConfig)
def export(config: ExportConfig) -> None:
    """Write a student as ONNX, torch.export or safetensors file, compared with the checkpoint on 64 real clouds.

    Batch size and number of points are free, as far as the network allows it.

    Example: pointcmt export pointnet2.pt --format onnx
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.export.export import export as stage

    result = console.follow(stage(config), resumes=False)
    kind: str = config.format
    if result["precision"] != "float32":
        kind += f", {result['precision']}"
    variant = f" ({result['variant']})" if result["variant"] else ""
    title = f"{result['out']}: {result['name']}{variant}, {kind}"
    console.table(title, ["", "value"], _rows(result))
    loss = f" but for {result['precision']}'s rounding" if config.half or config.int8 else ""
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
