"""The assignment behind the earth mover's distance on the CPU: a Gauss-Seidel auction for one pair of clouds.

In: clouds (N, 3), finite. Out: for each point of the first the index of its partner in the second, a bijection.
Source: Bertsekas, "Auction algorithms", with epsilon scaling. O(N) memory; distances are computed when needed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.points_numba import compiled


@compiled
def auction(
    first: NDArray[Any], second: NDArray[Any], steps: NDArray[Any], partners: NDArray[np.int64]
) -> None:
    """Fill `partners` (N,). `steps` are the epsilons, falling, as shares of the longest side of the pair's box.

    The mean distance found exceeds the best one by at most the last step times that side, and in practice by far less.
    """
    number = len(first)
    kind = first.dtype.type
    x = second[:, 0].copy()
    y = second[:, 1].copy()
    z = second[:, 2].copy()
    side = kind(0)
    for axis in range(3):
        low = min(first[:, axis].min(), second[:, axis].min())
        high = max(first[:, axis].max(), second[:, axis].max())
        side = max(side, high - low)
    prices = np.zeros(number, first.dtype)
    values = np.empty(number, first.dtype)
    owner = np.empty(number, np.int64)
    waiting = np.empty(number, np.int64)
    for step in steps:
        owner[:] = -1
        for i in range(number):
            waiting[i] = number - 1 - i
        left = number
        while left > 0:
            bidder = waiting[left - 1]
            px, py, pz = first[bidder, 0], first[bidder, 1], first[bidder, 2]
            lowest = kind(np.inf)
            for j in range(number):
                dx = x[j] - px
                dy = y[j] - py
                dz = z[j] - pz
                value = np.sqrt(dx * dx + dy * dy + dz * dz) + prices[j]
                values[j] = value
                lowest = min(lowest, value)
            best = 0
            for j in range(number):
                if values[j] == lowest:
                    best = j
                    break
            values[best] = kind(np.inf)
            second_lowest = kind(np.inf)
            for j in range(number):
                second_lowest = min(second_lowest, values[j])
            if number == 1:
                second_lowest = lowest
            raised = prices[best] + (second_lowest - lowest) + step * side
            # a rise too small for the number to register must still happen, or two bidders swap for ever
            prices[best] = max(raised, np.nextafter(prices[best], kind(np.inf)))
            left -= 1
            if owner[best] >= 0:
                waiting[left] = owner[best]
                left += 1
            owner[best] = bidder
    for j in range(number):
        partners[owner[j]] = j
