"""The block point networks are made of: one MLP for every point (Linear, batch norm, ReLU), then a max over groups.

In: rows (..., C0); out: rows (..., CL). A row holds the channels of one point, so that a layer is one matrix product;
no (B, C, N) images.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn


class SharedMLP(nn.Module):
    """Layers C0 -> C1 -> ... -> CL on every row; parameters as in the reference: each Linear has its bias."""

    def __init__(self, channels: Sequence[int], last_relu: bool = True) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(channels))
        self.norms = nn.ModuleList(nn.BatchNorm1d(o) for o in channels[1:])
        self.last_relu = last_relu
        self.channels = tuple(channels)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (..., C0) -> (..., CL)."""
        return self.rest(cast("nn.Linear", self.linears[0])(rows))

    def rest(self, first: Tensor) -> Tensor:
        """The same from the first layer's product (..., C1) on."""
        values = first.reshape(-1, first.shape[-1])
        for place, norm in enumerate(self.norms):
            if place:
                values = self.linears[place](values)
            values = norm(values)
            if place + 1 < len(self.norms) or self.last_relu:
                values = F.relu(values)
        return values.view(*first.shape[:-1], -1)
