"""The passes of `pooled_mlp` between its matrix products, on the CPU: numba kernels over blocks of rows in cache.

Letters: R rows of a block, G groups of k rows, B clouds, N points, M centres, C channels. Groups are counted over all
clouds. `sums` are (2, C) float64 and added to; a few rows are summed in the arrays' own precision first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.compiling import NO_NANS, compiled

_RUN = 64


@compiled(fastmath=NO_NANS)
def group_moments(
    points: NDArray[Any],
    centres: NDArray[Any],
    index: NDArray[Any],
    first: int,
    last: int,
    pilot: NDArray[Any],
    sums: NDArray[np.float64],
) -> None:
    """Sums of x and x * x with x = points[index] - centres - pilot, over the rows of groups `first` to `last`."""
    groups, count = index.shape[1:]
    channels = points.shape[2]
    one = np.empty(channels, points.dtype)
    two = np.empty(channels, points.dtype)
    origin = np.empty(channels, points.dtype)
    for group in range(first, last):
        b, i = group // groups, group % groups
        for c in range(channels):
            one[c] = 0
            two[c] = 0
            origin[c] = centres[b, i, c] + pilot[c]
        for t in range(count):
            row = points[b, index[b, i, t]]
            for c in range(channels):
                value = row[c] - origin[c]
                one[c] += value
                two[c] += value * value
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]


@compiled(fastmath=NO_NANS)
def group_rows(
    points: NDArray[Any],
    centres: NDArray[Any],
    index: NDArray[Any],
    first: int,
    last: int,
    out: NDArray[Any],
) -> None:
    """Out (R, C) = ReLU(points[index] - centres) of groups `first` to `last`."""
    groups, count = index.shape[1:]
    channels = points.shape[2]
    zero = points.dtype.type(0)
    for group in range(first, last):
        b, i = group // groups, group % groups
        origin = centres[b, i]
        for t in range(count):
            row = points[b, index[b, i, t]]
            to = out[(group - first) * count + t]
            for c in range(channels):
                to[c] = max(row[c] - origin[c], zero)


@compiled(fastmath=NO_NANS)
def moments(rows: NDArray[Any], pilot: NDArray[Any], sums: NDArray[np.float64]) -> None:
    """Sums of x and x * x with x = rows - pilot, over the rows (R, C)."""
    total, channels = rows.shape
    one = np.empty(channels, rows.dtype)
    two = np.empty(channels, rows.dtype)
    for start in range(0, total, _RUN):
        one[:] = 0
        two[:] = 0
        for r in range(start, min(start + _RUN, total)):
            row = rows[r]
            for c in range(channels):
                value = row[c] - pilot[c]
                one[c] += value
                two[c] += value * value
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]


@compiled(fastmath=NO_NANS)
def activate(
    rows: NDArray[Any], scale: NDArray[Any], shift: NDArray[Any], out: NDArray[Any]
) -> None:
    """Out (R, C) = ReLU(rows * scale + shift); may be `rows` itself."""
    total, channels = rows.shape
    zero = rows.dtype.type(0)
    for r in range(total):
        for c in range(channels):
            out[r, c] = max(rows[r, c] * scale[c] + shift[c], zero)


@compiled(fastmath=NO_NANS)
def pool(rows: NDArray[Any], best: NDArray[Any], where: NDArray[np.int32]) -> None:
    """Maximum over each group of rows (G * k, C): best (G, C), and its place in the group, the first of equals."""
    groups, channels = best.shape
    count = len(rows) // groups
    for group in range(groups):
        top, place = best[group], where[group]
        row = rows[group * count]
        for c in range(channels):
            top[c] = row[c]
            place[c] = 0
        for t in range(1, count):
            row = rows[group * count + t]
            now = np.int32(t)
            for c in range(channels):
                higher = row[c] > top[c]
                place[c] = now if higher else place[c]
                top[c] = row[c] if higher else top[c]


@compiled(fastmath=NO_NANS)
def spread_maxima(
    gradient: NDArray[Any],
    where: NDArray[np.int32],
    weight: NDArray[Any],
    rows: NDArray[Any],
    rows_gradient: NDArray[Any],
    weight_gradient: NDArray[Any],
) -> None:
    """Add what flows through the maxima of rows @ weight.T: gradient (G, C) at place `where` of each group.

    `rows_gradient` (R, D) and `weight_gradient` (C, D) are added to.
    """
    groups, channels = gradient.shape
    count = len(rows) // groups
    width = weight.shape[1]
    for group in range(groups):
        for c in range(channels):
            factor = gradient[group, c]
            if factor == 0:
                continue
            r = group * count + where[group, c]
            row, row_gradient = rows[r], rows_gradient[r]
            of_weight, by_weight = weight[c], weight_gradient[c]
            for d in range(width):
                row_gradient[d] += factor * of_weight[d]
            for d in range(width):
                by_weight[d] += factor * row[d]


@compiled(fastmath=NO_NANS)
def through_relu(
    gradient: NDArray[Any],
    active: NDArray[Any],
    before: NDArray[Any],
    mean: NDArray[Any],
    rstd: NDArray[Any],
    out: NDArray[Any],
    sums: NDArray[np.float64],
) -> None:
    """Out = gradient where active > 0, else 0; sums of out and of out * (before - mean) * rstd; all (R, C)."""
    total, channels = gradient.shape
    zero = gradient.dtype.type(0)
    one = np.empty(channels, gradient.dtype)
    two = np.empty(channels, gradient.dtype)
    for start in range(0, total, _RUN):
        one[:] = 0
        two[:] = 0
        for r in range(start, min(start + _RUN, total)):
            up, on, z, to = gradient[r], active[r], before[r], out[r]
            for c in range(channels):
                value = up[c] if on[c] > zero else zero
                to[c] = value
                one[c] += value
                two[c] += value * ((z[c] - mean[c]) * rstd[c])
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]


@compiled(fastmath=NO_NANS)
def combine(
    gradient: NDArray[Any],
    before: NDArray[Any],
    scale: NDArray[Any],
    slope: NDArray[Any],
    offset: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Out (R, C) = gradient * scale + before * slope + offset."""
    total, channels = gradient.shape
    for r in range(total):
        for c in range(channels):
            out[r, c] = gradient[r, c] * scale[c] + before[r, c] * slope[c] + offset[c]


