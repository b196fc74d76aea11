"""PointNeXt (Qian et al., NeurIPS 2022, arXiv 2206.04670), the encoder: points (B, N, 3) -> features (B, 16 C).

A stem of width C; four stages, each of which halves the points by farthest points, doubles the width and describes the
32 first points of a ball, with coordinates divided by its radius; then all points at once. `s`: two layers and a
shortcut per stage. `b`: one layer, followed by inverted residual MLPs (a layer on a ball around every point, then one
layer to four times the width and back). Numbers: guochengqian/PointNeXt,
cfgs/modelnet40ply2048/pointnext-s.yaml; the blocks of `b` are those of cfgs/s3dis/pointnext-b.yaml, as the authors have
no `b` for whole shapes. The core's neck and head replace the paper's head (512, 256, K).
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from pointcmt_backbones.layer import Layer, names_of
from pointcmt_backbones.shared_mlp import SharedMLP
from pointcmt_cli.api import PointCMTError, ball_query, farthest_points, gather

NEIGHBOURS = 32
RADIUS = 0.15
"""Of the first stage; each next one's is GROWTH times as large, and so is that of a stage's inverted residuals."""
GROWTH = 1.5
BLOCKS = {"s": (0, 0, 0, 0), "b": (1, 2, 1, 1)}
"""Inverted residuals of each stage."""
EXPANSION = 4


class Abstraction(nn.Module):
    """Points (B, N, 3) with rows (B, N, C) -> half as many points with rows (B, N / 2, 2 C)."""

    def __init__(self, channels: int, radius: float, shortcut: bool) -> None:
        super().__init__()
        self.radius = radius
        widths = [channels, 2 * channels] if shortcut else [2 * channels]
        self.ball = SharedMLP([channels + 3, *widths], last_relu=not shortcut, bias=False)
        self.shortcut = nn.Linear(channels, 2 * channels) if shortcut else None

    def forward(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        chosen = farthest_points(points, max(1, points.shape[1] // 2))
        centres = gather(points, chosen)
        values = around(points, rows, centres, self.radius, self.ball)
        if self.shortcut is not None:
            values = (values + self.shortcut(gather(rows, chosen))).relu()
        return centres, values


class InvertedResidual(nn.Module):
    """Points (B, N, 3) with rows (B, N, C) -> rows (B, N, C)."""

    def __init__(self, channels: int, radius: float) -> None:
        super().__init__()
        self.radius = radius
        self.ball = SharedMLP([channels + 3, channels], bias=False)
        self.wide = Layer(channels, EXPANSION * channels)
        self.narrow = Layer(EXPANSION * channels, channels)

    def forward(self, points: Tensor, rows: Tensor) -> Tensor:
        """See the class."""
        values = around(points, rows, points, self.radius, self.ball)
        added: Tensor = self.narrow(self.wide(values), rows.to(values.dtype))
        return added


def around(points: Tensor, rows: Tensor, centres: Tensor, radius: float, mlp: SharedMLP) -> Tensor:
    """The MLP's maximum (B, M, D) over each centre's ball, seen in units of its radius."""
    (index,) = ball_query(points, centres, (radius,), (NEIGHBOURS,))
    return mlp.grouped(points / radius, rows, centres / radius, index)


class PointNeXt(nn.Module):
    """See the module's text."""

    minimum_points = 1

    def __init__(self, blocks: tuple[int, ...], width: int, shortcut: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.stages, self.blocks = nn.ModuleList(), nn.ModuleList()
        radius = RADIUS
        for count in blocks:
            self.stages.append(Abstraction(width, radius, shortcut))
            width, radius = 2 * width, GROWTH * radius
            self.blocks.append(nn.ModuleList(InvertedResidual(width, radius) for _ in range(count)))
        widths = [width, width] if shortcut else [width]
        self.everything = SharedMLP([width + 3, *widths], bias=False)
        self.feature_dim = width

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 16 C)."""
        rows = self.stem(points)
        for stage, blocks in zip(self.stages, self.blocks, strict=True):
            points, rows = stage(points, rows)
            for block in cast("nn.ModuleList", blocks):
                rows = block(points, rows)
        return self.everything.pooled(torch.cat([points, rows], dim=-1))

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of openpoints' checkpoints of classifiers."""
        names = {"stem": "encoder.encoder.0.0.convs.0.0"}
        levels = [("everything", self.everything, f"encoder.encoder.{len(self.stages) + 1}.0")]
        for place, (stage, blocks) in enumerate(zip(self.stages, self.blocks, strict=True)):
            there = f"encoder.encoder.{place + 1}"
            abstraction = cast("Abstraction", stage)
            levels.append((f"stages.{place}.ball", abstraction.ball, f"{there}.0"))
            names[f"stages.{place}.shortcut"] = f"{there}.0.skipconv.0"
            for i, block in enumerate(cast("nn.ModuleList", blocks)):
                own, block_there = f"blocks.{place}.{i}", f"{there}.{i + 1}"
                ball = cast("InvertedResidual", block).ball
                levels.append((f"{own}.ball", ball, f"{block_there}.convs"))
                for layer, name in enumerate(("wide", "narrow")):
                    pair = f"{block_there}.pwconv.{layer}"
                    names |= names_of(f"{own}.{name}", f"{pair}.0", f"{pair}.1")
        for own, mlp, there in levels:
            layers = [f"{there}.convs.{i}" for i in range(len(mlp.linears))]
            names |= mlp.names(
                own, [f"{each}.0" for each in layers], [f"{each}.1" for each in layers]
            )
        return names


def pointnext(*, variant: Literal["s", "b"] = "s", width: int = 32) -> PointNeXt:
    """PointNeXt-S or -B; `width` C of the stem: 32, or 64 (about four times the work)."""
    if width < 1:
        raise PointCMTError(f"width: at least 1, got {width}")
    return PointNeXt(BLOCKS[variant], width, shortcut=variant == "s")
