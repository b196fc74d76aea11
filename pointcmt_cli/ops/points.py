"""Point operations, public through `pointcmt_cli.api`: in, clouds (B, N, 3) float; out, int64 indices or features.

Each is one function with a plain-torch form (CUDA, export, and the reference that tests compare with) and a numba form
on the CPU; both give the same indices. Inputs must be finite: files and commands check that at the border.
Letters: B batch, N points, M centres, k neighbours, C channels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pointcmt_cli.ops import points_numba
from pointcmt_cli.ops.threads import cuts, share


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices (B, count) of farthest point sampling, starting at index 0; ties go to the lowest index.

    Every point counts; the reference's CUDA code silently skips those within 0.032 of the origin. Where `count`
    exceeds N, the surplus repeats index 0.
    """
    if torch.compiler.is_exporting():
        return _farthest_points_loop(points.detach(), count)
    if not _on_numba(points):
        return _farthest_points(points.detach(), count)
    chosen = torch.empty(points.shape[0], count, dtype=torch.int64)
    clouds, out = _array(points), chosen.numpy()
    share(lambda b: points_numba.farthest_points(clouds[b], out[b]), len(clouds))
    return chosen


def ball_query(
    points: Tensor, centres: Tensor, radii: Sequence[float], counts: Sequence[int]
) -> tuple[Tensor, ...]:
    """For each radius, indices (B, M, k) of the first k points, by index, strictly nearer than it to each centre.

    A group with fewer is filled up with its first point; a centre with none takes its nearest point. All radii are
    served by one pass over the distances.
    """
    if not _on_numba(points):
        distances = square_distances(centres.detach(), points.detach())
        return tuple(_first_within(distances, r, k) for r, k in zip(radii, counts, strict=True))
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = torch.empty(points.shape[0], centres.shape[1], int(starts[-1]), dtype=torch.int64)
    clouds, middles, out, sizes = _array(points), _array(centres), found.numpy(), np.array(counts)
    squares = np.array([radius * radius for radius in radii], clouds.dtype)

    def query(b: int) -> None:
        points_numba.ball_query(clouds[b], middles[b], squares, sizes, starts[:-1], out[b])

    share(query, len(clouds))
    return tuple(part.contiguous() for part in torch.split(found, list(counts), dim=-1))


def k_nearest(points: Tensor, queries: Tensor, count: int) -> Tensor:
    """Indices (B, M, count) of the points (B, N, C) nearest to queries (B, M, C), nearest first, ties lowest index.

    Three channels or fewer are compared exactly, more (feature space) through one matrix product.
    `count` may not exceed N.
    """
    return _smallest(square_distances(queries.detach(), points.detach()), count)


