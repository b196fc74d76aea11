"""Point operations on CUDA: Triton kernels, one program per cloud, centre or query, no synchronisation with the host.

Same arithmetic, in the same order, as the plain-torch forms in `plain`, hence the same indices: kernels are
compiled without fused multiply-adds. What does not fit one program's registers goes to the plain form.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointcmt_cli.ops.points import plain

_MOST_BYTES = 32768
"""Of one row of coordinates or distances that a program holds: 8,192 points in float32."""


def probe() -> None:
    """Raise what keeps Triton from compiling here: no C compiler, an unknown driver."""
    farthest_points(torch.zeros(1, 1, 3, device="cuda"), 1)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """(B, count)."""
    batch, number, _ = points.shape
    if number * points.element_size() > _MOST_BYTES:
        return plain.farthest_points(points, count)
    chosen = torch.empty(batch, count, dtype=torch.int64, device=points.device)
    block = triton.next_power_of_2(number)
    _farthest_points[(batch,)](
        points.contiguous(), chosen, number, count, block, **_warps(block, 128)
    )
    return chosen


def ball_query(
    points: Tensor, centres: Tensor, radii: Sequence[float], counts: Sequence[int]
) -> tuple[Tensor, ...]:
    """(B, M, k) per radius, all in one pass."""
    batch, middles, _ = centres.shape
    rows, number = batch * middles, points.shape[1]
    found = torch.empty(rows * sum(counts), dtype=torch.int64, device=points.device)
    squares, limits = _limits(tuple(radii), tuple(counts), points.dtype, points.device)
    block = min(1024, triton.next_power_of_2(number))
    if rows:
        _ball_query[(rows,)](
            points.contiguous(),
            centres.contiguous(),
            squares,
            limits,
            found,
            number,
            middles,
            len(counts),
            triton.next_power_of_2(len(counts)),
            block,
            **_warps(block, 256),
        )
    parts = zip(torch.split(found, [rows * count for count in counts]), counts, strict=True)
    return tuple(part.view(batch, middles, count).clone() for part, count in parts)


def k_nearest(points: Tensor, queries: Tensor, count: int) -> Tensor:
    """(B, M, count); up to three channels without the matrix of distances."""
    (batch, number, channels), asked = points.shape, queries.shape[1]
    if number * points.element_size() > _MOST_BYTES:
        return plain.k_nearest(points, queries, count)
    held, exact = min(count, number), channels <= 3
    index = torch.empty(batch, asked, held, dtype=torch.int64, device=points.device)
    squares = points if exact else plain.square_distances(queries, points)
    block = triton.next_power_of_2(number)
    if index.numel():
        _k_nearest[(batch * asked,)](
            points.contiguous(),
            queries.contiguous(),
            squares.contiguous(),
            index,
            number,
            asked,
            held,
            channels if exact else 0,
            block,
            **_warps(block, 256),
        )
    return plain.filled(index, count)


def _warps(block: int, elements: int) -> dict[str, Any]:
    """`elements` per warp, at most 32 warps; without fused multiply-adds."""
    return {"num_warps": max(1, min(32, block // elements)), "enable_fp_fusion": False}


@cache
def _limits(
    radii: tuple[float, ...], counts: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """On the device, copied there once."""
    squares = torch.tensor([radius * radius for radius in radii], dtype=dtype, device=device)
    return squares, torch.tensor(counts, dtype=torch.int32, device=device)


@triton.jit  # type: ignore[untyped-decorator]
def _farthest_points(points, chosen, number, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    cloud = tl.program_id(0).to(tl.int64)
    points += cloud * number * 3
    chosen += cloud * count
    column = tl.arange(0, BLOCK)
    real = column < number
    x = tl.load(points + 3 * column, real, 0.0)
    y = tl.load(points + 3 * column + 1, real, 0.0)
    z = tl.load(points + 3 * column + 2, real, 0.0)
    nearest = tl.where(real, x - x + float("inf"), -1.0)
    last = tl.argmax(tl.where(column == 0, 1, 0), 0)
    for step in range(count):
        tl.store(chosen + step, last)
        dx = x - tl.load(points + 3 * last)
        dy = y - tl.load(points + 3 * last + 1)
        dz = z - tl.load(points + 3 * last + 2)
        nearest = tl.minimum(nearest, dx * dx + dy * dy + dz * dz)
        last = tl.argmax(nearest, 0, tie_break_left=True)


@triton.jit  # type: ignore[untyped-decorator]
def _ball_query(  # type: ignore[no-untyped-def]
    points,
    centres,
    squares,
    limits,
    found,
    number,
    middles,
    RADII: tl.constexpr,  # noqa: N803
    SLOTS: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0).to(tl.int64)
    points += row // middles * number * 3
    cx = tl.load(centres + 3 * row)
    cy = tl.load(centres + 3 * row + 1)
    cz = tl.load(centres + 3 * row + 2)
    rows = tl.num_programs(0).to(tl.int64)
    slot = tl.arange(0, SLOTS)
    column = tl.arange(0, BLOCK)
    hits = tl.zeros([SLOTS], tl.int32)
    first = tl.zeros([SLOTS], tl.int32)
    best = cx - cx + float("inf")
    closest = tl.sum(tl.where(column == 0, column, 0), 0)
    for start in range(0, number, BLOCK):
        j = start + column
        real = j < number
        dx = tl.load(points + 3 * j, real, float("inf")) - cx
        dy = tl.load(points + 3 * j + 1, real, float("inf")) - cy
        dz = tl.load(points + 3 * j + 2, real, float("inf")) - cz
        square = dx * dx + dy * dy + dz * dz
        low = tl.min(square, 0)
        closest = tl.where(low < best, start + tl.argmin(square, 0, tie_break_left=True), closest)
        best = tl.minimum(best, low)
        table = found
        for r in tl.static_range(RADII):
            count = tl.load(limits + r)
            inside = square < tl.load(squares + r)
            before = tl.sum(tl.where(slot == r, hits, 0), 0)
            place = before + tl.cumsum(inside.to(tl.int32), 0) - 1
            tl.store(table + row * count + place, j.to(tl.int64), inside & (place < count))
            lowest = tl.min(tl.where(inside, j, number), 0)
            first = tl.where((slot == r) & (hits == 0), lowest, first)
            hits = tl.where(slot == r, hits + tl.sum(inside.to(tl.int32), 0), hits)
            table += rows * count
    first = tl.where(hits == 0, closest, first)
    table = found
    for r in tl.static_range(RADII):
        count = tl.load(limits + r)
        filler = tl.sum(tl.where(slot == r, first, 0), 0).to(tl.int64)
        held = tl.sum(tl.where(slot == r, hits, 0), 0)
        for start in range(0, count, BLOCK):
            place = start + column
            tl.store(table + row * count + place, filler, (place >= held) & (place < count))
        table += rows * count


@triton.jit  # type: ignore[untyped-decorator]
def _k_nearest(  # type: ignore[no-untyped-def]
    points,
    queries,
    squares,
    index,
    number,
    asked,
    count,
    CHANNELS: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    real = column < number
    if CHANNELS == 0:
        square = tl.load(squares + row * number + column, real, float("inf"))
    else:
        points += row // asked * number * CHANNELS
        queries += row * CHANNELS
        difference = tl.load(points + CHANNELS * column, real, float("inf")) - tl.load(queries)
        square = difference * difference
        for c in tl.static_range(1, CHANNELS):
            difference = tl.load(points + CHANNELS * column + c, real, 0.0) - tl.load(queries + c)
            square += difference * difference
    for place in range(count):
        nearest = tl.argmin(square, 0, tie_break_left=True)
        tl.store(index + row * count + place, nearest.to(tl.int64))
        square = tl.where(column == nearest, float("inf"), square)
