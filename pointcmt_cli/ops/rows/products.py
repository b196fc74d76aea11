"""Matrix products of rows on the CPU, float32, by the library that uses the processor's whole width.

torch multiplies by MKL, which on AMD's processors leaves AVX-512 alone, and is half as fast there as oneDNN, which
torch has as well. Both are exact to the same digits. oneDNN is taken where that is known to be so, MKL everywhere else.

In: rows (R, K), contiguous, without gradients. `low`: of bfloat16 inputs.
"""

from functools import cache
from typing import Any

import torch
from llvmlite import binding
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.ops.compiling import NO_NANS, compiled

_TILE = 16
"""Rows transposed at once: one AVX-512 register of floats."""


def rows_by_weight(
    rows: Tensor, weight: Tensor, low: bool = False, constant: Tensor | None = None
) -> Tensor:
    """Rows @ weight.T (+ constant): (R, K), (D, K), (D,) -> (R, D)."""
    if low:
        product = torch.mm(rows.bfloat16(), weight.t().bfloat16()).to(rows.dtype)
        return product if constant is None else product.add_(constant)
    if wide(rows):
        if not weight.t().is_contiguous():  # nor may it be a part of another: 100 times slower
            weight = weight.contiguous()
        whole: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, constant, "none", [], "")
        return whole
    if constant is None:
        return torch.mm(rows, weight.t())
    return torch.addmm(constant, rows, weight.t())


def rows_crossed(a: Tensor, b: Tensor, low: bool = False) -> Tensor:
    """a.T @ b, summed over the rows: (R, C), (R, D) -> (C, D)."""
    if low:
        return torch.mm(a.t().bfloat16(), b.bfloat16())
    return rows_by_weight(_transposed(a), b.t()) if wide(a) else torch.mm(a.t(), b)


def wide(rows: Tensor) -> bool:
    """Whether oneDNN multiplies these."""
    return rows.dtype == torch.float32 and _prefers_onednn()


@cache
def _prefers_onednn() -> bool:
    amd = binding.get_host_cpu_name().startswith("znver")
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    there = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return amd and wide and there


def _transposed(a: Tensor) -> Tensor:
    out = a.new_empty(a.shape[1], a.shape[0])
    arrays: list[Any] = [each.numpy() for each in (a, out)]
    _transpose(*arrays)
    return out


@compiled(fastmath=NO_NANS)
def _transpose(rows: NDArray[Any], out: NDArray[Any]) -> None:
    """Out (C, R) = rows.T."""
    total, channels = rows.shape
    whole = total // _TILE * _TILE
    for start in range(0, whole, _TILE):
        for c in range(channels):
            for r in range(_TILE):
                out[c, start + r] = rows[start + r, c]
    for r in range(whole, total):
        for c in range(channels):
            out[c, r] = rows[r, c]
