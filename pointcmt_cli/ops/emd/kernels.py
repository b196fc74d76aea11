"""The assignment behind the earth mover's distance on the CPU: the cheapest one-to-one match of one pair of clouds.

In: clouds (N, 3), finite, float32, the longest side of their box about 1. Out: the index of each point's partner.
An auction with falling epsilon (Bertsekas, "Auction algorithms") leaves prices close to the best ones; from them, each
point without a partner takes the shortest augmenting path (Jonker & Volgenant, "A shortest augmenting path algorithm
for dense and sparse linear assignment problems"). The match is the optimal one but for rounding, in O(N) memory.

Distances are computed when needed. Each loop below does one thing, so that LLVM makes vector code of it; minima are
taken over the bits of the numbers, which order like the numbers themselves as long as none is negative.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.compiling import NO_NANS, compiled

STEPS = np.array([0.05 * 0.25**i for i in range(4)], np.float32)
"""Epsilons of the auction. They change the time, not the match."""

_Floats = NDArray[np.float32]
_Indices = NDArray[np.int64]
_Objects = tuple[_Floats, _Floats, _Floats, _Floats]  # x, y, z and prices of the second cloud
_Row = tuple[_Floats, NDArray[np.int32], NDArray[np.int32]]  # values, their bits, 0 to N - 1


@compiled(fastmath=NO_NANS)
def assign(first: _Floats, second: _Floats, partners: _Indices) -> None:
    """Fill `partners` (N,)."""
    number = len(first)
    if number == 1:
        partners[0] = 0
        return
    prices = np.zeros(number, np.float32)
    objects = (second[:, 0].copy(), second[:, 1].copy(), second[:, 2].copy(), prices)
    values = np.empty(number, np.float32)
    row = (values, values.view(np.int32), np.arange(number).astype(np.int32))
    owner = np.empty(number, np.int64)
    for step in STEPS:
        auction(first, objects, row, step, owner)
    best = np.empty(number, np.float32)
    alone = settle(first, objects, row, owner, best, partners)
    augment(first, objects, row, owner, best, partners, alone)


@compiled(fastmath=NO_NANS)
def auction(
    bidders: _Floats, objects: _Objects, row: _Row, step: np.float32, owner: _Indices
) -> None:
    """Start anew from the present prices and raise them until every object has an owner (Gauss-Seidel)."""
    number = len(bidders)
    prices = objects[3]
    owner[:] = -1
    waiting = np.arange(number)[::-1].copy()
    left = number
    while left > 0:
        bidder = waiting[left - 1]
        left -= 1
        chosen, lowest, second_lowest = two_lowest(bidders[bidder], objects, row)
        prices[chosen] += (second_lowest - lowest) + step
        if owner[chosen] >= 0:
            waiting[left] = owner[chosen]
            left += 1
        owner[chosen] = bidder


@compiled(fastmath=NO_NANS)
def settle(
    bidders: _Floats,
    objects: _Objects,
    row: _Row,
    owner: _Indices,
    best: _Floats,
    partners: _Indices,
) -> _Indices:
    """Give bidders the object that is cheapest for them; those left without are returned.

    Prices rise only as far as they may without any owner wishing for another object (Jonker and Volgenant's
    augmenting row reduction), N times at most. `best` (N,) is what an owner pays: distance plus price.
    """
    number = len(bidders)
    prices = objects[3]
    owner[:] = -1
    partners[:] = -1
    waiting = np.arange(number)[::-1].copy()
    alone = np.empty(number, np.int64)
    left, lonely, rises = number, 0, 0
    while left > 0:
        bidder = waiting[left - 1]
        left -= 1
        chosen, lowest, second_lowest = two_lowest(bidders[bidder], objects, row)
        best[bidder] = lowest
        former = owner[chosen]
        if former >= 0:
            if second_lowest == lowest or rises == number:
                alone[lonely] = bidder
                lonely += 1
                continue
            rises += 1
            prices[chosen] += second_lowest - lowest
            best[bidder] = second_lowest
            partners[former] = -1
            waiting[left] = former
            left += 1
        owner[chosen] = bidder
        partners[bidder] = chosen
    return alone[:lonely]


@compiled(fastmath=NO_NANS)
def augment(
    bidders: _Floats,
    objects: _Objects,
    row: _Row,
    owner: _Indices,
    best: _Floats,
    partners: _Indices,
    alone: _Indices,
) -> None:
    """Match those who are alone, each along the shortest path of exchanges to a free object (Dijkstra's)."""
    number = len(bidders)
    prices, values = objects[3], row[0]
    limits = np.empty(number, np.float32)
    via = np.empty(number, np.int32)
    reached = np.empty(number, np.int64)
    depths = np.empty(number, np.float32)
    for root in alone:
        best[root] = two_lowest(bidders[root], objects, row)[1]
        values[:] = np.inf
        limits[:] = np.inf
        bidder, depth, count = root, np.float32(0), 0
        while True:
            start = best[bidder] - depth
            relax(bidders[bidder], objects, start, np.int32(bidder), limits, via, values)
            nearest = lowest_place(row)
            depth = values[nearest]
            if owner[nearest] < 0:
                break
            values[nearest] = np.inf
            limits[nearest] = -1  # below every length: done with
            reached[count], depths[count] = nearest, depth
            count += 1
            bidder = owner[nearest]
        best[root] += depth
        for k in range(count):
            rise = depth - depths[k]
            prices[reached[k]] += rise
            best[owner[reached[k]]] += rise
        bidder = -1
        while bidder != root:
            bidder = via[nearest]
            owner[nearest] = bidder
            before = partners[bidder]
            partners[bidder] = nearest
            nearest = before


@compiled(fastmath=NO_NANS)
def relax(
    bidder: _Floats,
    objects: _Objects,
    start: np.float32,
    name: np.int32,
    limits: _Floats,
    via: NDArray[np.int32],
    values: _Floats,
) -> None:
    """Shorten the paths to those objects that this bidder reaches by a shorter one."""
    x, y, z, prices = objects
    px, py, pz = bidder[0], bidder[1], bidder[2]
    for j in range(len(x)):
        dx = x[j] - px
        dy = y[j] - py
        dz = z[j] - pz
        length = max(np.sqrt(dx * dx + dy * dy + dz * dz) + prices[j] - start, np.float32(0))
        shorter = length < limits[j]
        limits[j] = length if shorter else limits[j]
        values[j] = length if shorter else values[j]
        via[j] = name if shorter else via[j]


@compiled(fastmath=NO_NANS)
def two_lowest(bidder: _Floats, objects: _Objects, row: _Row) -> Any:
    """The object that costs this bidder least, what it costs (distance plus price), and what the next one does."""
    x, y, z, prices = objects
    values = row[0]
    px, py, pz = bidder[0], bidder[1], bidder[2]
    for j in range(len(x)):
        dx = x[j] - px
        dy = y[j] - py
        dz = z[j] - pz
        values[j] = np.sqrt(dx * dx + dy * dy + dz * dz) + prices[j]
    chosen = lowest_place(row)
    lowest = values[chosen]
    values[chosen] = np.inf
    row[1][chosen] = lowest_bits(row[1])
    return chosen, lowest, values[chosen]


@compiled(fastmath=NO_NANS)
def lowest_place(row: _Row) -> Any:
    """Index of the lowest value, the first of equal ones."""
    _, bits, index = row
    lowest = lowest_bits(bits)
    last = index[len(index) - 1]
    place = last
    for j in range(len(bits)):
        place = min(place, index[j] if bits[j] == lowest else last)
    return place


@compiled(fastmath=NO_NANS)
def lowest_bits(bits: NDArray[np.int32]) -> Any:
    """The smallest."""
    lowest = bits[0]
    for j in range(len(bits)):
        lowest = min(lowest, bits[j])
    return lowest
