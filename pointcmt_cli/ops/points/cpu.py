"""Point operations on the CPU: tensors in and out of the numba kernels, cut into pieces for the threads.

A cloud is cut into runs of centres as well, so that one cloud occupies every thread; only farthest points go cloud by
cloud: one step of theirs is shorter than waking a thread. The number of threads changes no result.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pointcmt_cli.ops.points import kernels, plain
from pointcmt_cli.ops.threads import cuts, share

_RUN = 256
"""Centres of a piece."""
_LANES = 64
_PIECES = 16


def farthest_points(points: Tensor, count: int) -> Tensor:
    """(B, count)."""
    chosen = torch.empty(len(points), count, dtype=torch.int64)
    clouds, out = points.contiguous().numpy(), chosen.numpy()
    pieces = cuts(len(clouds), _PIECES)
    width = -(-points.shape[1] // _LANES) * _LANES

    def sample(piece: int) -> None:
        part = slice(*pieces[piece])
        work = np.empty((4, width), clouds.dtype)
        bits = work[3].view(f"i{clouds.itemsize}")
        kernels.farthest_points(clouds[part], out[part], work, bits)

    share(sample, len(pieces))
    return chosen


def ball_query(
    points: Tensor, centres: Tensor, radii: Sequence[float], counts: Sequence[int]
) -> tuple[Tensor, ...]:
    """(B, M, k) per radius."""
    batch, middles, _ = centres.shape
    found = [torch.empty(batch, middles, count, dtype=torch.int64) for count in counts]
    clouds, middle = points.contiguous().numpy(), centres.contiguous().numpy()
    tables = [each.numpy() for each in found]
    squares = np.array([radius * radius for radius in radii], clouds.dtype)
    runs = cuts(middles, -(-middles // _RUN))

    def query(piece: int) -> None:
        b, (start, end) = piece // len(runs), runs[piece % len(runs)]
        into = tuple(table[b, start:end] for table in tables)
        kernels.ball_query(clouds[b], middle[b, start:end], squares, into)

    share(query, batch * len(runs))
    return tuple(found)


def k_nearest(points: Tensor, queries: Tensor, count: int) -> Tensor:
    """(B, M, count), without the matrix of all distances: a run of queries at a time."""
    batch, number, channels = points.shape
    asked = queries.shape[1]
    held = min(count, number)
    index = torch.empty(batch, asked, held, dtype=torch.int64)
    out, runs = index.numpy(), cuts(asked, -(-asked // _RUN))
    exact = channels <= 3
    if channels < 3:  # an axis of zeros adds nothing, exactly
        points, queries = (torch.nn.functional.pad(x, (0, 3 - channels)) for x in (points, queries))
    clouds, middle = points.contiguous().numpy(), queries.contiguous().numpy()

    def search(piece: int) -> None:
        b, (start, end) = piece // len(runs), runs[piece % len(runs)]
        into = out[b, start:end]
        if exact:
            kernels.k_nearest(clouds[b], middle[b, start:end], into)
            return
        with torch.autocast("cpu", enabled=False):
            squares = plain.square_distances(queries[b : b + 1, start:end], points[b : b + 1])
        kernels.smallest(squares[0].numpy(), into)

    share(search, batch * len(runs))
    return plain.filled(index, count)


def add_rows(gradient: Tensor, index: Tensor, number: int) -> Tensor:
    """(B, number, C), in the order of the rows whatever the number of threads."""
    if gradient.dtype not in (torch.float32, torch.float64):
        return plain.add_rows(gradient, index, number)
    total = gradient.new_zeros(len(gradient), number, gradient.shape[-1])
    rows = gradient.reshape(len(gradient), -1, gradient.shape[-1]).numpy()
    places, out = index.reshape(len(index), -1).numpy(), total.numpy()
    share(lambda b: kernels.add_rows(rows[b], places[b], out[b]), len(rows))
    return total
