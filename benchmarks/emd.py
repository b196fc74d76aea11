"""Earth mover's distance: ours, scipy's assignment and the auction of the papers, in turn, on the same pairs of clouds.

usage: python benchmarks/emd.py [--meshes FOLDER] [--pairs 32] [--points 1024] [--rounds 5] [--threads 2]

FOLDER holds CLASS/.../*.off; without it the benchmark's own meshes are used, else the demo's shapes. Near: two
samplings of one mesh; far: meshes of two classes; random: uniform in the box. Clouds are centred in the unit box. Pairs
are spread over the threads; time is the CPU time of all of them, which other work on the machine disturbs least.
`scipy` includes the matrix of distances, `scipy_alone` is its solver alone. Errors are against scipy in float64.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emd_peers import distances, reference_auction
from numpy.typing import NDArray
from record import ROOT, spread, write_record
from scipy.optimize import linear_sum_assignment

from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.models.generator import unit_box
from pointcmt_cli.ops.emd.distance import match

HERE = Path(__file__).resolve().parent
SHARED = ROOT.parent / "shared" / "data" / "modelnet_meshes"
SIZES = [256, 512, 1024, 2048, 4096]
Cloud = NDArray[np.float32]
Pairs = tuple[Cloud, Cloud]  # (P, N, 3) each


def main() -> None:
    """Measure, record, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshes", type=Path, default=SHARED)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "emd.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        shapes = read_shapes(options.meshes, options.pairs, Path(folder))
    clouds = make_pairs(shapes, options.pairs, options.points)
    with ThreadPoolExecutor(options.threads) as pool:
        rows = [measure(kind, each, options.rounds, pool) for kind, each in clouds.items()]
    growth = [grow(kind, shapes, options.rounds) for kind in clouds]
    setting = {
        "meshes": len(shapes),
        "pairs": options.pairs,
        "points": options.points,
        "threads": options.threads,
        "rounds": options.rounds,
    }
    write_record(options.out, {"setting": setting, "pairs": rows, "growth": growth})
    show(rows, growth)


def read_shapes(meshes: Path, count: int, folder: Path) -> list[tuple[str, Shape]]:
    """(class, shape), a seeded choice among the meshes."""
    paths = sorted(meshes.rglob("*.off"))
    if not paths:
        write_demo_meshes(folder, 3, 0, seed=0)
        meshes, paths = folder, sorted(folder.rglob("*.off"))
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    shapes = [(paths[k].relative_to(meshes).parts[0], read_file(paths[k])) for k in chosen]
    if len({kind for kind, _ in shapes}) < 2:
        raise SystemExit(f"{meshes}: far pairs need meshes of two classes, each in its own folder")
    return shapes


