"""What `pointcmt render` says at its end. In: the stage's result."""

from pathlib import Path
from typing import Any

from pointcmt_cli.wording import hundredths


def show_profile(profile: dict[str, Any], before: float) -> None:
    """Stages with their seconds, summed over processes; `before` are the command's own imports, processor seconds."""
    from pointcmt_cli import console

    cpu = profile["cpu_seconds"] + before
    stages = {"command line": {"cpu_seconds": before, "seconds": before}, **profile["stages"]}
    console.table(
        f"processes that drew: {profile['processes']}",
        ["stage", "processor s", "share %", "elapsed s"],
        [
            (
                stage,
                f"{spent['cpu_seconds']:.2f}",
                hundredths(spent["cpu_seconds"] / cpu),
                f"{spent['seconds']:.2f}",
            )
            for stage, spent in stages.items()
        ],
    )
    console.line(
        f"{profile['views']} views in {profile['seconds']:.1f} s, {profile['views_per_second']:.0f} a second; "
        f"{cpu:.1f} s of processor, {profile['views'] / cpu:.0f} views in each"
    )


def show(result: dict[str, Any], work: Path, out: Path | None) -> None:
    """Counts, what was left out and why, size, time, and the command that comes next."""
    from pointcmt_cli import console
    from pointcmt_cli.records import counted

    if result.get("preview_only"):
        count = counted(sum(result["counts"].values()), "shape")
        console.line(f"{result['path']}: {count}, {counted(result['views'], 'view')} each")
        return
    counts, left_out = result["counts"], result["failures"]
    variant = f" {result['variant']}" if result["variant"] else ""
    console.table(
        f"{result['path']}: {result['layout']}{variant}",
        ["", *counts, "all"],
        [
            ("shapes", *counts.values(), sum(counts.values())),
            ("classes", *result["classes_in"].values(), len(result["classes"])),
        ],
    )
    if left_out:
        console.line(f"left out: {len(left_out)}")
        for each in left_out:
            console.line(f"  {each['name']}: {each['reason']}")
    size = f", {result['bytes'] / 1e6:.1f} MB" if result["bytes"] else ""
    console.line(
        f"{counted(result['views'], 'view')} a shape{size}; {result['drawn']} drawn, "
        f"{result['kept']} kept; {result['seconds']:.1f} s"
    )
    if not result["digest"]:
        return
    views = "" if out is None else f" --views {out}"
    folder = "" if work == Path(".") else f" --work {work}"
    console.line(f"next: pointcmt train-teacher{views}{folder}")
