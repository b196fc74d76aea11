"""The block point networks are made of: one MLP for every point (Linear, batch norm, ReLU), then a max over groups.

In: rows of channels, so that a layer is one matrix product; out: rows, or the maximum of each group of them.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_cli.api import linear, pooled_mlp


class SharedMLP(nn.Module):
    """Layers C0 -> C1 -> ... -> CL on every row. `bias` as in yanx27's port; redundant beside a batch norm."""

    def __init__(self, channels: Sequence[int], last_relu: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(i, o, bias=bias) for i, o in pairwise(channels))
        self.norms = nn.ModuleList(nn.BatchNorm1d(o) for o in channels[1:])
        self.last_relu = last_relu

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (B, C0) or (B, N, C0) -> (..., CL), nothing pooled."""
        values = rows.reshape(-1, rows.shape[-1])
        for place, (layer, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            values = norm(layer(values))
            if self.last_relu or place + 1 < len(self.norms):
                values = F.relu(values)
        return values.view(*rows.shape[:-1], -1)

    def pooled(self, rows: Tensor) -> Tensor:
        """Rows (B, N, C0) -> their maximum over N (B, CL)."""
        with torch.autocast(rows.device.type, enabled=False):
            first = linear(rows.float() if rows.dtype == torch.bfloat16 else rows, self._first())
        return self._pool(first[:, None], None, None)[:, 0]

    def grouped(
        self, points: Tensor, features: Tensor | None, centres: Tensor, index: Tensor
    ) -> Tensor:
        """Maximum (B, M, CL) over the points at `index` (B, M, k), seen from their centre.

        Points (B, N, 3) and centres (B, M, 3) are told apart by their difference, features (B, N, C0 - 3) as they are.
        """
        weight = self._first()
        with torch.autocast(points.device.type, enabled=False):
            rows = points if features is None else torch.cat([points, features.to(points)], dim=-1)
            first = linear(rows, weight)
            seen_from = F.linear(centres, weight[:, :3])
        return self._pool(first, seen_from, index)

    def names(self, own: str, linears: Sequence[str], norms: Sequence[str]) -> dict[str, str]:
        """`reference_names` of this MLP, which its network calls `own`."""
        pairs = {"linears": linears, "norms": norms}
        return {
            f"{own}.{part}.{i}": there
            for part, names in pairs.items()
            for i, there in enumerate(names)
        }

    def _pool(self, first: Tensor, centres: Tensor | None, index: Tensor | None) -> Tensor:
        return pooled_mlp(
            first, centres, index, list(self.linears), list(self.norms), self.last_relu
        )

    def _first(self) -> Tensor:
        return cast("nn.Linear", self.linears[0]).weight
