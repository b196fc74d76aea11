"""Earth mover's distance between clouds of one size: x, y (B, N, 3) -> (B,), the mean distance to the matched partner.

The match is a bijection, and the cheapest one: in float32 to rounding, by numba on the CPU and by Triton on CUDA; in
float64 exactly, through scipy. Without Triton, and beyond its 8,192 points, CUDA tensors are matched on the CPU.
"""

import subprocess
import warnings
from functools import cache
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops.emd import kernels
from pointcmt_cli.ops.threads import share
from pointcmt_cli.wording import one_line

NOT_FINITE = "earth_movers_distance: a cloud holds NaN or infinity"


def earth_movers_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean Euclidean distance (B,) of the cheapest one-to-one match of x and y (B, N, 3), any N; has gradients.

    The match itself counts as constant (envelope theorem), and a pair of equal points has gradient 0. The reference's
    auction need not be a bijection, and is 17 % too high on near clouds. Half precision gives float32.

    >>> x = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    >>> earth_movers_distance(x, torch.tensor([[[1.0, 0, 0], [0, 0, 4]]]))
    tensor([2.])
    """
    if x.shape != y.shape or x.dim() != 3 or x.shape[-1] != 3 or not x.shape[1]:
        raise PointCMTError(
            "earth_movers_distance: expected two clouds (B, N, 3) of one size, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if torch.float64 not in (x.dtype, y.dtype):
        x, y = x.float(), y.float()
    partners = match(x.detach(), y.detach())
    matched = y.gather(1, partners[..., None].expand(-1, -1, 3))
    squares = (x - matched).square().sum(-1)
    apart = squares > 0
    return (torch.where(apart, squares, 1).sqrt() * apart).mean(dim=1)


@torch.library.custom_op("pointcmt::match", mutates_args=())
def match(x: Tensor, y: Tensor) -> Tensor:
    """Partner in y (B, N) of each point of x (B, N, 3), the cheapest bijection; one node under `torch.compile`."""
    exact = torch.float64 in (x.dtype, y.dtype)
    if x.is_cuda and not exact:
        on_cuda = _on_cuda()
        if on_cuda is not None and x.shape[1] <= on_cuda.MOST:
            finite = torch.isfinite(x).all() & torch.isfinite(y).all()
            torch._assert_async(finite, NOT_FINITE)  # on the device: the host need not wait
            return torch.as_tensor(on_cuda.match(*scaled(x, y)))
    clouds, others = x.cpu(), y.cpu()
    if not (np.isfinite(clouds.numpy()).all() and np.isfinite(others.numpy()).all()):
        raise PointCMTError(NOT_FINITE)
    partners = torch.empty(x.shape[:2], dtype=torch.int64)
    work = _exact if exact else _nearly_exact
    share(lambda b: work(clouds[b : b + 1], others[b : b + 1], partners[b].numpy()), len(clouds))
    return partners.to(x.device)


@match.register_fake
def _(x: Tensor, y: Tensor) -> Tensor:
    return x.new_empty(x.shape[:2], dtype=torch.int64)


def scaled(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32 with the longest side of each pair's box 0.5 to 1; by a power of two, so that none is rounded."""
    both = torch.cat([x, y], dim=1).double()
    side = (both.amax(1, keepdim=True) - both.amin(1, keepdim=True)).amax(2, keepdim=True)
    scale = torch.exp2(-torch.where(side > 0, side, 1).log2().ceil())  # (B, 1, 1)
    return (x * scale).float().contiguous(), (y * scale).float().contiguous()


def _nearly_exact(x: Tensor, y: Tensor, partners: NDArray[np.int64]) -> None:
    first, second = (each[0].numpy() for each in scaled(x, y))
    kernels.assign(first, second, partners)


def _exact(x: Tensor, y: Tensor, partners: NDArray[np.int64]) -> None:
    cost = (x[0, :, None].double() - y[0].double()).norm(dim=-1)
    partners[:] = linear_sum_assignment(cost.numpy())[1]


@cache
def _on_cuda() -> ModuleType | None:
    """Triton's form, where Triton is installed and finds what it needs (a C compiler)."""
    try:
        from pointcmt_cli.ops.emd import triton

        triton.match(*torch.zeros(2, 1, 2, 3, device="cuda"))
    except ImportError:
        return None
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"Triton does not work here, clouds are matched on the CPU: {one_line(error)}",
            stacklevel=2,
        )
        return None
    return triton
