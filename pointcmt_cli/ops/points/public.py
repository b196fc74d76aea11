"""Point operations, public through `pointcmt_cli.api`: in, clouds (B, N, 3) float; out, int64 indices or features.

Each is one function; `library` has its forms (plain torch, numba on the CPU, Triton on CUDA), which all give the same
indices, for any number of threads. NaN and infinity are refused: by an error on the CPU, by an assertion on the device
on CUDA (the host does not wait for it; features of more than three channels are not looked at there).
`torch.compile` keeps an operation as one node, an export takes its plain form.
Letters: B batch, N points, M centres, k neighbours, C channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pointcmt_cli.ops.points import plain
from pointcmt_cli.ops.points.library import OPERATIONS


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices (B, count) of farthest point sampling, starting at index 0; ties go to the lowest index.

    Every point counts; the reference's CUDA code silently skips those within 0.032 of the origin. Where `count`
    exceeds N, the surplus repeats index 0.

    >>> corners = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 3, 0], [1, 1, 0]]])
    >>> farthest_points(corners, 3)
    tensor([[0, 2, 3]])
    """
    form = plain if torch.compiler.is_exporting() else OPERATIONS
    chosen: Tensor = form.farthest_points(_constant(points), count)
    return chosen


def ball_query(
    points: Tensor, centres: Tensor, radii: Sequence[float], counts: Sequence[int]
) -> tuple[Tensor, ...]:
    """For each radius, indices (B, M, k) of the first k points, by index, strictly nearer than it to each centre.

    A group with fewer is filled up with its first point; a centre with none takes its nearest point. All radii are
    served by one pass over the points.

    >>> line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    >>> near, wide = ball_query(line, line[:, :1], radii=[0.5, 1.5], counts=[2, 2])
    >>> near, wide
    (tensor([[[0, 0]]]), tensor([[[0, 1]]]))
    """
    form = plain if torch.compiler.is_exporting() else OPERATIONS
    return tuple(form.ball_query(_constant(points), _constant(centres), list(radii), list(counts)))


def k_nearest(points: Tensor, queries: Tensor, count: int) -> Tensor:
    """Indices (B, M, count) of the points (B, N, C) nearest to queries (B, M, C), nearest first, ties lowest index.

    Three channels or fewer are compared exactly, more (feature space) through a matrix product, whose rounding is not
    the same on every device. Where `count` exceeds N, the surplus repeats the nearest.

    >>> line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]])
    >>> k_nearest(line, line[:, 2:], 2)
    tensor([[[2, 1]]])
    """
    form = plain if torch.compiler.is_exporting() else OPERATIONS
    nearest: Tensor = form.k_nearest(_constant(points), _constant(queries), count)
    return nearest


def three_nearest(points: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (B, M, 3) and indices (B, M, 3) of the three points nearest to each query; fewer where N < 3.

    The distances have gradients to points and queries; that of a distance of zero is zero.

    >>> line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]])
    >>> three_nearest(line, torch.tensor([[[1.0, 0, 0]]]))
    (tensor([[[0., 1., 2.]]]), tensor([[[1, 0, 2]]]))
    """
    index = k_nearest(points, queries, min(3, points.shape[1]))
    squares = (gather(points, index) - queries[:, :, None]).square().sum(-1)
    apart = squares > 0
    return torch.where(apart, squares, 1).sqrt() * apart, index


def interpolate(features: Tensor, distances: Tensor, index: Tensor) -> Tensor:
    """Features (B, N, C) carried to M queries (B, M, C): means over neighbours weighted by inverse distance.

    `distances` and `index` (B, M, k) as `three_nearest` gives them. Source: PointNet++, section 3.4, with p = 1
    as in its code.

    >>> heights = torch.tensor([[[0.0], [2.0]]])
    >>> interpolate(heights, distances=torch.tensor([[[1.0, 3.0]]]), index=torch.tensor([[[0, 1]]]))
    tensor([[[0.5000]]])
    """
    weights = 1 / distances.clamp_min(1e-8)
    weights = weights / weights.sum(-1, keepdim=True)
    return (gather(features, index) * weights[..., None]).sum(-2)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Rows of features (B, N, C) at index (B, M) or (B, M, k) -> (B, M, C) or (B, M, k, C).

    On the CPU its gradient adds up rows in a fixed order and in parallel; a compiler is left to fuse the plain form.

    >>> gather(torch.tensor([[[5.0], [6.0], [7.0]]]), torch.tensor([[2, 0]]))
    tensor([[[7.],
             [5.]]])
    """
    form = plain if torch.compiler.is_compiling() else OPERATIONS
    rows: Tensor = form.gather(features, index)
    return rows


def _constant(points: Tensor) -> Tensor:
    """Indices have no gradient, and halves are compared as the floats they are."""
    points = points.detach()
    return points if points.dtype in (torch.float32, torch.float64) else points.float()
