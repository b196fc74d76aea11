"""PointMLP (Ma et al., ICLR 2022, arXiv 2202.07123), the encoder: points (B, N, 3) -> features (B, 1024; elite: 256).

Four stages; each picks half as many centres by farthest points, sees their 24 nearest neighbours through the geometric
affine module (differences to the centre, divided by their standard deviation over the cloud, then scaled and shifted
per channel), and applies residual MLPs before and after the maximum over the neighbours. Numbers: those of
ma-xu/pointMLP-pytorch. The core's neck and head replace the paper's head (512, 256, K).
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_backbones.layer import Layer, names_of
from pointcmt_cli.api import farthest_points, gather, k_nearest, linear, normed_rows

NEIGHBOURS = 24
CENTRES = (512, 256, 128, 64)


@dataclass(frozen=True)
class Plan:
    """Width of the embedding; per stage: factor of the width, residual blocks before and after the maximum; and the
    inner width of a block as a share of its width."""

    embedding: int
    growth: tuple[int, ...]
    blocks: tuple[int, ...]
    inner: float


PLANS = {
    "full": Plan(64, (2, 2, 2, 2), (2, 2, 2, 2), 1.0),
    "elite": Plan(32, (2, 2, 2, 1), (1, 1, 2, 1), 0.25),
}


class Residual(nn.Module):
    """Rows (..., C) -> the same: two layers, the input added before the last ReLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.wide, self.narrow = Layer(width, inner), Layer(inner, width)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        added: Tensor = self.narrow(self.wide(rows), rows)
        return added


class Stage(nn.Module):
    """Points (B, N, 3) with features (B, N, C) -> centres (B, M, 3) with features (B, M, D)."""

    def __init__(self, centres: int, channels: int, width: int, blocks: int, inner: float) -> None:
        super().__init__()
        self.centres = centres
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.first = Layer(2 * channels, width)
        self.before, self.after = (
            nn.Sequential(*[Residual(width, int(width * inner)) for _ in range(blocks)])
            for _ in range(2)
        )

    def forward(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; of a cloud with fewer points than centres or neighbours, all are taken."""
        number = points.shape[1]
        chosen = farthest_points(points, min(self.centres, number))
        centres = gather(points, chosen)  # (B, M, 3)
        index = k_nearest(points, centres, min(NEIGHBOURS, number))  # (B, M, k)
        values = self.before(self.grouped(rows, chosen, index)).amax(dim=2)
        return centres, self.after(values)

    def grouped(self, rows: Tensor, chosen: Tensor, index: Tensor) -> Tensor:
        """The first layer on (affine(x_j - x_i), x_i) of each neighbour: (B, M, k, D); it acts before grouping."""
        of_difference, of_centre = self.first.linear.weight.chunk(2, dim=1)
        with torch.autocast(rows.device.type, enabled=False):  # products are subtracted
            rows = rows.to(of_centre.dtype)
            own = gather(rows, chosen)
            spread = deviation(gather(rows, index) - own[:, :, None])[:, None, None]
            first = linear(rows, of_difference * self.scale) / (spread + 1e-5)
            constant = F.linear(own, of_centre) + of_difference @ self.shift
            seen_from = gather(first, chosen) - constant
            values = gather(first, index) - seen_from[:, :, None]
        return normed_rows(values, self.first.norm)


def deviation(values: Tensor) -> Tensor:
    """Standard deviation (B,) of all of each cloud's values (B, M, k, C).

    Other runtimes sum in float32, one after the other, and 400,000 values lose digits: exported, means of means.
    """
    if not torch.compiler.is_exporting():
        return values.flatten(1).std(dim=1)
    count = values.shape[1] * values.shape[2] * values.shape[3]
    mean = values.mean(dim=3).mean(dim=2).mean(dim=1)
    squares = (values - mean[:, None, None, None]).square()
    return (squares.mean(dim=3).mean(dim=2).mean(dim=1) * (count / (count - 1))).sqrt()


class PointMLP(nn.Module):
    """See the module's text."""

    minimum_points = 1

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.embedding = Layer(3, plan.embedding)
        self.stages = nn.ModuleList()
        width = plan.embedding
        for centres, growth, blocks in zip(CENTRES, plan.growth, plan.blocks, strict=True):
            self.stages.append(Stage(centres, width, width * growth, blocks, plan.inner))
            width *= growth
        self.feature_dim = width

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 1024)."""
        rows = self.embedding(points)
        for stage in self.stages:
            points, rows = stage(points, rows)
        features: Tensor = rows.amax(dim=1)
        return features

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of ma-xu's checkpoints."""
        names = names_of("embedding", "embedding.net.0", "embedding.net.1")
        for place, each in enumerate(self.stages):
            own, stage = f"stages.{place}", cast("Stage", each)
            names[f"{own}.scale"] = f"local_grouper_list.{place}.affine_alpha"
            names[f"{own}.shift"] = f"local_grouper_list.{place}.affine_beta"
            first = f"pre_blocks_list.{place}.transfer.net"
            names |= names_of(f"{own}.first", f"{first}.0", f"{first}.1")
            for part, theirs in ((stage.before, "pre"), (stage.after, "pos")):
                mine = "before" if part is stage.before else "after"
                for block in range(len(part)):
                    there = f"{theirs}_blocks_list.{place}.operation.{block}"
                    for layer, net in (("wide", "net1"), ("narrow", "net2")):
                        here = f"{own}.{mine}.{block}.{layer}"
                        names |= names_of(here, f"{there}.{net}.0", f"{there}.{net}.1")
        return names


def pointmlp(*, variant: Literal["full", "elite"] = "full") -> PointMLP:
    """PointMLP; `elite`: a seventeenth of its work."""
    return PointMLP(PLANS[variant])
