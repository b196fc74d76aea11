"""The whole of `pointcmt render` for render.py: parse, sample, draw, compress, store; time split, memory, projection.

usage: python benchmarks/render_command.py SOURCE WORKERS SIZE RIG     (one run, its result as a JSON line)
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record import spread

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.records import Result

MODELNET40 = 12_311
"""Meshes in all of ModelNet40."""
PER_SHAPE = (
    "read and parse",
    "draw",
    "sample points",
    "hash",
    "compress",
    "write",
    "between shapes",
)
"""Stages of `--profile` that every shape goes through."""


def main() -> None:
    """Draw everything anew, in a folder that goes afterwards."""
    source, workers, size, rig = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        config = RenderConfig(
            source=Path(source),
            work=Path(folder),
            rig=rig,
            image_size=int(size),
            workers=int(workers),
            profile=True,
        )
        values = [each.values for each in render(config) if isinstance(each, Result)][-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**values, "peak_mib": peak}, default=str))


def measure(tree: Path, workers: Sequence[int], size: int, rig: str, rounds: int) -> dict[str, Any]:
    """Runs with each number of workers in turn, so that a busy moment of the machine hits all alike."""
    runs: dict[int, list[dict[str, Any]]] = {number: [] for number in workers}
    for turn in range(rounds):
        for number, found in runs.items():
            found.append(once(tree, number, size, rig))
            profile = found[-1]["profile"]
            print(
                f"round {turn + 1}: {tree.name}, {number} workers: {profile['views']} views in "
                f"{profile['seconds']:.1f} s",
                flush=True,
            )
    first, last = workers[0], workers[-1]
    pairs = list(zip(runs[first], runs[last], strict=True))
    return {
        "shapes": runs[first][0]["drawn"],
        "views": runs[first][0]["profile"]["views"],
        "bytes_per_view": runs[first][0]["bytes"] / runs[first][0]["profile"]["views"],
        "workers": [row(number, found) for number, found in runs.items()],
        "more_workers_are_faster_by": {
            "whole_command": spread(
                [one["profile"]["seconds"] / more["profile"]["seconds"] for one, more in pairs]
            ),
            "shapes_alone": spread(
                [seconds_of_shapes(one) / seconds_of_shapes(more) for one, more in pairs]
            ),
        },
    }


def seconds_of_shapes(run: Mapping[str, Any]) -> float:
    """Without what happens once: start-up, and putting everything into one file."""
    stages = run["profile"]["stages"]
    per_shape = [each["seconds"] for name, each in stages.items() if name in PER_SHAPE]
    return float(sum(per_shape) / run["profile"]["processes"])


def row(workers: int, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Speed, memory and time split of the runs with one number of workers."""
    profiles = [run["profile"] for run in runs]
    return {
        "workers": workers,
        "views_per_second": spread([each["views_per_second"] for each in profiles]),
        "views_per_cpu_second": spread([each["views_per_cpu_second"] for each in profiles]),
        "seconds": spread([each["seconds"] for each in profiles]),
        "peak_mib_of_the_main_process": max(run["peak_mib"] for run in runs),
        "share_of_processor": {
            stage: statistics.mean(each["stages"][stage]["share"] for each in profiles)
            for stage in profiles[0]["stages"]
        },
    }


def once(tree: Path, workers: int, size: int, rig: str) -> dict[str, Any]:
    """One run in a process of its own."""
    words = [sys.executable, __file__, str(tree), str(workers), str(size), rig]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pointcmt render failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def copies(meshes: Sequence[Path], total: int, tree: Path) -> Path:
    """A tree of two classes with `total` meshes, the same few again and again: what a large set costs a shape."""
    for number in range(total):
        mesh = meshes[number % len(meshes)]
        place = tree / f"class{number % 2}" / "train" / f"{mesh.stem}_{number}.off"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(mesh.resolve())
    return tree


def projected(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What all of ModelNet40 would take, were its meshes like those measured."""
    return [
        {
            "meshes": MODELNET40,
            "views": MODELNET40 * measured["views"] // measured["shapes"],
            "workers": each["workers"],
            "minutes": each["seconds"]["median"] * MODELNET40 / measured["shapes"] / 60,
            "gigabytes": measured["bytes_per_view"]
            * measured["views"]
            / measured["shapes"]
            * MODELNET40
            / 1e9,
        }
        for each in measured["workers"]
    ]


if __name__ == "__main__":
    main()