def make_pairs(shapes: list[tuple[str, Shape]], pairs: int, points: int) -> dict[str, Pairs]:
    """Near, far and random pairs; a shape that serves twice is sampled anew."""
    turns = -(-pairs // len(shapes))
    clouds = [
        (kind, sample_points(shape, 3 * turns * points).reshape(turns, 3, points, 3))
        for kind, shape in shapes
    ]
    found: dict[str, list[tuple[Cloud, Cloud]]] = {"near": [], "far": [], "random": []}
    random = np.random.default_rng(1)
    for pair in range(pairs):
        turn, at = divmod(pair, len(clouds))
        kind, own = clouds[at]
        later = [clouds[(at + step) % len(clouds)] for step in range(len(clouds))]
        other = next(cloud for name, cloud in later if name != kind)
        found["near"].append((own[turn, 0], own[turn, 1]))
        found["far"].append((own[turn, 0], other[turn, 2]))
        box = random.random((2, points, 3)).astype(np.float32)
        found["random"].append((box[0], box[1]))
    return {kind: (boxed([x for x, _ in all_]), boxed([y for _, y in all_]))
            for kind, all_ in found.items()}  # fmt: skip


def boxed(clouds: list[Cloud]) -> Cloud:
    """(P, N, 3)."""
    return np.asarray(unit_box(torch.from_numpy(np.stack(clouds))).numpy())


def measure(kind: str, pairs: Pairs, rounds: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
    """CPU time for a kind of pairs by each method in turn; ratios are taken round by round."""
    x, y = pairs
    partners = np.empty(x.shape[:2], np.int64)
    turns = np.empty(len(x), np.int64)
    costs: dict[str, NDArray[np.float64]] = {}

    def ours() -> None:
        costs["ours"] = mean_distance(x, y, match(torch.from_numpy(x), torch.from_numpy(y)).numpy())

    def scipy() -> None:
        costs["scipy"] = np.array(list(pool.map(lambda a, b: solve(distances(a, b)), x, y)))

    def scipy_alone() -> None:
        list(pool.map(solve, matrices))

    def reference() -> None:
        turns[:] = list(pool.map(reference_auction, x, y, partners))
        costs["reference"] = mean_distance(x, y, partners)

    methods = {"ours": ours, "scipy": scipy, "scipy_alone": scipy_alone, "reference": reference}
    matrices = [distances(a, b) for a, b in zip(x, y, strict=True)]
    reference_auction(x[0], y[0], partners[0])  # compiled before the clock runs
    ours()
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            seconds[name].append(timed(method))
    against = {
        name: spread([it / us for it, us in zip(seconds[name], seconds["ours"], strict=True)])
        for name in ("scipy", "scipy_alone", "reference")
    }
    excess = {name: costs[name] / costs["scipy"] - 1 for name in ("ours", "reference")}
    return {
        "kind": kind,
        "mean_cost": float(costs["scipy"].mean()),
        "cpu_milliseconds_per_pair": {
            name: spread([1e3 * each / len(x) for each in values])
            for name, values in seconds.items()
        },
        "ours_is_faster_by": against,
        "percent_above_exact": {
            name: {"mean": 100 * float(each.mean()), "max": 100 * float(each.max())}
            for name, each in excess.items()
        },
        "reference_rounds": {"least": int(turns.min()), "most": int(turns.max())},
        "reference_bijections": sum(len(np.unique(each)) == len(each) for each in partners),
    }


def grow(kind: str, shapes: list[tuple[str, Shape]], rounds: int) -> dict[str, Any]:
    """CPU milliseconds per pair at each size, and the exponent from the least size to the largest."""
    medians = []
    for size in SIZES:
        x, y = (torch.from_numpy(each) for each in make_pairs(shapes[:6], 6, size)[kind])
        seconds = [timed(lambda x=x, y=y: match(x, y)) for _ in range(rounds)]  # type: ignore[misc]
        medians.append(1e3 * float(np.median(seconds)) / len(x))
    exponent = np.log(medians[-1] / medians[0]) / np.log(SIZES[-1] / SIZES[0])
    return {
        "kind": kind,
        "cpu_milliseconds_per_pair": dict(zip(map(str, SIZES), medians, strict=True)),
        "exponent": float(exponent),
    }


def solve(cost: NDArray[np.float64]) -> float:
    """Mean of the best match of a matrix of distances (N, N)."""
    return float(cost[linear_sum_assignment(cost)].mean())


def timed(method: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    start = time.process_time()
    method()
    return time.process_time() - start


def mean_distance(x: Cloud, y: Cloud, partners: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,) in float64."""
    matched = np.take_along_axis(y, partners[..., None], axis=1)
    return np.asarray(np.linalg.norm(x.astype(np.float64) - matched, axis=-1).mean(axis=1))


def show(rows: list[dict[str, Any]], growth: list[dict[str, Any]]) -> None:
    """The record as lines to read."""
    for row, grown in zip(rows, growth, strict=True):
        ours = row["cpu_milliseconds_per_pair"]["ours"]["median"]
        ratio, above = row["ours_is_faster_by"], row["percent_above_exact"]
        print(
            f"{row['kind']:7} {ours:5.2f} CPU-ms a pair, {ratio['scipy_alone']['median']:.1f} times as fast as scipy, "
            f"{ratio['reference']['median']:.1f} as the reference auction; {above['ours']['max']:.5f} % above exact at "
            f"most (that auction {above['reference']['mean']:.1f} % in the mean); N^{grown['exponent']:.2f}"
        )


if __name__ == "__main__":
    main()
