"""Images per CPU-second from clouds: the points renderer by numba and by torch, and SimpleView's own code, in turn.

usage: python benchmarks/points_projection.py [--simpleview FOLDER] [--clouds 20] [--rounds 9]

FOLDER is a checkout of princeton-vl/SimpleView; its models/mv_utils.py is imported from there, runs all clouds in one
batch, and makes float depth where ours makes bytes. It splats one pixel for each point as its get_img is written, and
4 x 4 with the default of its points2depth; ours is measured at both. One thread; clouds are of generated shapes, 1,024
points and 6 views of 128 pixels each.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import spread, write_record

from pointcmt_cli import discovery
from pointcmt_cli.api import Cameras, Shape
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file

HERE = Path(__file__).resolve().parent
VIEWS, SIZE, POINTS = 6, 128, 1024
OPTIONS: dict[str, dict[str, Any]] = {
    "points, numba": {},
    "points, numba, 1 pixel": {"splat_size": 1},
    "points, numba, lambert": {"shading": "lambert"},
    "points, torch on cpu": {"device": "cpu"},
    "points, torch on cuda": {"device": "cuda"},
}


def main() -> None:
    """Measure, record, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simpleview", type=Path)
    parser.add_argument("--clouds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "points_projection.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.clouds, options.rounds, options.simpleview)
    setting = {"clouds": options.clouds, "points": POINTS, "views": VIEWS, "size": SIZE}
    write_record(
        options.out, {"setting": setting | {"rounds": options.rounds}, "projections": rows}
    )
    for row in rows:
        speed = row["images_per_cpu_second"]
        print(
            f"{row['name']:26} {speed['median']:8.0f} ± {speed['std']:.0f} images / CPU-s", end=""
        )
        ratio = row["default_is_faster_by"]["median"]
        print(f", points, numba, is {ratio:.1f} times as fast")


def measure(count: int, rounds: int, simpleview: Path | None) -> list[dict[str, Any]]:
    """One row for each way to draw the clouds; each draws all of them once in every round."""
    shapes = clouds(count)
    rig = cameras("orthogonal6", SIZE)
    ways = {
        name: ours(chosen, shapes, rig)
        for name, chosen in OPTIONS.items()
        if chosen.get("device") != "cuda" or torch.cuda.is_available()
    }
    if simpleview:
        ways |= theirs(simpleview, shapes)
    for draw in ways.values():
        draw()  # compile
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, draw in ways.items():
            busy, wall = time.process_time(), time.perf_counter()
            draw()
            seconds[name].append((time.process_time() - busy, time.perf_counter() - wall))
    return [row(name, seconds, count * VIEWS) for name in ways]


def row(name: str, seconds: Mapping[str, list[tuple[float, float]]], images: int) -> dict[str, Any]:
    """One way's figures; the ratio is of the default to it, round by round."""
    pairs = zip(seconds[name], seconds["points, numba"], strict=True)
    return {
        "name": name,
        "images_per_cpu_second": spread([images / busy for busy, _ in seconds[name]]),
        "images_per_wall_second": spread([images / wall for _, wall in seconds[name]]),
        "default_is_faster_by": spread([it[0] / default[0] for it, default in pairs]),
    }


def clouds(count: int) -> list[Shape]:
    """Points of generated shapes, without their meshes."""
    with tempfile.TemporaryDirectory() as folder:
        write_demo_meshes(Path(folder), count, 0, seed=0)
        paths = sorted(Path(folder).rglob("*.off"))
        chosen = paths[:: max(1, len(paths) // count)][:count]
        meshes = [read_file(path) for path in chosen]
    return [
        replace(mesh, vertices=sample_points(mesh, POINTS), faces=None, points=None)
        for mesh in meshes
    ]


def ours(options: Mapping[str, Any], shapes: list[Shape], rig: Cameras) -> Callable[[], Any]:
    """The renderer over all clouds, one after another, as `pointcmt render` calls it."""
    draw = discovery.build("renderers", "points", options)
    return lambda: [draw(shape, rig) for shape in shapes]


def theirs(folder: Path, shapes: list[Shape]) -> dict[str, Callable[[], Any]]:
    """SimpleView's PCViews.get_img as it is, and with the splat that its points2depth has by default."""
    path = folder / "models" / "mv_utils.py"
    spec = importlib.util.spec_from_file_location("simpleview_mv_utils", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(
            f"{folder} is no checkout of princeton-vl/SimpleView: it lacks models/mv_utils.py"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self: self  # type: ignore[assignment, method-assign]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    views, one = module.PCViews(), module.points2depth
    batch = torch.from_numpy(np.stack([shape.vertices for shape in shapes])).to(device)

    def four(**settings: Any) -> Any:
        return one(**{**settings, "size_x": 4, "size_y": 4})

    def draw(distribute: Callable[..., Any]) -> Any:
        module.points2depth = distribute
        with torch.no_grad():
            return views.get_img(batch).cpu()

    return {"SimpleView, 4 x 4": lambda: draw(four), "SimpleView, 1 pixel": lambda: draw(one)}


if __name__ == "__main__":
    main()
