"""Batch norm of rows, the sum with other rows, and LeakyReLU in one step; public through `pointcmt_cli.api`.

In: rows (..., C) and a batch norm of C channels; out: the same shape. In training on a CPU the statistics are summed in
float64 (torch's own batch norm sums millions of rows in float32 and loses half of the digits), and each pass over the
rows does all that is to be done. Everywhere else it is what it says, written out in torch.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pointcmt_cli.ops.compiling import NO_NANS, compiled
from pointcmt_cli.ops.rows import kernels
from pointcmt_cli.ops.rows.backward import NormGradient
from pointcmt_cli.ops.rows.blocks import PARTS, Norm, statistics
from pointcmt_cli.ops.rows.forward import tracked
from pointcmt_cli.ops.threads import cuts, share


def normed_rows(
    rows: Tensor, norm: nn.Module, slope: float = 0.0, added: Tensor | None = None
) -> Tensor:
    """LeakyReLU(norm(rows) + added) of rows (..., C); `norm` is an nn.BatchNorm1d.

    `slope` of the negative side: 0 is ReLU, 1 is no activation. `added`: rows of the same shape, e.g. a shortcut.

    >>> norm = nn.BatchNorm1d(1).eval()  # untrained: mean 0, variance 1
    >>> rows = normed_rows(torch.tensor([[[1.0], [-1.0]]]), norm, slope=0.5)
    >>> rows.detach().round(decimals=3)
    tensor([[[ 1.0000],
             [-0.5000]]])
    """
    assert isinstance(norm, nn.BatchNorm1d)
    if _fast(rows, norm, added):
        out: Tensor = _NormedRows.apply(  # type: ignore[no-untyped-call]
            rows, added, norm, slope, norm.weight, norm.bias
        )
        return out
    values: Tensor = norm(rows.reshape(-1, rows.shape[-1])).view(rows.shape)
    values = values if added is None else values + added
    if slope == 1:
        return values
    return F.leaky_relu(values, slope) if slope else F.relu(values)


def _fast(rows: Tensor, norm: nn.BatchNorm1d, added: Tensor | None) -> bool:
    usual = norm.momentum is not None and norm.affine and norm.track_running_stats
    known = rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64)
    same = added is None or added.dtype == rows.dtype
    return norm.training and usual and known and same and not torch.compiler.is_compiling()


class _NormedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        added: Tensor | None,
        norm: nn.BatchNorm1d,
        slope: float,
        *parameters: Tensor,
    ) -> Tensor:
        z = rows.detach().reshape(-1, rows.shape[-1]).contiguous()
        found = _measured(z, norm)
        out = torch.empty_like(z)
        shortcut = z[:0] if added is None else added.detach().reshape(z.shape).contiguous()
        given = (z, found.scale, found.shift, z.new_tensor(slope), shortcut, out)
        arrays: list[Any] = [each.numpy() for each in given]
        works: list[Any] = [[*arrays, *run] for run in cuts(len(z), PARTS)]
        share(lambda part: _activate(*works[part]), len(works))
        ctx.norm, ctx.slope, ctx.shape, ctx.added = found, slope, rows.shape, added is not None
        ctx.save_for_backward(z, out)
        return out.view(rows.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, out = ctx.saved_tensors
        norm: Norm = ctx.norm
        dy = gradient.reshape(z.shape).to(z.dtype).clone(memory_format=torch.contiguous_format)
        runs = cuts(len(z), PARTS)
        sums = np.zeros((len(runs), 2, z.shape[1]))
        given = (dy, z, out, norm.mean, norm.rstd, z.new_tensor(ctx.slope))
        arrays: list[Any] = [each.numpy() for each in given]
        works: list[Any] = [[*arrays, *run, of] for run, of in zip(runs, sums, strict=True)]
        share(lambda part: _through(*works[part]), len(works))
        of_norm = NormGradient.of(norm, sums.sum(axis=0))
        dz = torch.empty_like(z)
        affine = (dy, z, norm.scale, of_norm.slope, of_norm.offset, dz)

        def combine(part: int) -> None:
            parts = [each[slice(*runs[part])] if each.dim() > 1 else each for each in affine]
            work: list[Any] = [each.numpy() for each in parts]
            kernels.combine(*work)

        share(combine, len(runs))
        of_added = dy.view(ctx.shape) if ctx.added else None
        return dz.view(ctx.shape), of_added, None, None, of_norm.weight, of_norm.bias


def _measured(z: Tensor, norm: nn.BatchNorm1d) -> Norm:
    """The norm with the statistics of z (R, C)."""
    runs, pilot = cuts(len(z), PARTS), z[0].clone()
    sums = np.zeros((len(runs), 2, z.shape[1]))

    def add(part: int) -> None:
        kernels.moments(z[slice(*runs[part])].numpy(), pilot.numpy(), sums[part])

    share(add, len(runs))
    return tracked(*statistics(sums, pilot, len(z)), norm, len(z), z.dtype)


@compiled(fastmath=NO_NANS)
def _activate(
    z: NDArray[Any],
    scale: NDArray[Any],
    shift: NDArray[Any],
    slope: NDArray[Any],
    added: NDArray[Any],
    out: NDArray[Any],
    first: int,
    last: int,
) -> None:
    """Out (R, C) = LeakyReLU(z * scale + shift + added), the rows `first` to `last`; `added` may have no rows."""
    channels = z.shape[1]
    less = slope.item()
    for r in range(first, last):
        row, to = z[r], out[r]
        if len(added):
            more = added[r]
            for c in range(channels):
                y = row[c] * scale[c] + shift[c] + more[c]
                to[c] = y if y > 0 else y * less
        else:
            for c in range(channels):
                y = row[c] * scale[c] + shift[c]
                to[c] = y if y > 0 else y * less


@compiled(fastmath=NO_NANS)
def _through(
    gradient: NDArray[Any],
    z: NDArray[Any],
    out: NDArray[Any],
    mean: NDArray[Any],
    rstd: NDArray[Any],
    slope: NDArray[Any],
    first: int,
    last: int,
    sums: NDArray[np.float64],
) -> None:
    """The gradient (R, C) through the activation, in place; `sums` (2, C): of it and of it times normed z."""
    channels = z.shape[1]
    less = slope.item()
    one = np.empty(channels, z.dtype)
    two = np.empty(channels, z.dtype)
    for start in range(first, last, 64):  # a few rows are summed in their own precision
        one[:] = 0
        two[:] = 0
        for r in range(start, min(start + 64, last)):
            up, row, after = gradient[r], z[r], out[r]
            for c in range(channels):
                value = up[c] if after[c] > 0 else up[c] * less
                up[c] = value
                one[c] += value
                two[c] += value * ((row[c] - mean[c]) * rstd[c])
        for c in range(channels):
            sums[0, c] += one[c]
            sums[1, c] += two[c]
