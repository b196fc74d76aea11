"""Training augmentation of clouds, on whatever device they are: anisotropic scale, shift, new points each time.

In: points (B, P, 3) and a generator on any device; out: points (B, count, 3). Source: the reference's recipe
(provider of PointNet++: scale U[2/3, 3/2] per axis, shift U[-0.2, 0.2] per axis, order shuffled); `drop` and `turn`
are those of other papers' recipes.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pointcmt_cli.config import Augmentation
from pointcmt_cli.data.clouds.strong import strengthen

SCALE = (2 / 3, 3 / 2)
SHIFT = 0.2
MOST_DROPPED = 0.875
"""random_point_dropout of PointNet++'s utils/provider.py, and of data.py in Strawberry-Eat-Mango/PCT_Pytorch."""
SMALL_SCALE = (0.9, 1.1)
"""PointNeXt's on ScanObjectNN (cfgs/scanobjectnn/default.yaml)."""
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


def drop(points: Tensor, generator: torch.Generator) -> Tensor:
    """A share of each cloud's points, drawn from U[0, MOST_DROPPED], falls on its first point; then the usual."""
    rows, count, _ = points.shape
    share = MOST_DROPPED * torch.rand((rows, 1), generator=generator, device=generator.device)
    dropped = torch.rand((rows, count), generator=generator, device=generator.device) <= share
    kept = torch.where(dropped.to(points.device)[..., None], points[:, :1], points)
    return scale_and_shift(kept, generator)


def turn(points: Tensor, generator: torch.Generator) -> Tensor:
    """Each cloud scaled a little per axis, put into the unit sphere again, and turned about z by any angle."""
    low, high = SMALL_SCALE
    rows, device = len(points), generator.device
    scale = low + (high - low) * torch.rand((rows, 1, 3), generator=generator, device=device)
    angle = 2 * math.pi * torch.rand((rows, 1), generator=generator, device=device).to(points)
    scaled = points * scale.to(points)
    centred = scaled - scaled.mean(dim=1, keepdim=True)
    x, y, z = (centred / centred.norm(dim=2).amax(dim=1)[:, None, None]).unbind(dim=2)  # (B, N)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=2)


CHANGES: dict[Augmentation, Callable[[Tensor, torch.Generator], Tensor]] = {
    "usual": scale_and_shift,
    "drop": drop,
    "turn": turn,
    "strong": lambda points, numbers: strengthen(scale_and_shift(points, numbers), numbers),
}


def augment(
    points: Tensor,
    count: int,
    generator: torch.Generator,
    available: Tensor | None = None,
    augmentation: Augmentation = "usual",
) -> Tensor:
    """What every student is trained on, whatever its objective; `available` as in `draw`."""
    return CHANGES[augmentation](draw(points, count, generator, available), generator)
