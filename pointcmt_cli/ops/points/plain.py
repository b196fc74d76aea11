"""Point operations in plain torch: any device, exported graphs, and the reference that tests compare the others with.

In: finite clouds (B, N, 3) that need no gradient; out: int64 indices. `points` says what each one computes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_STEPS = 8
"""Points that one turn of the exported loop chooses."""
_TO_ONNX: ContextVar[bool] = ContextVar("to_onnx", default=False)


@contextmanager
def to_onnx() -> Iterator[None]:
    """What is captured within becomes ONNX."""
    token = _TO_ONNX.set(True)
    try:
        yield
    finally:
        _TO_ONNX.reset(token)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """(B, count): one small step after the other; in an exported graph one loop node."""
    if torch.compiler.is_exporting():
        return _farthest_points_loop(points, count)
    x, y, z = (each.contiguous() for each in points.unbind(-1))
    nearest = torch.full_like(x, torch.inf)
    last = torch.zeros(len(x), 1, dtype=torch.int64, device=points.device)
    chosen = [last]
    for _ in range(count - 1):
        nearest, last = _next_farthest(x, y, z, nearest, last)
        chosen.append(last)
    return torch.cat(chosen, dim=1)


def ball_query(
    points: Tensor, centres: Tensor, radii: Sequence[float], counts: Sequence[int]
) -> tuple[Tensor, ...]:
    """(B, M, k) per radius, by way of all distances."""
    distances = square_distances(centres, points)
    return tuple(_first_within(distances, r, k) for r, k in zip(radii, counts, strict=True))


def k_nearest(points: Tensor, queries: Tensor, count: int) -> Tensor:
    """(B, M, count), by sorting all distances; in an ONNX graph by TopK.

    ONNX knows no stable sort, but its TopK takes the lowest index first, which torch's own does not promise.
    """
    squares = square_distances(queries, points)
    held = min(count, points.shape[1])
    if _TO_ONNX.get():
        index = squares.topk(held, dim=-1, largest=False, sorted=True).indices
    else:
        order = squares.sort(dim=-1, stable=True).indices
        index = order.index_select(-1, torch.arange(held, device=order.device))
    return filled(index, count)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Rows of features (B, N, C) at index (B, ...) -> (B, ..., C)."""
    channels = features.shape[-1]
    rows = flat(index, features.shape[1])
    return features.reshape(-1, channels).index_select(0, rows).view(*index.shape, channels)


def add_rows(gradient: Tensor, index: Tensor, number: int) -> Tensor:
    """What `gather` does to gradients: rows (B, ..., C) summed at index (B, ...) -> (B, number, C)."""
    batch, channels = len(gradient), gradient.shape[-1]
    total = gradient.new_zeros(batch * number, channels)
    total = total.index_add(0, flat(index, number), gradient.reshape(-1, channels))
    return total.view(batch, number, channels)


def flat(index: Tensor, number: int) -> Tensor:
    """Indices (B, ...) into the N points of each cloud -> indices (R,) into the B * N rows of all."""
    first = torch.arange(index.shape[0], device=index.device) * number
    return (index + first.view(-1, *[1] * (index.dim() - 1))).reshape(-1)


def filled(index: Tensor, count: int) -> Tensor:
    """Indices (B, M, h <= count) -> (B, M, count): what is missing repeats the first.

    In an exported graph h may depend on a free number of points: then as many as could be missing are put on, and cut.
    """
    held = index.shape[-1]
    if isinstance(held, torch.SymInt) and isinstance(count, int):
        return torch.cat([index, index[..., :1].expand(-1, -1, count)], dim=-1)[..., :count]
    missing = count - held
    if not missing:
        return index
    return torch.cat([index, index[..., :1].expand(-1, -1, missing)], dim=-1)


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


def _next_farthest(
    x: Tensor, y: Tensor, z: Tensor, nearest: Tensor, last: Tensor
) -> tuple[Tensor, Tensor]:
    dx, dy, dz = (each - each.gather(1, last) for each in (x, y, z))
    nearest = torch.minimum(nearest, dx * dx + dy * dy + dz * dz)
    return nearest, nearest.argmax(dim=1, keepdim=True)


def _farthest_points_loop(points: Tensor, count: int) -> Tensor:
    """The same as one loop node in an exported graph; unrolled, 512 steps take minutes to export.

    A turn takes several steps: a runtime spends about as much on the turn itself as on one of them.
    """
    x, y, z = (each.contiguous() for each in points.unbind(-1))
    steps = _STEPS if isinstance(count, int) else 1  # a graph's free number must not be told from 8
    turns = (count + steps - 1) // steps
    columns = torch.arange(turns, device=points.device)[:, None]

    def unfinished(turn: Tensor, nearest: Tensor, last: Tensor, chosen: Tensor) -> Tensor:
        return turn < turns

    def body(
        turn: Tensor, nearest: Tensor, last: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = []
        for _ in range(steps):
            nearest, last = _next_farthest(x, y, z, nearest, last)
            found.append(last)
        these = torch.cat(found, dim=1)[:, None]  # (B, 1, steps)
        return turn + 1, nearest, last, torch.where(columns == turn, these, chosen)

    first = torch.zeros_like(x[:, :1], dtype=torch.int64)
    start = (
        torch.zeros((), dtype=torch.int64, device=points.device),
        torch.full_like(x, torch.inf),
        first,
        first[:, None].repeat(1, turns, steps),
    )
    chosen: Tensor = torch.while_loop(unfinished, body, start)[3]  # type: ignore[no-untyped-call]
    return torch.cat([first, chosen.flatten(1)], dim=1)[:, :count]


def _first_within(squares: Tensor, radius: float, count: int) -> Tensor:
    number = squares.shape[-1]
    columns = torch.arange(number, dtype=torch.int32, device=squares.device)
    inside = torch.where(squares < radius * radius, columns, number)
    held = min(count, number)
    first = inside.topk(held, dim=-1, largest=False, sorted=True).values.long()
    filler = first[..., :1]
    filler = torch.where(filler == number, squares.argmin(dim=-1, keepdim=True), filler)
    return filled(torch.where(first == number, filler, first), count)
