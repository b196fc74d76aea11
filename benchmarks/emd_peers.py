"""What emd.py compares with: the auction that point-cloud papers use, and distances for scipy's solver.

The auction is that of the CUDA code behind "Morphing and Sampling Network" (Liu et al., AAAI 2020) and PointCMT,
written anew: all free bidders bid at once (Jacobi), epsilon .05, up to 3,000 rounds; who is free then shares an object.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from pointcmt_cli.ops.compiling import NO_NANS, compiled

EPSILON = 0.05
ROUNDS = 3000


def distances(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, N), as users make them for scipy's solver."""
    return np.asarray(cdist(x, y))


@compiled(fastmath=NO_NANS)
def reference_auction(
    x: NDArray[np.float32], y: NDArray[np.float32], partners: NDArray[np.int64]
) -> int:
    """Fill `partners` (N,), not always a bijection; the number of rounds it took."""
    number = len(x)
    y0, y1, y2 = y[:, 0].copy(), y[:, 1].copy(), y[:, 2].copy()
    prices = np.zeros(number, np.float32)
    owner = np.full(number, -1, np.int64)
    wanted = np.empty(number, np.int64)
    offers = np.empty(number, np.float32)
    highest = np.empty(number, np.float32)
    winner = np.empty(number, np.int64)
    partners[:] = -1
    for turn in range(ROUNDS):
        free = 0
        highest[:] = -1
        for i in range(number):
            if partners[i] >= 0:
                continue
            free += 1
            wanted[i], offers[i] = bid(x[i], y0, y1, y2, prices)
            if offers[i] > highest[wanted[i]]:
                highest[wanted[i]] = offers[i]
                winner[wanted[i]] = i
        if free == 0:
            return turn
        for j in range(number):
            if highest[j] >= 0:
                if owner[j] >= 0:
                    partners[owner[j]] = -1
                owner[j] = winner[j]
                partners[winner[j]] = j
                prices[j] += highest[j]
    for i in range(number):
        if partners[i] < 0:
            partners[i] = bid(x[i], y0, y1, y2, prices)[0]
    return ROUNDS


@compiled(fastmath=NO_NANS)
def bid(
    point: NDArray[np.float32],
    y0: NDArray[np.float32],
    y1: NDArray[np.float32],
    y2: NDArray[np.float32],
    prices: NDArray[np.float32],
) -> Any:
    """The object of the least cost, and by how much its price may rise: one loop, as in the CUDA code."""
    best, lowest, second_lowest = 0, np.float32(np.inf), np.float32(np.inf)
    for j in range(len(y0)):
        dx = y0[j] - point[0]
        dy = y1[j] - point[1]
        dz = y2[j] - point[2]
        value = np.sqrt(dx * dx + dy * dy + dz * dz) + prices[j]
        if value < lowest:
            best, lowest, second_lowest = j, value, lowest
        elif value < second_lowest:
            second_lowest = value
    return best, second_lowest - lowest + np.float32(EPSILON)
