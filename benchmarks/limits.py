"""How fast this machine could be at all: what a job needs, counted from its shapes, against measured rates.

`Machine.measure()` times this processor, `farthest_points(...)` and the like count a job's `Work`, and
`machine.floor(work)` are the seconds of one core below which nobody gets. All times are of one core, on the processor's
clock, which another program disturbs least; a job on T cores needs at least a T-th of it.

Operations are additions, multiplications and comparisons of floats. Bytes are those that must pass between memory and
core at least once: what is read, and what is kept for later, of jobs whose data is larger than the caches.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch

from pointcmt_cli.ops.rows.products import rows_by_weight

FLOAT, INDEX = 4, 8
"""Bytes."""
DISTANCE = 8
"""Operations of a squared distance in space: three differences, three squares, two sums."""
SHAPES = ((4096, 64, 64), (4096, 96, 128), (4096, 128, 256), (4096, 256, 512))
"""Rows, inner and outer width of the products whose best rate is the machine's."""


@dataclass(frozen=True)
class Work:
    """Of a job: operations, and bytes moved."""

    operations: float = 0
    bytes: float = 0

    def __add__(self, other: "Work") -> "Work":
        """One after the other."""
        return Work(self.operations + other.operations, self.bytes + other.bytes)


@dataclass(frozen=True)
class Machine:
    """Of one core: operations per second in float32 matrix products; bytes per second of a copy, read and written."""

    operations_per_second: float
    bytes_per_second: float
    by_product: dict[str, float]

    @staticmethod
    def measure(rounds: int = 9) -> "Machine":
        """With torch on one thread; the better of its two libraries for each product, the best product of all."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            rates = {}
            for rows, inner, outer in SHAPES:
                a, weight = torch.randn(rows, inner), torch.randn(outer, inner)
                calls: list[Callable[[], Any]] = [
                    lambda a=a, weight=weight: torch.mm(a, weight.t()),  # type: ignore[misc]
                    lambda a=a, weight=weight: rows_by_weight(a, weight),  # type: ignore[misc]
                ]
                seconds = min(best_of(call, rounds) for call in calls)
                rates[f"{rows} x {inner} x {outer}"] = 2 * rows * inner * outer / seconds
            source, target = torch.ones(2**26), torch.empty(2**26)
            seconds = best_of(lambda: target.copy_(source), rounds, repeat=1)
            return Machine(max(rates.values()), 2 * FLOAT * len(source) / seconds, rates)
        finally:
            torch.set_num_threads(threads)

    def floor(self, work: Work) -> float:
        """Seconds of one core: operations and bytes at the same time, each at its full rate."""
        return max(work.operations / self.operations_per_second, work.bytes / self.bytes_per_second)

    def compare(self, work: Work, seconds: float) -> dict[str, float]:
        """For a record: the work, the floor, and how many times the floor `seconds` are."""
        return {
            **asdict(work),
            "floor_seconds": self.floor(work),
            "times_the_floor": seconds / self.floor(work),
        }


def best_of(call: Callable[[], Any], rounds: int, repeat: int = 20) -> float:
    """Seconds of a call on the processor's clock: the median of the faster half of the rounds."""
    found = []
    call()
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeat):
            call()
        found.append((time.process_time() - began) / repeat)
    return statistics.median(sorted(found)[: rounds // 2 + 1])


def farthest_points(batch: int, number: int, count: int) -> Work:
    """Each step: all distances to the last point, the smaller one kept, the largest found."""
    evaluations = batch * number * count
    return Work(evaluations * (DISTANCE + 2), batch * (3 * FLOAT * number + INDEX * count))


def ball_query(batch: int, number: int, centres: int, neighbours: Sequence[int]) -> Work:
    """All distances once, and a comparison per radius; a search that skips far points needs fewer."""
    evaluations = batch * number * centres
    read = batch * 3 * FLOAT * (number + centres)
    written = batch * centres * sum(neighbours) * INDEX
    return Work(evaluations * (DISTANCE + len(neighbours)), read + written)


def k_nearest(batch: int, number: int, centres: int, channels: int, neighbours: int) -> Work:
    """All distances (as products where there are many channels) and one comparison each."""
    each = DISTANCE if channels <= 3 else 2 * channels + 2
    read = batch * channels * FLOAT * (number + centres)
    return Work(batch * number * centres * (each + 1), read + batch * centres * neighbours * INDEX)


def earth_movers_distance(batch: int, number: int) -> Work:
    """Only all distances once: how many bids an auction takes depends on the clouds."""
    return Work(batch * number**2 * DISTANCE, batch * number * (6 * FLOAT + INDEX))


def linear_step(rows: int, inner: int, outer: int, input_gradient: bool = True) -> Work:
    """A product forward, of the weight and, unless it is the first, of the input backward."""
    times = 3 if input_gradient else 2
    moved = rows * (inner + outer) * FLOAT
    return Work(times * 2 * rows * inner * outer, times * moved)


def pooled_mlp_step(rows: int, groups: int, widths: Sequence[int]) -> Work:
    """Forward and backward of `pooled_mlp`, its first product apart, as it is computed here.

    A middle layer is three products. The last one is one forward; its gradients need a Gram matrix of its input and a
    product with a square matrix, and little for the maxima. Kept in memory: the middle layers' products, written once
    and read three times, and their gradients, written and read once.
    """
    operations = 0.0
    for inner, outer in pairwise(widths[:-1]):
        operations += 3 * 2 * rows * inner * outer
    inner, outer = widths[-2:]
    operations += 2 * rows * inner * outer + 2 * 2 * rows * inner**2
    operations += 2 * 2 * groups * inner * outer
    kept = rows * sum(widths[1:-1]) * FLOAT
    return Work(operations, 6 * kept + groups * outer * (2 * FLOAT + 4))


def total(parts: Iterable[Work]) -> Work:
    """All one after the other."""
    found = Work()
    for part in parts:
        found += part
    return found


def pointnet2_step(network: Any, batch: int, number: int) -> Work:
    """Forward and backward of one of our PointNet++ encoders, of `number` points."""
    parts = []
    channels = 3
    for each in network.levels:
        level = each.level
        parts.append(farthest_points(batch, number, level.centres))
        parts.append(ball_query(batch, number, level.centres, level.neighbours))
        for mlp, neighbours in zip(each.scales, level.neighbours, strict=True):
            widths = [linear.out_features for linear in mlp.linears]
            parts.append(linear_step(batch * number, channels, widths[0], channels > 3))
            groups = batch * level.centres
            parts.append(pooled_mlp_step(groups * neighbours, groups, widths))
        number, channels = level.centres, each.channels + 3
    widths = [linear.out_features for linear in network.everything.linears]
    parts.append(linear_step(batch * number, channels, widths[0]))
    parts.append(pooled_mlp_step(batch * number, batch, widths))
    return total(parts)


def dgcnn_step(network: Any, batch: int, number: int) -> Work:
    """Forward and backward of our DGCNN: each edge convolution is two products of points, and one search."""
    parts = []
    for place, edge in enumerate(network.edges):
        channels, width = edge.linear.in_features // 2, edge.linear.out_features
        parts.append(k_nearest(batch, number, number, channels, edge.neighbours))
        parts += [linear_step(batch * number, channels, width, place > 0)] * 2
        each_row = batch * number * edge.neighbours * width  # difference, two sums, a maximum
        parts.append(Work(5 * each_row + each_row, 3 * 2 * batch * number * width * FLOAT))
    linear: Any = network.joined.linear
    parts.append(linear_step(batch * number, linear.in_features, linear.out_features))
    return total(parts)


def show(name: str, found: dict[str, float]) -> str:
    """One line."""
    return (
        f"{name}: {found['operations'] / 1e9:.1f} G operations, {found['bytes'] / 1e9:.2f} GB; one "
        f"core's floor {found['floor_seconds']:.3f} s, ours takes {found['times_the_floor']:.2f} times that"
    )


STEPS: dict[str, Callable[[Any, int, int], Work]] = {
    "pointnet2": pointnet2_step,
    "dgcnn": dgcnn_step,
}
