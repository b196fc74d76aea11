"""The heart of a point network: one MLP for every row, then the maximum over each group of rows.

In: what the first Linear (without its bias) makes of the points, and the points of each group; out: (B, M, CL).
Each layer is Linear, batch norm, ReLU. `straightforward` is the obvious form (training on CUDA, and what tests compare
with), exported graphs and CUDA's eval mode take that of `folded`; on a CPU the same function is computed
without its big tensors, and at least as exactly:

- the first layer acts on points before they are grouped, as it is linear in x_j - c_i and f_j;
- rows are made, activated and multiplied in blocks that stay in cache; only the middle layers' products are kept for
  the backward pass;
- the last layer is pooled before its batch norm and ReLU (through its negative where the norm's weight is negative);
  its statistics come from the Gram matrix of its input, and so do its gradients: batch norm's gradient is affine in its
  input, but for what flows through the few maxima;
- a bias before a batch norm only moves its running mean: its gradient in training is exactly 0;
- one layer alone (an edge convolution) is pooled before it is normed, and has no rows at all: `pooled_layer`.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pointcmt_cli.ops.points.public import gather
from pointcmt_cli.ops.rows.backward import backward
from pointcmt_cli.ops.rows.blocks import Rows
from pointcmt_cli.ops.rows.folded import pooled_folded
from pointcmt_cli.ops.rows.forward import infer, train
from pointcmt_cli.ops.rows.pooled_layer import pooled_layer


def pooled_mlp(
    first: Tensor,
    centres: Tensor | None,
    index: Tensor | None,
    linears: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    last_relu: bool = True,
) -> Tensor:
    """Maxima (B, M, CL) over groups of k rows of an MLP: layers `linears` (nn.Linear) and `norms` (nn.BatchNorm1d).

    Grouped: `first` (B, N, C1) = points @ W1.T, `centres` (B, M, C1) is taken off in each group, `index` (B, M, k).
    Not grouped (both None): `first` (B, M, k, C1) are the rows themselves. The first bias is added here. Make `first`
    in float32 under autocast too: the difference of two rounded products would lose a small ball's shape.

    >>> layers, norms = [nn.Linear(3, 8), nn.Linear(8, 16)], [nn.BatchNorm1d(8), nn.BatchNorm1d(16)]
    >>> points, index = torch.rand(2, 100, 3), torch.randint(0, 100, (2, 10, 32))
    >>> first = points @ layers[0].weight.T  # (B, N, C1), before grouping
    >>> centres = first[:, :10]  # of 10 groups of 32 points
    >>> pooled_mlp(first, centres, index, layers, norms).shape
    torch.Size([2, 10, 16])
    """
    layers = [cast("nn.Linear", each) for each in linears]
    batch_norms = [cast("nn.BatchNorm1d", each) for each in norms]
    training = batch_norms[0].training
    known = all(not n.training and n.running_mean is not None for n in batch_norms)
    if torch.compiler.is_exporting() and known:
        return pooled_folded(first, centres, index, layers, batch_norms, last_relu)
    lone = len(layers) == 1
    fast = _fast(first, batch_norms) and not (lone and index is None)
    if not fast or (torch.is_grad_enabled() and not training):
        plain = straightforward if torch.is_grad_enabled() or not known else pooled_folded
        return plain(first, centres, index, layers, batch_norms, last_relu)
    if lone and centres is not None and index is not None:
        return pooled_layer(first, centres, index, layers[0], batch_norms[0], last_relu)
    if training:
        parameters = [
            each
            for linear, norm in zip(layers, batch_norms, strict=True)
            for each in (linear.weight, linear.bias, norm.weight, norm.bias)
        ]
        pooled: Tensor = _PooledMLP.apply(  # type: ignore[no-untyped-call]
            first, centres, index, layers, batch_norms, last_relu, *parameters
        )
        return pooled
    rows = Rows(first, centres, index)
    with torch.autocast("cpu", enabled=False):
        flat = infer(rows, layers, batch_norms, last_relu, _low_precision())
    return flat.view(rows.batch, rows.centre_count, -1)


def straightforward(
    first: Tensor,
    centres: Tensor | None,
    index: Tensor | None,
    linears: Sequence[nn.Linear],
    norms: Sequence[nn.BatchNorm1d],
    last_relu: bool = True,
) -> Tensor:
    """`pooled_mlp` as one would write it: any device, any autograd."""
    if index is not None and centres is not None:
        first = gather(first, index) - centres[:, :, None]  # (B, M, k, C1)
    values = first.reshape(-1, first.shape[-1])
    if linears[0].bias is not None:
        values = values + linears[0].bias
    for place, norm in enumerate(norms):
        values = norm(linears[place](values) if place else values)
        if last_relu or place + 1 < len(norms):
            values = F.relu(values)
    pooled: Tensor = values.view(*first.shape[:-1], -1).amax(dim=2)
    return pooled


class _PooledMLP(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        centres: Tensor | None,
        index: Tensor | None,
        linears: Sequence[nn.Linear],
        norms: Sequence[nn.BatchNorm1d],
        last_relu: bool,
        *parameters: Tensor | None,
    ) -> Tensor:
        rows = Rows(first, centres, index)
        low = _low_precision()
        with torch.autocast("cpu", enabled=False):
            ctx.layers, ctx.last, ctx.gram, ctx.total = train(rows, linears, norms, low)
            pooled = ctx.last.output(ctx.layers.norms[-1], last_relu)
        ctx.last_relu = last_relu
        ctx.has_bias = [linear.bias is not None for linear in linears]
        ctx.save_for_backward(pooled, *[linear.weight for linear in linears])
        grouped: Tensor = pooled.view(rows.batch, rows.centre_count, -1)
        return grouped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pooled, *weights = ctx.saved_tensors
        gradient = gradient.reshape(pooled.shape).to(pooled.dtype)
        if ctx.last_relu:
            gradient = gradient * (pooled > 0)
        with torch.autocast("cpu", enabled=False):
            first, centres, of_weights, of_norms = backward(
                ctx.layers, ctx.last, ctx.gram, ctx.total, weights, gradient
            )
        flat: list[Tensor | None] = []
        for weight, norm, has_bias in zip(of_weights, of_norms, ctx.has_bias, strict=True):
            bias = torch.zeros_like(norm.bias) if has_bias else None
            flat += [weight, bias, norm.weight, norm.bias]
        return (first, centres, None, None, None, None, *flat)


def _fast(first: Tensor, norms: Sequence[nn.BatchNorm1d]) -> bool:
    usual = all(n.momentum is not None and n.affine and n.track_running_stats for n in norms)
    known = first.device.type == "cpu" and first.dtype in (torch.float32, torch.float64)
    return usual and known and not torch.compiler.is_compiling()


def _low_precision() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
