"""Point operations on the CPU: numba kernels for one cloud; they release the interpreter's lock.

In: contiguous arrays, points (N, 3), index arrays int64. Same arithmetic, in the same order, as the plain-torch
functions in `points`, hence the same indices bit for bit: `fastmath` is limited to flags that change no rounding.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops import compiling

_SAFE = {"nnan", "nsz"}  # lets min and max vectorise; no contraction, no reordering
_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """The settings of every kernel of the core's operations."""
    return compiling.compiled(function, _SAFE)


@compiled
def farthest_points(points: NDArray[Any], chosen: NDArray[np.int64]) -> None:
    """Fill `chosen` (M,): each next point is the one farthest from those before; the first is 0."""
    count = len(points)
    x = points[:, 0].copy()
    y = points[:, 1].copy()
    z = points[:, 2].copy()
    nearest = np.full(count, points.dtype.type(np.inf))
    last = 0
    for step in range(len(chosen)):
        chosen[step] = last
        px, py, pz = x[last], y[last], z[last]
        best = points.dtype.type(0)
        for j in range(count):
            dx = x[j] - px
            dy = y[j] - py
            dz = z[j] - pz
            distance = min(nearest[j], dx * dx + dy * dy + dz * dz)
            nearest[j] = distance
            best = max(best, distance)
        last = 0
        for j in range(count):
            if nearest[j] == best:
                last = j
                break


@compiled
def ball_query(
    points: NDArray[Any],
    centres: NDArray[Any],
    squares: NDArray[Any],
    counts: NDArray[np.int64],
    starts: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """Fill `found` (M, sum of counts): radius r owns the columns from starts[r] on; squares are r * r."""
    number, radii = len(points), len(squares)
    widest = squares.max()
    x = points[:, 0].copy()
    y = points[:, 1].copy()
    z = points[:, 2].copy()
    square = np.empty(number, points.dtype)
    hits = np.zeros(radii, np.int64)
    for i in range(len(centres)):
        cx, cy, cz = centres[i, 0], centres[i, 1], centres[i, 2]
        for j in range(number):
            dx = x[j] - cx
            dy = y[j] - cy
            dz = z[j] - cz
            square[j] = dx * dx + dy * dy + dz * dz
        hits[:] = 0
        unfilled = radii
        for j in range(number):
            if square[j] < widest:
                for r in range(radii):
                    if square[j] < squares[r] and hits[r] < counts[r]:
                        found[i, starts[r] + hits[r]] = j
                        hits[r] += 1
                        if hits[r] == counts[r]:
                            unfilled -= 1
                if unfilled == 0:
                    break
        for r in range(radii):
            if hits[r] == 0:
                found[i, starts[r]] = np.argmin(square)
                hits[r] = 1
            for column in range(starts[r] + hits[r], starts[r] + counts[r]):
                found[i, column] = found[i, starts[r]]


@compiled
def smallest(squares: NDArray[Any], index: NDArray[np.int64]) -> None:
    """Fill `index` (R, k) with the columns of the k smallest of each row of `squares` (R, N), ties lowest first."""
    rows, number = squares.shape
    count = index.shape[1]
    best = np.empty(count, squares.dtype)
    for row in range(rows):
        held = 0
        for j in range(number):
            value = squares[row, j]
            if held == count and value >= best[count - 1]:
                continue
            held = min(held + 1, count)
            place = held - 1
            while place > 0 and best[place - 1] > value:
                best[place] = best[place - 1]
                index[row, place] = index[row, place - 1]
                place -= 1
            best[place] = value
            index[row, place] = j