@compiled(fastmath=NO_NANS)
def group_gradients(
    gradient: NDArray[Any],
    active: NDArray[Any],
    points: NDArray[Any],
    centres: NDArray[Any],
    index: NDArray[Any],
    first: int,
    last: int,
    mean: NDArray[Any],
    rstd: NDArray[Any],
    to_points: NDArray[Any],
    to_centres: NDArray[Any],
    sums: NDArray[np.float64],
) -> None:
    """The gradient (R, C) of ReLU(norm(points[index] - centres)), where active > 0, summed for each point and centre.

    `to_points` (2, B, N, C), added to: over the rows that show point j, the gradient and the centres. `to_centres`
    (2, B, M, C): over the rows of group i, the gradient and the points. `sums` as in `through_relu`.
    """
    groups, count = index.shape[1:]
    channels = points.shape[2]
    zero = gradient.dtype.type(0)
    one = np.empty(channels, gradient.dtype)
    two = np.empty(channels, gradient.dtype)
    three = np.empty(channels, gradient.dtype)
    for group in range(first, last):
        b, i = group // groups, group % groups
        centre = centres[b, i]
        one[:] = 0
        two[:] = 0
        three[:] = 0
        for t in range(count):
            r, j = (group - first) * count + t, index[b, i, t]
            up, on, point = gradient[r], active[r], points[b, j]
            of_gradient, of_centre = to_points[0, b, j], to_points[1, b, j]
            for c in range(channels):
                value = up[c] if on[c] > zero else zero
                of_gradient[c] += value
                of_centre[c] += centre[c]
                one[c] += value
                two[c] += value * ((point[c] - centre[c] - mean[c]) * rstd[c])
                three[c] += point[c]
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]
            to_centres[0, b, i, c] = one[c]
            to_centres[1, b, i, c] = three[c]
