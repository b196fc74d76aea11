"""CurveNet (Xiang et al., ICCV 2021, arXiv 2105.01288), the encoder: points (B, N, 3) -> features (B, 2048).

Eight blocks; each describes points by their 20 nearest neighbours and a shortcut, on 1,024, then 256, then 64 points.
In the first four, 100 curves of 5 points walk over the cloud from neighbour to neighbour, and each point attends to
them. The numbers are those of tiangexiang/CurveNet. The maximum and the mean over the last
points are the features; the core's neck and head replace the paper's head (512, K).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_backbones.curves import SLOPE, CurveAggregation, Momentum, Walk
from pointcmt_backbones.layer import Layer, names_of
from pointcmt_cli.api import ball_query, farthest_points, gather, k_nearest, normed_rows, pooled_mlp

NEIGHBOURS = 20
FIRST, LAST = 32, 1024
BLOCKS = (
    # points, radius where they are picked, width, share of the width inside, curves
    (1024, 0.05, 64, 2, True),
    (1024, 0.05, 64, 4, True),
    (1024, 0.05, 128, 2, True),
    (1024, 0.1, 128, 4, True),
    (256, 0.1, 256, 2, False),
    (256, 0.2, 256, 4, False),
    (64, 0.2, 512, 2, False),
    (64, 0.4, 512, 4, False),
)


def placed(points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A layer on (x_i, x_j, x_j - x_i) is what it makes of x_j (B, N, D), less what it makes of x_i."""
    own, near, difference = weight.chunk(3, dim=1)
    with torch.autocast(points.device.type, enabled=False):
        return F.linear(points, near + difference), F.linear(points, difference - own)


class Block(nn.Module):
    """Points (B, N, 3) with rows (B, N, C) -> points (B, M, 3) with rows (B, M, D)."""

    def __init__(
        self, points: int, radius: float, channels: int, width: int, share: int, curves: bool
    ) -> None:
        super().__init__()
        self.points, self.radius, inner = points, radius, channels // share
        self.narrow = Layer(channels, inner, SLOPE)
        self.walk = Walk(inner) if curves else None
        self.aggregation = CurveAggregation(inner) if curves else None
        self.place = Layer(9, inner)
        self.local = Layer(inner, inner, SLOPE)
        self.wide = Layer(inner, width, SLOPE)
        self.shortcut = Layer(channels, width, slope=1) if channels != width else None

    def forward(self, points: Tensor, rows: Tensor, momentum: Momentum) -> tuple[Tensor, Tensor]:
        """See the class; of a cloud with no more points than M, all are kept."""
        if points.shape[1] > self.points:
            centres = gather(points, farthest_points(points, self.points))
            (index,) = ball_query(points, centres, (self.radius,), (NEIGHBOURS,))
            points, rows = centres, gather(rows, index).amax(dim=2)
        index = k_nearest(points, points, min(NEIGHBOURS + 1, points.shape[1]))
        values = self.narrow(rows)
        if self.walk is not None and self.aggregation is not None:
            curves = self.walk(values, index[..., 1:], momentum)
            values = self.aggregation(values, curves)
        values = self.described(points, values, index[..., :NEIGHBOURS])
        added = rows if self.shortcut is None else self.shortcut(rows)
        return points, self.wide(values, added.to(values.dtype))

    def described(self, points: Tensor, rows: Tensor, index: Tensor) -> Tensor:
        """Mean (B, N, C) over the neighbours of a layer on where each lies and how its row differs."""
        near, own = placed(points, self.place.linear.weight)
        where = gather(near, index) - own[:, :, None]
        differs = (gather(rows, index) - rows[:, :, None]).to(where.dtype)
        mean: Tensor = self.local(normed_rows(where, self.place.norm, SLOPE, differs)).mean(dim=2)
        return mean


class CurveNet(nn.Module):
    """See the module's text."""

    feature_dim = 2 * LAST
    minimum_points = 2

    def __init__(self, momentum: Momentum) -> None:
        super().__init__()
        self.momentum: Momentum = momentum
        self.first = Layer(9, FIRST)
        self.blocks = nn.ModuleList()
        channels = FIRST
        for points, radius, width, share, curves in BLOCKS:
            self.blocks.append(Block(points, radius, channels, width, share, curves))
            channels = width
        self.last = Layer(channels, LAST)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 2048): maxima, then means."""
        index = k_nearest(points, points, min(NEIGHBOURS, points.shape[1]))
        near, own = placed(points, self.first.linear.weight)
        norm = [self.first.norm]
        rows = F.leaky_relu(pooled_mlp(near, own, index, [self.first.linear], norm, False), SLOPE)
        for block in self.blocks:
            points, rows = block(points, rows, self.momentum)
        values = self.last(rows)
        return torch.cat([values.amax(dim=1), values.mean(dim=1)], dim=-1)

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of tiangexiang's checkpoints (`momentum=reference`)."""
        names = names_of("first", "lpfa.mlp.0.0", "lpfa.mlp.0.1")
        names |= names_of("last", "conv0.0", "conv0.1")
        layers = {"narrow": "conv1", "wide": "conv2", "shortcut": "shortcut"}
        layers |= {"place": "lpfa.xyz2feature", "local": "lpfa.mlp.0"}
        layers |= {f"walk.{own}": f"curvegrouping.walk.{own}_mlp" for own in ("agent", "momentum")}
        layers["aggregation.joined"] = "curveaggregation.convd"
        lone = {"line": "line_conv_att", "query": "convc", "inter": "conva", "intra": "convb"}
        lone |= {"inter_value": "convn", "intra_value": "convl"}
        for i in range(len(self.blocks)):
            here, there = f"blocks.{i}", f"cic{i // 2 + 1}{i % 2 + 1}"
            for own, theirs in layers.items():
                names |= names_of(f"{here}.{own}", f"{there}.{theirs}.0", f"{there}.{theirs}.1")
            names[f"{here}.walk.start"] = f"{there}.curvegrouping.att"
            for own, theirs in lone.items():
                names[f"{here}.aggregation.{own}"] = f"{there}.curveaggregation.{theirs}"
        return names


def curvenet(*, momentum: Momentum = "paper") -> CurveNet:
    """CurveNet.

    `momentum`: the two shares of each curve's own descriptor, as in the paper; or `reference`, what the authors' code
    does and its checkpoints need: it reshapes where it should transpose, and curves get each other's shares.
    """
    return CurveNet(momentum)
