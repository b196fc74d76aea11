"""Point operations: ours, plain torch and the most used PyTorch port, in turn, on the same clouds.

usage: python benchmarks/ops.py [--yanx27 FOLDER] [--threads 1 2] [--batch 32] [--rounds 7]

FOLDER is a checkout of yanx27/Pointnet_Pointnet2_pytorch, whose models/pointnet2_utils.py is run as it stands; without
it the port is left out. Clouds are surface points of the demo's shapes in the unit sphere. Times are medians over
rounds in which every contestant has its turn: of the clock, and of the processors' time of all threads. Where another
program takes a processor, OpenMP's threads wait for each other, and neither says much about the code: one thread does.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import limits
import numpy as np
import torch
from record import spread, write_record
from scipy.spatial import cKDTree
from torch import Tensor

from pointcmt_cli import api
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file

HERE = Path(__file__).resolve().parent
RADII, COUNTS = (0.1, 0.2, 0.4), (16, 32, 128)
Contestants = dict[str, Callable[[], Any]]
PAUSE = 0.05
"""Seconds before a turn, for OpenMP's threads go on spinning after the one before."""
OURS, PORT = "pointcmt", "yanx27"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yanx27", type=Path, help="a checkout of the port")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "ops.json")
    options = parser.parse_args()
    points, port = clouds(options.batch, options.points), load_port(options.yanx27)
    machine = limits.Machine.measure()
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name, contestants in tasks(points, port, threads).items():
            row = {"operation": name, "threads": threads, **measure(contestants, options.rounds)}
            if work := needed(options.batch, options.points).get(name):
                seconds = row["contestants"][OURS]["cpu_ms"]["median"] / 1e3
                row["limits"] = machine.compare(work, seconds)
            rows.append(row)
            show(row)
    setting = {"batch": options.batch, "points": options.points, "rounds": options.rounds}
    write_record(options.out, {**setting, "machine": asdict(machine), "rows": rows})


