"""The assignment behind the earth mover's distance on the CPU: a Gauss-Seidel auction, one pair of clouds per thread.

In: clouds (B, N, 3), finite. Out: for each point of the first the index of its partner in the second, a bijection.
Source: Bertsekas, "Auction algorithms", with epsilon scaling. O(N) memory per pair; distances are computed when needed.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.points_numba import compiled


@compiled
def auction(
    first: NDArray[Any],
    second: NDArray[Any],
    steps: NDArray[Any],
    partners: NDArray[np.int64],
) -> None:
    """Fill `partners` (B, N). `steps` are the epsilons, falling, as shares of the longest side of the pair's box.

    The mean distance found exceeds the best one by at most the last step times that side, and in practice by far less.
    """
    batch, number = first.shape[:2]
    for b in numba.prange(batch):
        x = second[b, :, 0].copy()
        y = second[b, :, 1].copy()
        z = second[b, :, 2].copy()
        side = steps[0] - steps[0]
        for axis in range(3):
            low = min(first[b, :, axis].min(), second[b, :, axis].min())
            high = max(first[b, :, axis].max(), second[b, :, axis].max())
            side = max(side, high - low)
        prices = np.zeros(number, first.dtype)
        values = np.empty(number, first.dtype)
        owner = np.empty(number, np.int64)
        waiting = np.empty(number, np.int64)
        for step in steps:
            epsilon = max(step * side, np.finfo(first.dtype).tiny)
            owner[:] = -1
            for i in range(number):
                waiting[i] = number - 1 - i
            left = number
            while left > 0:
                bidder = waiting[left - 1]
                px, py, pz = first[b, bidder, 0], first[b, bidder, 1], first[b, bidder, 2]
                lowest = values.dtype.type(np.inf)
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
                values[best] = np.inf
                next_lowest = values.dtype.type(np.inf)
                for j in range(number):
                    next_lowest = min(next_lowest, values[j])
                if number == 1:
                    next_lowest = lowest
                # a price too large for the step to register still has to rise, or two bidders swap for ever
                raised = prices[best] + (next_lowest - lowest) + epsilon
                prices[best] = max(raised, np.nextafter(prices[best], values.dtype.type(np.inf)))
                left -= 1
                if owner[best] >= 0:
                    waiting[left] = owner[best]
                    left += 1
                owner[best] = bidder
        for j in range(number):
            partners[b, owner[j]] = j
