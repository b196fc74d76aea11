"""Earth mover's distance between clouds of one size: x, y (B, N, 3) -> (B,), the mean distance to the matched partner.

The match is always a bijection. float32 goes through the auction (on the CPU; CUDA tensors are copied there for the
match alone), float64 through scipy's exact assignment.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops import emd_numba
from pointcmt_cli.ops.threads import share

STEPS = np.array([0.05 * 0.25**i for i in range(4)], np.float32)
"""Epsilons of the auction, .05 -> .0008 of the box: mean cost within 0.1 % of the exact one."""


def earth_movers_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean Euclidean distance (B,) of the cheapest one-to-one match of x and y (B, N, 3), any N; has gradients.

    The match itself counts as constant (envelope theorem), and a pair of equal points has gradient 0. Unlike
    the reference's auction (11.9 % too high on near clouds), it is a bijection for every N.
    """
    if x.shape != y.shape or x.dim() != 3 or x.shape[-1] != 3:
        raise PointCMTError(
            "earth_movers_distance: expected two clouds (B, N, 3) of one size, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (bool(torch.isfinite(x).all()) and bool(torch.isfinite(y).all())):
        raise PointCMTError("earth_movers_distance: a cloud holds NaN or infinity")
    partners = match(x, y)
    matched = y.gather(1, partners[..., None].expand(-1, -1, 3))
    squares = (x - matched).square().sum(-1)
    apart = squares > 0
    return (torch.where(apart, squares, 1).sqrt() * apart).mean(dim=1)


def match(x: Tensor, y: Tensor) -> Tensor:
    """Partner index in y (B, N) of each point of x: a bijection."""
    device = x.device
    first, second = (each.detach().cpu().contiguous() for each in (x, y))
    if first.dtype == torch.float64:
        exact = [_exact(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True)]
        return torch.from_numpy(np.stack(exact)).to(device)
    partners = torch.empty(first.shape[:2], dtype=torch.int64)
    clouds, others, out = first.float().numpy(), second.float().numpy(), partners.numpy()
    share(lambda b: emd_numba.auction(clouds[b], others[b], STEPS, out[b]), len(clouds))
    return partners.to(device)


def _exact(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    cost = np.linalg.norm(x[:, None] - y[None], axis=-1)
    return np.asarray(linear_sum_assignment(cost)[1], np.int64)
