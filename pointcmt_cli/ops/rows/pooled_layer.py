"""`pooled_mlp` of one grouped layer on a CPU, e.g. an edge convolution: the method, and its kernels.

In: points (B, N, C) and centres (B, M, C), both after the Linear, and the groups (B, M, k); z = points[index] - centres
has B M k rows, and none is written to memory. Batch norm and ReLU are monotone in z, so that the maximum is taken first
(the minimum where the norm's weight is negative); the statistics are summed on the way. Backward, batch norm's
gradient is affine in z: dz = scale * dy + slope * z + offset, where dy is 0 but at the maxima.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pointcmt_cli.ops.compiling import NO_NANS, compiled
from pointcmt_cli.ops.rows.backward import NormGradient
from pointcmt_cli.ops.rows.blocks import Norm, Rows, statistics
from pointcmt_cli.ops.rows.forward import running, tracked
from pointcmt_cli.ops.threads import share


def pooled_layer(
    first: Tensor,
    centres: Tensor,
    index: Tensor,
    linear: nn.Linear,
    norm: nn.BatchNorm1d,
    last_relu: bool,
) -> Tensor:
    """Maxima (B, M, C) over the groups, after batch norm (and ReLU); see `pooled_mlp`."""
    if norm.training:
        trained: Tensor = _PooledLayer.apply(  # type: ignore[no-untyped-call]
            first, centres, index, norm, last_relu, linear.bias, norm.weight, norm.bias
        )
        return trained
    pooled = _Pooled(Rows(first, centres, index), norm)
    return pooled.output(running(linear, norm, first.dtype), last_relu)


class _Pooled:
    """Of each group: its largest z, by the norm's sign, where it stands, and the sum of z; and the sums of all."""

    def __init__(self, rows: Rows, norm: nn.BatchNorm1d) -> None:
        assert rows.centres is not None
        assert rows.index is not None
        self.rows = rows
        self.pilot = rows.first[0, rows.index[0, 0, 0]] - rows.centres[0, 0]
        self.best = torch.empty_like(rows.centres)
        self.total = torch.empty_like(rows.centres)
        self.where = torch.empty(self.best.shape, dtype=torch.int32)
        self.sums = rows.new_sums(rows.channels)
        sign = torch.where(norm.weight.detach() < 0, -1, 1).to(self.best.dtype)
        given = (rows.first, rows.centres, rows.index, sign, self.pilot)
        made = (self.best, self.total, self.where)
        arrays: list[Any] = [each.numpy() for each in (*given, *made)]
        numbered = zip(rows.parts, self.sums, strict=True)
        works: list[Any] = [[*arrays, *part, sums] for part, sums in numbered]
        share(lambda part: _pool(*works[part]), len(works))

    def output(self, norm: Norm, last_relu: bool) -> Tensor:
        pooled = torch.addcmul(norm.shift, self.best, norm.scale)
        return pooled.relu_() if last_relu else pooled


class _PooledLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        centres: Tensor,
        index: Tensor,
        norm: nn.BatchNorm1d,
        last_relu: bool,
        bias: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.pooled = _Pooled(Rows(first, centres, index), norm)
        rows = ctx.pooled.rows
        moments = statistics(ctx.pooled.sums, ctx.pooled.pilot, rows.total)
        ctx.norm = tracked(*moments, norm, rows.total, first.dtype, bias)
        ctx.last_relu = last_relu
        ctx.has_bias = bias is not None
        output: Tensor = ctx.pooled.output(ctx.norm, last_relu)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (output,) = ctx.saved_tensors
        pooled, norm, rows = ctx.pooled, ctx.norm, ctx.pooled.rows
        gradient = gradient.to(output.dtype)
        if ctx.last_relu:
            gradient = gradient * (output > 0)
        normed = (pooled.best - norm.mean) * norm.rstd
        sums = [each.sum((0, 1), dtype=torch.float64) for each in (gradient, gradient * normed)]
        of_norm = NormGradient.of(norm, torch.stack(sums))
        through = (gradient * norm.scale).contiguous()
        of_centres = through + of_norm.slope * pooled.total + rows.neighbours * of_norm.offset
        affine = of_norm.offset - of_norm.slope * rows.centres  # what dz has of its centre
        of_points, shown = torch.zeros_like(rows.first), rows.first.new_zeros(rows.first.shape[:2])
        given = (rows.index, pooled.where, through, affine)
        arrays: list[Any] = [each.numpy() for each in (*given, of_points, shown)]
        share(lambda part: _spread(*arrays, *rows.parts[part]), len(rows.parts))
        of_points.addcmul_(shown[..., None] * of_norm.slope, rows.first)
        bias = torch.zeros_like(of_norm.bias) if ctx.has_bias else None
        return of_points, -of_centres, *[None] * 3, bias, of_norm.weight, of_norm.bias


@compiled(fastmath=NO_NANS)
def _pool(
    points: NDArray[Any],
    centres: NDArray[Any],
    index: NDArray[np.int64],
    sign: NDArray[Any],
    pilot: NDArray[Any],
    best: NDArray[Any],
    total: NDArray[Any],
    where: NDArray[np.int32],
    first: int,
    last: int,
    sums: NDArray[np.float64],
) -> None:
    """Fill best, total and where (B, M, C) for the groups `first` to `last`; of equals the first counts.

    `sums` (2, C), added to: of z - pilot and of its square.
    """
    groups, count = index.shape[1:]
    channels = points.shape[2]
    one = np.empty(channels, points.dtype)
    two = np.empty(channels, points.dtype)
    top = np.empty(channels, points.dtype)
    place = np.empty(channels, np.int32)
    origin = np.empty(channels, points.dtype)
    for group in range(first, last):
        b, i = group // groups, group % groups
        for c in range(channels):
            origin[c] = centres[b, i, c] + pilot[c]
            one[c] = 0
            two[c] = 0
            top[c] = -np.inf
        for t in range(count):
            row = points[b, index[b, i, t]]
            now = np.int32(t)
            for c in range(channels):
                value = row[c] - origin[c]
                one[c] += value
                two[c] += value * value
                signed = value * sign[c]
                higher = signed > top[c]
                place[c] = now if higher else place[c]
                top[c] = signed if higher else top[c]
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]
            best[b, i, c] = top[c] * sign[c] + pilot[c]
            total[b, i, c] = one[c] + count * pilot[c]
            where[b, i, c] = place[c]


@compiled(fastmath=NO_NANS)
def _spread(
    index: NDArray[np.int64],
    where: NDArray[np.int32],
    through: NDArray[Any],
    affine: NDArray[Any],
    of_points: NDArray[Any],
    shown: NDArray[Any],
    first: int,
    last: int,
) -> None:
    """Add to of_points (B, N, C): `affine` (B, M, C) for each row that shows the point, and `through` at the maxima.

    `shown` (B, N): how many rows show the point.
    """
    groups, count = index.shape[1:]
    channels = of_points.shape[2]
    for group in range(first, last):
        b, i = group // groups, group % groups
        for t in range(count):
            j = index[b, i, t]
            shown[b, j] += 1
            row, more = of_points[b, j], affine[b, i]
            for c in range(channels):
                row[c] += more[c]
        for c in range(channels):
            of_points[b, index[b, i, where[b, i, c]], c] += through[b, i, c]
