"""Point networks as everybody writes them: one tensor (B, C, neighbours, centres) through conv2d and batch norm.

In: a backbone of ours, whose weights are copied, and points (B, N, 3); out: its features. Only the geometry (farthest
points, ball query, nearest points, gathering) is ours, which is as fast as it gets. The tests hold ours equal to these.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_cli.api import ball_query, farthest_points, gather, k_nearest


class Stack(nn.Module):
    """Images (B, C, H, W) through conv2d of one pixel, batch norm and activation, layer by layer."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]], slope: float = 0.0, last: bool = True):
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for linear, norm in pairs:
            self.convs.append(conv_of(linear))
            self.norms.append(norm_of(norm))
        self.slope, self.last = slope, last

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            image = norm(conv(image))
            if self.last or place + 1 < len(self.norms):
                image = F.leaky_relu(image, self.slope) if self.slope else F.relu(image)
        return image


def conv_of(linear: nn.Linear) -> nn.Conv2d:
    """The same weights, one pixel wide."""
    widths, bias = (linear.in_features, linear.out_features), linear.bias is not None
    conv = nn.Conv2d(*widths, 1, bias=bias, dtype=linear.weight.dtype)
    for own, value in zip(conv.parameters(), linear.parameters(), strict=True):
        own.data = value.detach().reshape(own.shape).clone()
    return conv