def tasks(points: Tensor, port: Any, threads: int) -> dict[str, Contestants]:
    """Operation -> contestant -> a call of it."""
    half = points.shape[1] // 2
    centres = api.gather(points, api.farthest_points(points, half))
    few = centres[:, : half // 4].contiguous()
    torch.manual_seed(0)
    features = torch.randn(*points.shape[:2], 64)
    edges, gradient = api.k_nearest(points, points, 20), torch.randn(*points.shape[:2], 20, 64)
    found: dict[str, Contestants] = {
        f"farthest points, {half}": {OURS: lambda: api.farthest_points(points, half)},
        f"farthest points, {half // 4} of {half}": {
            OURS: lambda: api.farthest_points(centres, half // 4)
        },
        f"ball query, 3 radii, {half} centres": {
            OURS: lambda: api.ball_query(points, centres, RADII, COUNTS)
        },
        "20 nearest, 3-d": {
            OURS: lambda: api.k_nearest(points, points, 20),
            "cdist + topk": lambda: torch.cdist(points, points).topk(20, largest=False),
            "cKDTree": lambda: [cKDTree(x).query(x, 20, workers=threads) for x in points.numpy()],
        },
        "20 nearest, 64-d": {
            OURS: lambda: api.k_nearest(features, features, 20),
            "cdist + topk": lambda: torch.cdist(features, features).topk(20, largest=False),
        },
        f"three nearest, from {half // 4}": {
            OURS: lambda: api.three_nearest(few, points),
            "cdist + topk": lambda: torch.cdist(points, few).topk(3, largest=False),
        },
        "20 neighbours gathered, 64 channels, forward and backward": {
            OURS: lambda: pull(api.gather, features, edges, gradient),
        },
        "one cloud: farthest points": {OURS: lambda: api.farthest_points(points[:1], half)},
        "one cloud: ball query": {
            OURS: lambda: api.ball_query(points[:1], centres[:1], RADII, COUNTS)
        },
    }
    if port:
        theirs: list[Callable[[], Any] | None] = [
            lambda: port.farthest_point_sample(points, half),
            lambda: port.farthest_point_sample(centres, half // 4),
            lambda: balls(port, points, centres),
            None,
            None,
            lambda: port.square_distance(points, few).sort(dim=-1)[1][..., :3],
            lambda: pull(port.index_points, features, edges, gradient),
            lambda: port.farthest_point_sample(points[:1], half),
            lambda: balls(port, points[:1], centres[:1]),
        ]
        for contestants, call in zip(found.values(), theirs, strict=True):
            if call:
                contestants[PORT] = call
    return found


def needed(batch: int, number: int) -> dict[str, limits.Work]:
    """Operation -> what it cannot do without; the names are those of `tasks`."""
    half = number // 2
    return {
        f"farthest points, {half}": limits.farthest_points(batch, number, half),
        f"farthest points, {half // 4} of {half}": limits.farthest_points(batch, half, half // 4),
        f"ball query, 3 radii, {half} centres": limits.ball_query(batch, number, half, COUNTS),
        "20 nearest, 3-d": limits.k_nearest(batch, number, number, 3, 20),
        "20 nearest, 64-d": limits.k_nearest(batch, number, number, 64, 20),
        "one cloud: farthest points": limits.farthest_points(1, number, half),
        "one cloud: ball query": limits.ball_query(1, number, half, COUNTS),
    }


def balls(port: Any, points: Tensor, centres: Tensor) -> list[Tensor]:
    return [
        port.query_ball_point(r, k, points, centres) for r, k in zip(RADII, COUNTS, strict=True)
    ]


def pull(gather: Any, features: Tensor, index: Tensor, gradient: Tensor) -> Tensor:
    leaf = features.detach().requires_grad_()
    gather(leaf, index).backward(gradient)
    assert leaf.grad is not None
    return leaf.grad


def measure(contestants: Contestants, rounds: int) -> dict[str, Any]:
    """Contestant -> milliseconds and how many times ours that is."""
    clock: dict[str, list[float]] = {name: [] for name in contestants}
    busy: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, call in contestants.items():
            time.sleep(PAUSE)
            began, cpu = time.perf_counter(), time.process_time()
            call()
            if turn:  # the first compiles and warms up
                clock[name].append(1e3 * (time.perf_counter() - began))
                busy[name].append(1e3 * (time.process_time() - cpu))
    middle = {name: statistics.median(clock[name]) for name in contestants}
    work = {name: statistics.median(busy[name]) for name in contestants}
    return {
        "contestants": {
            name: {
                "ms": spread(clock[name]),
                "cpu_ms": spread(busy[name]),
                "times_ours": middle[name] / middle[OURS],
                "times_ours_cpu": work[name] / work[OURS],
            }
            for name in contestants
        }
    }


def show(row: dict[str, Any]) -> None:
    print(f"\n{row['operation']}, {row['threads']} threads")
    for name, values in row["contestants"].items():
        print(
            f"  {name:14}{values['ms']['median']:10.2f} ms{values['times_ours']:8.1f} x"
            f"{values['cpu_ms']['median']:10.2f} ms of processors{values['times_ours_cpu']:8.1f} x"
        )
    if "limits" in row:
        print(f"  {limits.show('', row['limits'])}")


def clouds(batch: int, number: int) -> Tensor:
    """(B, N, 3), centred, in the unit sphere."""
    with tempfile.TemporaryDirectory() as folder:
        write_demo_meshes(Path(folder), batch, 0, seed=0)
        paths = sorted(Path(folder).rglob("*.off"))
        meshes = [read_file(paths[b * len(paths) // batch]) for b in range(batch)]
    return torch.from_numpy(np.stack([sample_points(mesh, number) for mesh in meshes]))


def load_port(folder: Path | None) -> Any:
    """Its module of operations; None where there is no checkout."""
    path = folder and folder / "models" / "pointnet2_utils.py"
    if path is None or not path.is_file():
        print(f"{PORT} is left out: --yanx27 names a checkout that holds models/pointnet2_utils.py")
        return None
    spec = importlib.util.spec_from_file_location("pointnet2_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
