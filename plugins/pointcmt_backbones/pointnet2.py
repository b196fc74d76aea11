"""PointNet++ (Qi et al., NeurIPS 2017, arXiv 1706.02413), the encoder: points (B, N, 3) -> features (B, 1024).

Two levels pick centres by farthest points and describe the balls around each of them by a shared MLP and a maximum; a
third takes all that is left. `ssg` has one radius per level, `msg` (the student of PointCMT) three. Numbers: section
B.1 of the paper's supplement, as in yanx27/Pointnet_Pointnet2_pytorch; coordinates only, no normals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from pointcmt_backbones.shared_mlp import SharedMLP
from pointcmt_cli.api import PointCMTError, ball_query, farthest_points, gather


@dataclass(frozen=True)
class Level:
    """One set abstraction: how many centres, and per scale its radius, its neighbours and its MLP's widths."""

    centres: int
    radii: tuple[float, ...]
    neighbours: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]


LEVELS = {
    "ssg": (
        Level(512, (0.2,), (32,), ((64, 64, 128),)),
        Level(128, (0.4,), (64,), ((128, 128, 256),)),
    ),
    "msg": (
        Level(512, (0.1, 0.2, 0.4), (16, 32, 128), ((32, 32, 64), (64, 64, 128), (64, 96, 128))),
        Level(
            128, (0.2, 0.4, 0.8), (32, 64, 128), ((64, 64, 128), (128, 128, 256), (128, 128, 256))
        ),
    ),
}
ALL_POINTS = (256, 512, 1024)
"""Widths of the last level, whose one group is everything."""


class SetAbstraction(nn.Module):
    """Points (B, N, 3) with features (B, N, C) -> centres (B, M, 3) with features (B, M, sum of last widths)."""

    def __init__(self, level: Level, channels: int, bias: bool) -> None:
        super().__init__()
        self.level = level
        self.scales = nn.ModuleList(
            SharedMLP([channels + 3, *widths], bias=bias) for widths in level.widths
        )
        self.channels = sum(widths[-1] for widths in level.widths)

    def forward(self, points: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the class; a cloud with fewer points than M has all of them as centres, some repeated."""
        level = self.level
        centres = gather(points, farthest_points(points, level.centres))  # (B, M, 3)
        groups = ball_query(points, centres, level.radii, level.neighbours)
        described = [
            cast("SharedMLP", scale).grouped(points, features, centres, index)
            for scale, index in zip(self.scales, groups, strict=True)
        ]
        return centres, torch.cat(described, dim=-1)


class PointNet2(nn.Module):
    """See the module's text."""

    feature_dim = ALL_POINTS[-1]
    minimum_points = 1

    def __init__(self, levels: Sequence[Level], bias: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        channels = 0
        for level in levels:
            abstraction = SetAbstraction(level, channels, bias)
            self.levels.append(abstraction)
            channels = abstraction.channels
        self.everything = SharedMLP([channels + 3, *ALL_POINTS], bias=bias)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 1024)."""
        features: Tensor | None = None
        for level in self.levels:
            points, features = level(points, features)
        assert features is not None
        return self.everything.pooled(torch.cat([points, features], dim=-1))

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of yanx27's checkpoints."""
        layers = range(3)
        convs, norms = ([f"sa3.mlp_{each}s.{i}" for i in layers] for each in ("conv", "bn"))
        names = self.everything.names("everything", convs, norms)
        for place, level in enumerate(self.levels):
            scales = cast("SetAbstraction", level).scales
            for scale, each in enumerate(scales):
                conv, norm = f"sa{place + 1}.mlp_convs", f"sa{place + 1}.mlp_bns"
                if len(scales) > 1:
                    conv, norm = (f"sa{place + 1}.{n}_blocks.{scale}" for n in ("conv", "bn"))
                convs, norms = ([f"{there}.{i}" for i in layers] for there in (conv, norm))
                own = f"levels.{place}.scales.{scale}"
                names |= cast("SharedMLP", each).names(own, convs, norms)
        return names

    def from_reference(self, name: str, value: Tensor) -> Tensor:
        """Their MSG levels have a point's features before its coordinates, ours after them."""
        several = len(cast("SetAbstraction", self.levels[0]).scales) > 1
        first = name.startswith("levels.") and name.endswith("linears.0.weight")
        return value.roll(3, dims=1) if several and first else value


def pointnet2(
    *,
    variant: Literal["ssg", "msg"] = "ssg",
    centres: tuple[int, int] = (512, 128),
    bias: bool = True,
) -> PointNet2:
    """PointNet++.

    `variant`: one radius per level, or three (about five times the work). `centres`: of the two levels; the work is
    proportional to them, the parameters do not depend on them. `bias`: of the layers before a batch norm, as in
    yanx27's port; PointCMT's own code has none. It changes nothing that can be learnt.
    """
    if len(centres) != 2 or min(centres) < 1:
        raise PointCMTError(f"centres: two numbers of at least 1, got {list(centres)}")
    levels = zip(LEVELS[variant], centres, strict=True)
    return PointNet2([replace(level, centres=count) for level, count in levels], bias)