def norm_of(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    """The same for images."""
    twin = nn.BatchNorm2d(norm.num_features, dtype=norm.weight.dtype)
    twin.load_state_dict(norm.state_dict())
    return twin


def stack_of(mlp: Any) -> Stack:
    """Of a SharedMLP."""
    return Stack(zip(mlp.linears, mlp.norms, strict=True), last=mlp.last_relu)


def layer_of(*layers: Any) -> Stack:
    """Of single layers, the last one without an activation where it is the end of a residual block."""
    pairs = [(each.linear, each.norm) for each in layers]
    return Stack(pairs, layers[0].slope, last=len(layers) == 1)


def image(rows: Tensor) -> Tensor:
    """(B, M, k, C) -> (B, C, k, M)."""
    return rows.permute(0, 3, 2, 1)


def as_image(rows: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, N, 1)."""
    return rows.transpose(1, 2)[..., None]


def as_rows(values: Tensor) -> Tensor:
    """(B, C, N, 1) -> (B, N, C)."""
    return values[..., 0].transpose(1, 2)


class PlainPointNet2(nn.Module):
    """PointNet++, either variant."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.levels = [each.level for each in ours.levels]
        self.scales = nn.ModuleList(
            nn.ModuleList(stack_of(mlp) for mlp in each.scales) for each in ours.levels
        )
        self.everything = stack_of(ours.everything)

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, D)."""
        features: Tensor | None = None
        for level, scales in zip(self.levels, self.scales, strict=True):
            centres = gather(points, farthest_points(points, level.centres))
            groups = ball_query(points, centres, level.radii, level.neighbours)
            found = []
            for stack, index in zip(scales, groups, strict=True):  # type: ignore[call-overload]
                near = gather(points, index) - centres[:, :, None]
                if features is not None:
                    near = torch.cat([near, gather(features, index)], dim=-1)
                found.append(stack(image(near)).amax(dim=2))  # (B, C, M)
            points, features = centres, torch.cat(found, dim=1).transpose(1, 2)
        assert features is not None
        everything = as_image(torch.cat([points, features], dim=-1))
        pooled: Tensor = self.everything(everything).amax(dim=(2, 3))
        return pooled


class PlainDGCNN(nn.Module):
    """DGCNN."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.neighbours = [each.neighbours for each in ours.edges]
        self.edges = nn.ModuleList(Stack([(e.linear, e.norm)], slope=0.2) for e in ours.edges)
        self.joined = layer_of(ours.joined)

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, D)."""
        rows, outputs = points, []
        for neighbours, edge in zip(self.neighbours, self.edges, strict=True):
            index = k_nearest(rows, rows, min(neighbours, rows.shape[1]))
            near, own = gather(rows, index), rows[:, :, None]
            pairs = torch.cat([near - own, own.expand_as(near)], dim=-1)
            rows = edge(pairs.permute(0, 3, 1, 2)).amax(dim=3).transpose(1, 2)
            outputs.append(rows)
        values = self.joined(as_image(torch.cat(outputs, dim=-1)))
        return torch.cat([values.amax(dim=(2, 3)), values.mean(dim=(2, 3))], dim=-1)


class PlainPointNeXt(nn.Module):
    """PointNeXt, either variant."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.stem = conv_of(ours.stem)
        self.radii = [(s.radius, [b.radius for b in each])
                      for s, each in zip(ours.stages, ours.blocks, strict=True)]  # fmt: skip
        self.balls = nn.ModuleList(stack_of(each.ball) for each in ours.stages)
        self.shortcuts = nn.ModuleList(
            conv_of(each.shortcut) if each.shortcut is not None else nn.Identity()
            for each in ours.stages
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList([stack_of(block.ball), layer_of(block.wide, block.narrow)])
                for block in each
            )
            for each in ours.blocks
        )
        self.everything = stack_of(ours.everything)

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, D)."""
        rows = as_rows(self.stem(as_image(points)))
        parts = zip(self.radii, self.balls, self.shortcuts, self.blocks, strict=True)
        for (radius, inner), ball, shortcut, blocks in parts:
            chosen = farthest_points(points, max(1, points.shape[1] // 2))
            centres = gather(points, chosen)
            own = gather(rows, chosen)
            rows = self.around(points, rows, centres, radius, ball)
            if isinstance(shortcut, nn.Conv2d):
                rows = F.relu(rows + as_rows(shortcut(as_image(own))))
            points = centres
            for (ball_of_all, wide), all_radius in zip(blocks, inner, strict=True):  # type: ignore[call-overload]
                values = self.around(points, rows, points, all_radius, ball_of_all)
                rows = F.relu(as_rows(wide(as_image(values))) + rows)
        values = as_image(torch.cat([points, rows], dim=-1))
        pooled: Tensor = self.everything(values).amax(dim=(2, 3))
        return pooled

    def around(
        self, points: Tensor, rows: Tensor, centres: Tensor, radius: float, ball: Any
    ) -> Tensor:
        """Maxima over balls (B, M, D)."""
        (index,) = ball_query(points, centres, (radius,), (32,))
        near = (gather(points, index) - centres[:, :, None]) / radius
        found: Tensor = ball(image(torch.cat([near, gather(rows, index)], dim=-1))).amax(dim=2)
        return found.transpose(1, 2)


class PlainPointMLP(nn.Module):
    """PointMLP, either variant."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.embedding = layer_of(ours.embedding)
        self.centres = [each.centres for each in ours.stages]
        self.affine = nn.ParameterList(
            nn.Parameter(value.detach().clone())
            for each in ours.stages
            for value in (each.scale, each.shift)
        )
        self.first = nn.ModuleList(layer_of(each.first) for each in ours.stages)
        self.before, self.after = (
            nn.ModuleList(
                nn.ModuleList(layer_of(block.wide, block.narrow) for block in getattr(each, part))
                for each in ours.stages
            )
            for part in ("before", "after")
        )

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, D)."""
        rows = as_rows(self.embedding(as_image(points)))
        for stage, centres in enumerate(self.centres):
            chosen = farthest_points(points, min(centres, points.shape[1]))
            index = k_nearest(points, gather(points, chosen), min(24, points.shape[1]))
            own = gather(rows, chosen)[:, :, None]
            difference = gather(rows, index) - own
            spread = difference.flatten(1).std(dim=1)[:, None, None, None]
            scale, shift = self.affine[2 * stage : 2 * stage + 2]
            seen = scale * difference / (spread + 1e-5) + shift
            values = self.first[stage](image(torch.cat([seen, own.expand_as(seen)], dim=-1)))
            for block in self.before[stage]:  # type: ignore[union-attr]
                values = F.relu(block(values) + values)
            values = values.amax(dim=2)[..., None]
            for block in self.after[stage]:  # type: ignore[union-attr]
                values = F.relu(block(values) + values)
            points, rows = gather(points, chosen), as_rows(values)
        return rows.amax(dim=1)


PLAIN: dict[str, type[nn.Module]] = {
    "pointnet2": PlainPointNet2,
    "dgcnn": PlainDGCNN,
    "pointnext": PlainPointNeXt,
    "pointmlp": PlainPointMLP,
}
