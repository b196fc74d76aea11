"""Point operations on the CPU: numba kernels that release the interpreter's lock.

In: contiguous arrays, clouds (N, 3), index arrays int64. Same arithmetic, in the same order, as the plain-torch forms
in `plain`, hence the same indices bit for bit: `fastmath` is limited to flags that change no rounding.

What makes them fast is that each long loop is one that LLVM vectorises. It does not vectorise a maximum of floats, so
the farthest distance is found by its bits: floats that are not negative are ordered as the integers of the same bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.compiling import NO_NANS, compiled

_LANES = 64
"""Elements of a loop's step, once LLVM has vectorised and unrolled it."""
Floats = NDArray[Any]
Indices = NDArray[np.int64]


@compiled(fastmath=NO_NANS)
def farthest_points(points: Floats, chosen: Indices, work: Floats, bits: NDArray[Any]) -> None:
    """Fill `chosen` (B, M) of clouds (B, N, 3): each next point is the one farthest from those before; the first is 0.

    `work` (4, P >= N) is scratch, `bits` its last row seen as integers of the same width.
    """
    number = points.shape[1]
    x, y, z, nearest = work[0], work[1], work[2], work[3]
    for b in range(len(points)):
        for axis in range(3):
            work[axis, :number] = points[b, :, axis]
            work[axis, number:] = 0
        nearest[:number] = np.inf
        nearest[number:] = -1
        last = 0
        for step in range(chosen.shape[1]):
            chosen[b, step] = last
            px, py, pz = x[last], y[last], z[last]
            for j in range(len(x)):
                dx = x[j] - px
                dy = y[j] - py
                dz = z[j] - pz
                nearest[j] = min(dx * dx + dy * dy + dz * dz, nearest[j])
            farthest = bits[0]
            for j in range(len(bits)):
                farthest = max(farthest, bits[j])
            last = _first(bits, farthest)


@compiled(fastmath=NO_NANS)
def _first(values: NDArray[Any], wanted: Any) -> Any:
    """The lowest place of `wanted`; no early end, which would cost more than it saves."""
    nowhere = np.int32(len(values))
    place = nowhere
    for j in range(len(values)):
        place = min(place, np.int32(j) if values[j] == wanted else nowhere)
    return place


@compiled(fastmath=NO_NANS)
def ball_query(
    points: Floats,
    centres: Floats,
    squares: Floats,
    found: tuple[Indices, ...],
) -> None:
    """Fill one table (M, k) per radius for centres (M, 3); `squares` are radius * radius.

    Only points within the widest radius are looked at twice.
    """
    number = len(points)
    widest = squares.max()
    x = points[:, 0].copy()
    y = points[:, 1].copy()
    z = points[:, 2].copy()
    square = np.empty(number, points.dtype)
    near = np.empty(number + 1, np.int32)
    for i in range(len(centres)):
        _square_distances(x, y, z, centres[i], square)
        held = 0
        for j in range(number):  # no branch: half of them would be guessed wrong
            near[held] = j
            held += square[j] < widest
        for r in range(len(squares)):
            group = found[r][i]
            hits = 0
            for c in range(held):
                if hits == len(group):
                    break
                if square[near[c]] < squares[r]:
                    group[hits] = near[c]
                    hits += 1
            if hits == 0:
                group[0] = np.argmin(square)
                hits = 1
            group[hits:] = group[0]


@compiled(fastmath=NO_NANS)
def k_nearest(points: Floats, queries: Floats, index: Indices) -> None:
    """Fill `index` (M, k <= N) with the points nearest to each query (M, 3), nearest first, ties lowest index first."""
    x = points[:, 0].copy()
    y = points[:, 1].copy()
    z = points[:, 2].copy()
    square = np.empty(len(points), points.dtype)
    best, lanes, near = _scratch(square, index.shape[1])
    for i in range(len(queries)):
        _square_distances(x, y, z, queries[i], square)
        _select(square, index[i], best, lanes, near)


@compiled(fastmath=NO_NANS)
def smallest(squares: Floats, index: Indices) -> None:
    """Fill `index` (R, k) with the columns of the k smallest of each row of `squares` (R, N), ties lowest first."""
    best, lanes, near = _scratch(squares[0], index.shape[1])
    for i in range(len(squares)):
        _select(squares[i], index[i], best, lanes, near)


@compiled(fastmath=NO_NANS)
def _square_distances(x: Floats, y: Floats, z: Floats, centre: Floats, square: Floats) -> None:
    cx, cy, cz = centre[0], centre[1], centre[2]
    for j in range(len(x)):
        dx = x[j] - cx
        dy = y[j] - cy
        dz = z[j] - cz
        square[j] = dx * dx + dy * dy + dz * dz


@compiled(fastmath=NO_NANS)
def _scratch(row: Floats, count: int) -> tuple[Floats, Floats, Indices]:
    lanes = (2 * count + _LANES - 1) // _LANES * _LANES
    return (
        np.empty(count, row.dtype),
        np.empty(lanes, row.dtype),
        np.empty(len(row) + 1, np.int64),
    )


@compiled(fastmath=NO_NANS)
def _select(row: Floats, index: Indices, best: Floats, lanes: Floats, near: Indices) -> None:
    """The k smallest of one row. In a long row, only what is not above the k-th smallest of 2k or more minima of its
    parts, which at least k elements are not, is sorted.
    """
    width, count = len(lanes), len(index)
    whole = len(row) // width * width
    held = len(row)
    if whole >= 4 * width:
        lanes[:] = row[:width]
        for start in range(width, whole, width):
            part = row[start : start + width]
            for lane in range(width):
                lanes[lane] = min(part[lane], lanes[lane])
        near[:width] = np.arange(width)
        _insert(lanes, near[:width], index, best)
        limit = best[count - 1]
        held = 0
        for j in range(len(row)):
            near[held] = j
            held += row[j] <= limit
    else:
        near[:held] = np.arange(held)
    _insert(row, near[:held], index, best)


@compiled(fastmath=NO_NANS)
def _insert(row: Floats, candidates: Indices, index: Indices, best: Floats) -> None:
    """The k smallest of row[candidates] by insertion: `best` (k,) holds their values, `index` (k,) their places."""
    held, count = 0, len(index)
    for j in candidates:
        value = row[j]
        if held == count and value >= best[count - 1]:
            continue
        held = min(held + 1, count)
        place = held - 1
        while place > 0 and best[place - 1] > value:
            best[place] = best[place - 1]
            index[place] = index[place - 1]
            place -= 1
        best[place] = value
        index[place] = j


@compiled(fastmath=NO_NANS)
def add_rows(gradient: Floats, index: Indices, total: Floats) -> None:
    """Add the rows of `gradient` (R, C) to the rows of `total` (N, C) at `index` (R,), in order."""
    for r in range(len(index)):
        row, into = gradient[r], total[index[r]]
        for c in range(len(row)):
            into[c] += row[c]
