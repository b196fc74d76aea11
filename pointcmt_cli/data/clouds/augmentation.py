"""Training augmentation of clouds, on whatever device they are: anisotropic scale, shift, new points each time.

In: points (B, P, 3) and a generator on any device; out: points (B, count, 3). Source: the reference's recipe
(provider of PointNet++: scale U[2/3, 3/2] per axis, shift U[-0.2, 0.2] per axis, order shuffled).
"""

import torch
from torch import Tensor

SCALE = (2 / 3, 3 / 2)
SHIFT = 0.2
FROM_AVAILABLE = "drawn from the points that are no repeats"
"""In the keys of what is trained on clouds that are filled up: before, their repeats were drawn too."""


def draw(
    points: Tensor, count: int, generator: torch.Generator, available: Tensor | None = None
) -> Tensor:
    """`count` of each cloud's P points, none twice, in random order; all of them, shuffled, if P <= count.

    `available` (B,): the first so many of a cloud are drawn from, as scoring takes the first, and the repeats behind
    them only where these are too few; None: all P.
    """
    rows, stored, _ = points.shape
    keys = torch.rand(rows, stored, generator=generator, device=generator.device)
    if available is not None:
        place = torch.arange(stored, device=keys.device)
        keys = keys + (place >= available.to(keys.device)[:, None])  # (B, P): repeats come last
    order = keys.argsort(dim=1)[:, :count]
    return points.gather(1, order.to(points.device)[..., None].expand(-1, -1, 3))


def scale_and_shift(points: Tensor, generator: torch.Generator) -> Tensor:
    """Each cloud scaled and shifted per axis."""
    low, high = SCALE
    shape, device = (len(points), 1, 3), generator.device
    scale = low + (high - low) * torch.rand(shape, generator=generator, device=device)
    shift = SHIFT * (2 * torch.rand(shape, generator=generator, device=device) - 1)
    return points * scale.to(points) + shift.to(points)


def augment(
    points: Tensor, count: int, generator: torch.Generator, available: Tensor | None = None
) -> Tensor:
    """What every student is trained on, whatever its objective; `available` as in `draw`."""
    return scale_and_shift(draw(points, count, generator, available), generator)
