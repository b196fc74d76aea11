"""The assignment behind the earth mover's distance on CUDA: Triton, one program per pair, no word from the host.

In: clouds (B, N, 3), finite, float32, box about 1, N at most MOST. Out: partners (B, N). The method is that of
`kernels`, with several bidders at a time in the auction and more epsilons, since shortest paths are one long chain of
small steps. Prices, owners and waiting line of a pair lie in a scratch row that stays in its processor's cache.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST = 8192
"""Points of a cloud; what has more is matched on the CPU."""
STEPS = 6
"""Epsilons: .05 of the box, each a quarter of the one before."""


def match(x: Tensor, y: Tensor) -> Tensor:
    """Partner in y (B, N) of each point of x (B, N, 3)."""
    batch, number, _ = x.shape
    if number == 1 or not batch:
        return torch.zeros(batch, number, dtype=torch.int64, device=x.device)
    clouds = torch.cat([x, y], dim=1).mT.contiguous()  # (B, 3, 2 N)
    partners = torch.empty(batch, number, dtype=torch.int64, device=x.device)
    prices = torch.zeros(batch, number, dtype=torch.float32, device=x.device)
    scratch = torch.empty(batch, 4, number, dtype=torch.int32, device=x.device)
    block = triton.next_power_of_2(number)
    wide = max(1, min(16, MOST // block))
    options: dict[str, Any] = {"num_warps": max(1, wide * block // 1024), "enable_fp_fusion": False}
    _match[(batch,)](clouds, partners, prices, scratch, number, STEPS, block, wide, **options)
    return partners


@triton.jit  # type: ignore[untyped-decorator]
def _match(  # type: ignore[no-untyped-def]
    clouds,
    partners,
    prices,
    scratch,
    number,
    STEPS: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    WIDE: tl.constexpr,  # noqa: N803
):
    pair = tl.program_id(0).to(tl.int64)
    bidders = clouds + pair * 6 * number
    partners += pair * number
    prices += pair * number
    owner = scratch + pair * 4 * number
    waiting = owner + number
    held = waiting + number
    via = held + number
    column = tl.arange(0, BLOCK)
    real = column < number
    x = tl.load(bidders + number + column, real, 0.0)
    y = tl.load(bidders + 3 * number + column, real, 0.0)
    z = tl.load(bidders + 5 * number + column, real, 0.0)
    step = 0.05
    for _ in range(STEPS):
        _auction(bidders, x, y, z, prices, owner, waiting, number, step, column, BLOCK, WIDE)
        step *= 0.25
    alone = _settle(bidders, x, y, z, prices, owner, waiting, held, number, column, BLOCK, WIDE)
    while alone > 0:
        alone -= 1
        root = tl.load(waiting + alone)
        _augment(bidders, x, y, z, prices, owner, held, via, number, root, column, BLOCK)
    tl.store(partners + column, tl.load(held + column, real, 0).to(tl.int64), real)


@triton.jit  # type: ignore[untyped-decorator]
def _auction(  # type: ignore[no-untyped-def]
    bidders, x, y, z, prices, owner, waiting, number, step, column,
    BLOCK: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Start anew from the present prices and raise them until every object has an owner."""
    real = column < number
    slot = tl.arange(0, WIDE)
    tl.store(owner + column, -1, real)
    tl.store(waiting + column, number - 1 - column, real)
    tl.debug_barrier()
    left = number
    while left > 0:
        active = slot < left
        bidder = tl.load(waiting + left - 1 - slot, active, 0)
        chosen, lowest, second_lowest = _two_lowest(
            bidders, bidder, x, y, z, prices, number, column, BLOCK, WIDE
        )
        rise = second_lowest - lowest + step
        won = active & _first(chosen, rise, active, slot, WIDE)
        former = tl.load(owner + chosen, won, -1)
        price = tl.load(prices + chosen, won, 0.0)
        back = tl.where(won, former, bidder)
        again = active & (back >= 0)
        left = tl.maximum(left - WIDE, 0)
        place = left + tl.cumsum(again.to(tl.int32), 0) - 1
        left += tl.sum(again.to(tl.int32), 0)
        tl.debug_barrier()
        tl.store(prices + chosen, price + rise, won)
        tl.store(owner + chosen, bidder, won)
        tl.store(waiting + place, back, again)
        tl.debug_barrier()


