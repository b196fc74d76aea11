"""`pooled_mlp` of a trained network in plain torch: few operations, norms folded into layers, pooled before the last.

In: as `pooled_mlp`, norms with running statistics; out: (B, M, CL). It is what an exported graph holds, and what
runs on CUDA: each operation is a pass of its own over all rows, so that what can be done to points or to maxima is not
done to rows. The last product is made channels first: its maxima are then over neighbours in memory.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_cli.ops.points.plain import flat
from pointcmt_cli.ops.points.public import gather


def pooled_folded(
    first: Tensor,
    centres: Tensor | None,
    index: Tensor | None,
    linears: Sequence[nn.Linear],
    norms: Sequence[nn.BatchNorm1d],
    last_relu: bool,
) -> Tensor:
    """Maxima (B, M, CL) over the groups."""
    affine = [folded(*pair) for pair in zip(linears, norms, strict=True)]
    scale, shift = affine[-1]
    # where a norm turns its channel around, the largest output is of the smallest input
    sign = torch.where(scale < 0, -1.0, 1.0).to(scale)
    if len(linears) == 1:
        best = largest(first * sign, index) * sign
        best = best if centres is None else best - centres
    else:
        rows = activated(first, centres, index, *affine[0])  # (B, M, k, C1)
        for linear, (by, to) in zip(linears[1:-1], affine[1:-1], strict=True):
            rows = F.relu(F.linear(rows, linear.weight * by[:, None], to))
        values = rows.reshape(-1, rows.shape[-1])
        products = F.linear(
            values, linears[-1].weight * sign[:, None]
        ).mT.contiguous()  # (CL, B M k)
        maxima = products.view(len(products), -1, rows.shape[2]).amax(dim=-1)
        best = maxima.mT.reshape(*rows.shape[:2], -1) * sign
    pooled = best * scale + shift
    return F.relu(pooled) if last_relu else pooled


def folded(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) of the norm, for the layer's products without its bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    mean = norm.running_mean if linear.bias is None else norm.running_mean - linear.bias
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def activated(
    first: Tensor, centres: Tensor | None, index: Tensor | None, scale: Tensor, shift: Tensor
) -> Tensor:
    """Rows (B, M, k, C1) after the first layer."""
    if index is None or centres is None:
        return F.relu(first * scale + shift)
    return F.relu(gather(first * scale, index) - (centres * scale - shift)[:, :, None])


def largest(first: Tensor, index: Tensor | None) -> Tensor:
    """Maxima (B, M, C) over the groups of points, or of the rows themselves.

    Neighbour after neighbour, as all groups at once are k times as large: gigabytes of a batch of edge convolutions.
    """
    if index is None:
        return first.amax(dim=2)
    rows = first.reshape(-1, first.shape[-1])
    columns = flat(index, first.shape[1]).view(-1, index.shape[2]).unbind(dim=1)
    best = rows.index_select(0, columns[0])
    for column in columns[1:]:
        best = torch.maximum(best, rows.index_select(0, column))
    return best.view(*index.shape[:2], -1)
