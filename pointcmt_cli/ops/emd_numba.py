"""The assignment behind the earth mover's distance on the CPU: a Gauss-Seidel auction for one pair of clouds.

In: clouds (N, 3), finite. Out: for each point of the first the index of its partner in the second, a bijection.
Source: Bertsekas, "Auction algorithms", with epsilon scaling. O(N) memory; distances are computed when needed.

Ours: a bidder remembers its NEAR best partners and the value of the next one. Prices only rise, so while its second
best of those is no dearer than that value, no other partner can matter, and it need not look at all N again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.points_numba import compiled

NEAR = 8


@compiled
def auction(
    first: NDArray[Any], second: NDArray[Any], steps: NDArray[Any], partners: NDArray[np.int64]
) -> None:
    """Fill `partners` (N,). `steps` are the epsilons, falling, as shares of the longest side of the pair's box.

    The mean distance found exceeds the best one by at most the last step times that side, and in practice by far less.
    """
    number = len(first)
    kind = first.dtype.type
    infinite = kind(np.inf)
    x, y, z = second[:, 0].copy(), second[:, 1].copy(), second[:, 2].copy()
    side = kind(0)
    for axis in range(3):
        low = min(first[:, axis].min(), second[:, axis].min())
        high = max(first[:, axis].max(), second[:, axis].max())
        side = max(side, high - low)
    kept = min(NEAR, number)
    prices = np.zeros(number, first.dtype)
    values = np.empty(number, first.dtype)
    near = np.empty((number, kept), np.int64)
    distances = np.empty((number, kept), first.dtype)
    bounds = np.full(number, kind(-1))  # below every value: nothing remembered yet
    least = np.empty(kept + 1, first.dtype)
    least_index = np.empty(kept + 1, np.int64)
    owner = np.empty(number, np.int64)
    waiting = np.empty(number, np.int64)
    for step in steps:
        owner[:] = -1
        for i in range(number):
            waiting[i] = number - 1 - i
        left = number
        while left > 0:
            bidder = waiting[left - 1]
            best, lowest, second_lowest = 0, infinite, infinite
            if bounds[bidder] >= 0:
                for c in range(kept):
                    value = distances[bidder, c] + prices[near[bidder, c]]
                    if value < lowest:
                        best, lowest, second_lowest = c, value, lowest
                    elif value < second_lowest:
                        second_lowest = value
            if bounds[bidder] < 0 or second_lowest > bounds[bidder]:
                px, py, pz = first[bidder, 0], first[bidder, 1], first[bidder, 2]
                for j in range(number):
                    dx = x[j] - px
                    dy = y[j] - py
                    dz = z[j] - pz
                    values[j] = np.sqrt(dx * dx + dy * dy + dz * dz) + prices[j]
                held = 0
                limit = infinite
                for j in range(number):
                    value = values[j]
                    if value < limit:
                        place = min(held, kept)
                        held = place + 1
                        while place > 0 and least[place - 1] > value:
                            least[place] = least[place - 1]
                            least_index[place] = least_index[place - 1]
                            place -= 1
                        least[place] = value
                        least_index[place] = j
                        if held > kept:
                            limit = least[kept]
                for c in range(kept):
                    near[bidder, c] = least_index[c]
                    distances[bidder, c] = least[c] - prices[least_index[c]]
                bounds[bidder] = limit
                best, lowest, second_lowest = 0, least[0], least[1]
            if number == 1:
                second_lowest = lowest
            partner = near[bidder, best]
            raised = prices[partner] + (second_lowest - lowest) + step * side
            # a rise too small for the number to register must still happen, or two bidders swap for ever
            prices[partner] = max(raised, np.nextafter(prices[partner], infinite))
            left -= 1
            if owner[partner] >= 0:
                waiting[left] = owner[partner]
                left += 1
            owner[partner] = bidder
    for j in range(number):
        partners[owner[j]] = j
