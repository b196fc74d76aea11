"""A linear layer on rows, F.linear in all but speed; public through `pointcmt_cli.api`.

In: rows (..., C) and a weight (D, C); out: (..., D). In float32 on a CPU the products are those of `products`, and the
weight's gradient is summed by parts in float64, so that it keeps its digits and does not depend on the threads.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pointcmt_cli.ops.rows import products
from pointcmt_cli.ops.rows.blocks import PARTS
from pointcmt_cli.ops.threads import cuts, share


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows (..., C) @ weight (C', C).T (+ bias), under autocast in its precision.

    >>> linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
    tensor([[11.5000]])
    """
    if not _fast(rows, weight):
        return F.linear(rows, weight, bias)
    out: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return out


def _fast(rows: Tensor, weight: Tensor) -> bool:
    usual = rows.device.type == "cpu" and rows.dtype == weight.dtype and rows.numel() > 0
    special = torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
    return usual and not special and products.wide(rows)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        flat = rows.detach().reshape(-1, rows.shape[-1]).contiguous()
        out = products.rows_by_weight(flat, weight.detach(), constant=bias)
        return out.view(*rows.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        dz = gradient.reshape(-1, gradient.shape[-1]).contiguous()
        flat = rows.reshape(-1, rows.shape[-1]).contiguous()
        back = products.rows_by_weight(dz, weight.t()).view(rows.shape) if of_rows else None
        across = _crossed(dz, flat).to(weight.dtype) if of_weight else None
        return back, across, dz.sum(dim=0) if of_bias else None


def _crossed(a: Tensor, b: Tensor) -> Tensor:
    """a.T @ b (C, D), float64."""
    runs = cuts(len(a), PARTS)
    sums = torch.zeros(len(runs), a.shape[1], b.shape[1], dtype=torch.float64)

    def run(part: int) -> None:
        sums[part] = products.rows_crossed(a[slice(*runs[part])], b[slice(*runs[part])])

    share(run, len(runs))
    return sums.sum(dim=0)
