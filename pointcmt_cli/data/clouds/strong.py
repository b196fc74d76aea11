"""Stronger augmentation of clouds, for consistency between two sights of a shape: turn, tilt, jitter, a missing part.

In: points (B, N, 3) and a generator on any device; out: points (B, N, 3). Amounts: turns about the vertical by up to
45 degrees and tilts by up to 15, as scanned objects stand; jitter N(0, 0.02) clipped at 0.05 as PointNet++'s provider;
up to a third of the points, those nearest to one of them, replaced by others (a local drop, as ModelNet-C's).
"""

import math

import torch
from torch import Tensor

TURN, TILT = math.pi / 4, math.pi / 12
"""Radians."""
JITTER, FARTHEST = 0.02, 0.05
MISSING = 1 / 3


def strengthen(points: Tensor, generator: torch.Generator) -> Tensor:
    """Each cloud turned, then with a hole, then jittered."""
    return jitter(hole(turn(points, generator), generator), generator)


def turn(points: Tensor, generator: torch.Generator) -> Tensor:
    """About z, and then a little about x."""
    angles = 2 * torch.rand(2, len(points), generator=generator, device=generator.device) - 1
    about_z, about_x = (angles.to(points) * angles.new_tensor([[TURN], [TILT]]).to(points)).unbind()
    zero, one = torch.zeros_like(about_z), torch.ones_like(about_z)
    cos, sin = about_z.cos(), about_z.sin()
    first = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
    cos, sin = about_x.cos(), about_x.sin()
    second = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
    return points @ (second @ first).transpose(1, 2)


def hole(points: Tensor, generator: torch.Generator) -> Tensor:
    """The points nearest to the first one, up to MISSING of them, replaced by others of the cloud: N stays."""
    rows, count, _ = points.shape
    distance = (points - points[:, :1]).square().sum(dim=2)  # (B, N)
    order = distance.argsort(dim=1, descending=True)  # the nearest last
    share = MISSING * torch.rand(rows, 1, generator=generator, device=generator.device)
    kept = count - (share.to(points) * count).long()  # (B, 1)
    places = torch.arange(count, device=points.device) % kept
    return points.gather(1, order.gather(1, places)[..., None].expand(-1, -1, 3))


def jitter(points: Tensor, generator: torch.Generator) -> Tensor:
    """Noise on every coordinate."""
    noise = torch.randn(points.shape, generator=generator, device=generator.device)
    return points + (JITTER * noise).clamp(-FARTHEST, FARTHEST).to(points)