@triton.jit  # type: ignore[untyped-decorator]
def _settle(  # type: ignore[no-untyped-def]
    bidders, x, y, z, prices, owner, waiting, held, number, column,
    BLOCK: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Give each bidder the object that is cheapest for it, unless another has it; who is left waits, and how many."""
    slot = tl.arange(0, WIDE)
    tl.store(owner + column, -1, column < number)
    tl.debug_barrier()
    alone = number - number
    start = number - number
    while start < number:
        bidder = start + slot
        active = bidder < number
        chosen, lowest, _ = _two_lowest(
            bidders, tl.where(active, bidder, 0), x, y, z, prices, number, column, BLOCK, WIDE
        )
        free = tl.load(owner + chosen, active, 0) < 0
        won = active & free & _first(chosen, lowest - lowest, active, slot, WIDE)
        lost = active & (won == 0)
        place = alone + tl.cumsum(lost.to(tl.int32), 0) - 1
        alone += tl.sum(lost.to(tl.int32), 0)
        tl.debug_barrier()
        tl.store(owner + chosen, bidder, won)
        tl.store(held + bidder, chosen, won)
        tl.store(waiting + place, bidder, lost)
        tl.debug_barrier()
        start += WIDE
    return alone


@triton.jit  # type: ignore[untyped-decorator]
def _augment(  # type: ignore[no-untyped-def]
    bidders, x, y, z, prices, owner, held, via, number, root, column, BLOCK: tl.constexpr  # noqa: N803
):  # fmt: skip
    """Match one bidder along the shortest path of exchanges to a free object (Dijkstra's)."""
    real = column < number
    price = tl.load(prices + column, real, float("inf"))
    limits = tl.where(real, x - x + float("inf"), -1.0)
    depths = x - x
    before = tl.zeros([BLOCK], tl.int32)
    bidder = root
    cost = _distances(bidders, bidder, x, y, z, number) + price
    depth = tl.min(cost, 0) * 0.0
    start = tl.min(cost, 0)
    nearest = root * 0
    while bidder >= 0:
        cost = _distances(bidders, bidder, x, y, z, number) + price
        length = tl.maximum(cost - (start - depth), 0.0)
        shorter = length < limits
        limits = tl.where(shorter, length, limits)
        before = tl.where(shorter, bidder, before)
        values = tl.where(limits < 0, float("inf"), limits)
        depth = tl.min(values, 0)
        nearest = tl.argmin(values, 0, tie_break_left=True)
        here = column == nearest
        bidder = tl.load(owner + nearest)
        closed = here & (bidder >= 0)
        depths = tl.where(closed, depth, depths)
        limits = tl.where(closed, -1.0, limits)
        other = tl.maximum(bidder, 0)
        start = tl.sum(tl.where(here, _distances(bidders, other, x, y, z, number) + price, 0.0), 0)
    tl.debug_barrier()
    tl.store(prices + column, tl.where(limits < 0, price + (depth - depths), price), real)
    tl.store(via + column, before, real)
    tl.debug_barrier()
    while bidder != root:
        bidder = tl.load(via + nearest)
        following = tl.load(held + bidder, bidder != root, 0)
        tl.debug_barrier()
        tl.store(owner + nearest, bidder)
        tl.store(held + bidder, nearest)
        nearest = following
    tl.debug_barrier()


@triton.jit
def _distances(bidders, bidder, x, y, z, number):  # type: ignore[no-untyped-def]
    dx = x - tl.load(bidders + bidder)
    dy = y - tl.load(bidders + 2 * number + bidder)
    dz = z - tl.load(bidders + 4 * number + bidder)
    return tl.sqrt_rn(dx * dx + dy * dy + dz * dz)


@triton.jit  # type: ignore[untyped-decorator]
def _two_lowest(  # type: ignore[no-untyped-def]
    bidders, bidder, x, y, z, prices, number, column,
    BLOCK: tl.constexpr, WIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Of each bidder (WIDE,): the cheapest object, what it costs (distance plus price), and what the next one does."""
    price = tl.load(prices + column, column < number, float("inf"))
    dx = x[None, :] - tl.load(bidders + bidder)[:, None]
    dy = y[None, :] - tl.load(bidders + 2 * number + bidder)[:, None]
    dz = z[None, :] - tl.load(bidders + 4 * number + bidder)[:, None]
    values = tl.sqrt_rn(dx * dx + dy * dy + dz * dz) + price[None, :]
    lowest = tl.min(values, 1)
    chosen = tl.argmin(values, 1, tie_break_left=True)
    rest = tl.where(column[None, :] == chosen[:, None], float("inf"), values)
    second_lowest = tl.min(rest, 1)
    return chosen, lowest, second_lowest


@triton.jit  # type: ignore[untyped-decorator]
def _first(chosen, offer, active, slot, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    """Whether a bidder's offer is the highest for what it chose; among equal ones the first is."""
    rival = (chosen[:, None] == chosen[None, :]) & active[None, :]
    higher = offer[None, :] > offer[:, None]
    earlier = (offer[None, :] == offer[:, None]) & (slot[None, :] < slot[:, None])
    return tl.sum((rival & (higher | earlier)).to(tl.int32), 1) == 0