def three_nearest(points: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (B, M, 3) and indices (B, M, 3) of the three points nearest to each query; fewer where N < 3."""
    squares = square_distances(queries.detach(), points.detach())
    index = _smallest(squares, min(3, points.shape[1]))
    return squares.gather(-1, index).sqrt(), index


def interpolate(features: Tensor, distances: Tensor, index: Tensor) -> Tensor:
    """Features (B, N, C) carried to M queries (B, M, C): means over neighbours weighted by inverse distance.

    `distances` and `index` (B, M, k) as `three_nearest` gives them. Source: PointNet++, section 3.4, with p = 1
    as in its code.
    """
    weights = 1 / distances.clamp_min(1e-8)
    weights = weights / weights.sum(-1, keepdim=True)
    return (gather(features, index) * weights[..., None]).sum(-2)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Rows of features (B, N, C) at index (B, M) or (B, M, k) -> (B, M, C) or (B, M, k, C)."""
    batch, number, channels = features.shape
    first = torch.arange(batch, device=index.device) * number
    rows = index + first.view(-1, *[1] * (index.dim() - 1))
    return features.reshape(-1, channels)[rows]


def square_distances(queries: Tensor, points: Tensor) -> Tensor:
    """Squared distances (B, M, N), in a fixed order of additions up to three channels."""
    channels = points.shape[-1]
    if channels > 3:
        squares = points.square().sum(-1)[:, None] + queries.square().sum(-1)[:, :, None]
        return torch.baddbmm(squares, queries, points.mT, alpha=-2).clamp_min(0)
    parts = [(queries[:, :, None, c] - points[:, None, :, c]).square() for c in range(channels)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _farthest_points(points: Tensor, count: int) -> Tensor:
    x, y, z = (each.contiguous() for each in points.unbind(-1))
    nearest = torch.full_like(x, torch.inf)
    last = torch.zeros(len(x), 1, dtype=torch.int64, device=points.device)
    chosen = [last]
    for _ in range(count - 1):
        nearest, last = _next_farthest(x, y, z, nearest, last)
        chosen.append(last)
    return torch.cat(chosen, dim=1)


def _next_farthest(
    x: Tensor, y: Tensor, z: Tensor, nearest: Tensor, last: Tensor
) -> tuple[Tensor, Tensor]:
    dx, dy, dz = (each - each.gather(1, last) for each in (x, y, z))
    nearest = torch.minimum(nearest, dx * dx + dy * dy + dz * dz)
    return nearest, nearest.argmax(dim=1, keepdim=True)


def _farthest_points_loop(points: Tensor, count: int) -> Tensor:
    """The same as one loop node in an exported graph; unrolled, 512 steps take minutes to export."""
    x, y, z = (each.contiguous() for each in points.unbind(-1))
    columns = torch.arange(count, device=points.device)

    def unfinished(step: Tensor, nearest: Tensor, last: Tensor, chosen: Tensor) -> Tensor:
        return step < count

    def body(
        step: Tensor, nearest: Tensor, last: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        chosen = torch.where(columns == step, last, chosen)
        nearest, last = _next_farthest(x, y, z, nearest, last)
        return step + 1, nearest, last, chosen

    start = (
        torch.zeros((), dtype=torch.int64, device=points.device),
        torch.full_like(x, torch.inf),
        torch.zeros_like(x[:, :1], dtype=torch.int64),
        torch.zeros_like(x[:, :1], dtype=torch.int64).repeat(1, count),
    )
    chosen: Tensor = torch.while_loop(unfinished, body, start)[3]  # type: ignore[no-untyped-call]
    return chosen


def _first_within(squares: Tensor, radius: float, count: int) -> Tensor:
    number = squares.shape[-1]
    columns = torch.arange(number, dtype=torch.int32, device=squares.device)
    inside = torch.where(squares < radius * radius, columns, number)
    held = min(count, number)
    first = inside.topk(held, dim=-1, largest=False, sorted=True).values.long()
    filler = first[..., :1]
    filler = torch.where(filler == number, squares.argmin(dim=-1, keepdim=True), filler)
    first = torch.where(first == number, filler, first)
    if held == count:
        return first
    return torch.cat([first, filler.expand(-1, -1, count - held)], dim=-1)


def _smallest(squares: Tensor, count: int) -> Tensor:
    if torch.compiler.is_exporting():  # ONNX knows no stable sort; its TopK takes the lowest index first
        return squares.topk(count, dim=-1, largest=False, sorted=True).indices
    if not _on_numba(squares):
        return squares.sort(dim=-1, stable=True).indices[..., :count].contiguous()
    index = torch.empty(*squares.shape[:-1], count, dtype=torch.int64)
    rows, out = _array(squares).reshape(-1, squares.shape[-1]), index.numpy().reshape(-1, count)
    runs = cuts(len(rows), 64)
    share(
        lambda run: points_numba.smallest(rows[slice(*runs[run])], out[slice(*runs[run])]),
        len(runs),
    )
    return index


def _on_numba(points: Tensor) -> bool:
    known = points.dtype in (torch.float32, torch.float64)
    return known and points.device.type == "cpu" and not torch.compiler.is_compiling()


def _array(points: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.floating]]":
    return np.ascontiguousarray(points.detach().numpy())
