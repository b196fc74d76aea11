"""Point Cloud Transformer (Guo et al., CVM 2021, arXiv 2012.09688), the encoder: points (B, N, 3) -> (B, 1024).

Two layers per point; two neighbour embeddings, which pick 512 and then 256 centres by farthest points and describe the
32 nearest of each by (x_j - x_i, x_i), two layers and the maximum; four layers of offset attention among the 256, all
joined; the maximum over them. The paper's "PCT" (not its naive or simple one), with the numbers of
Strawberry-Eat-Mango/PCT_Pytorch (the authors' code is Jittor). The core's neck and head replace the paper's head (512,
256, K).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_backbones.layer import Layer, names_of
from pointcmt_cli.api import farthest_points, gather, k_nearest, pooled_mlp

NEIGHBOURS = 32
CENTRES = (512, 256)
ATTENTIONS = 4
WIDTH = 256
"""Channels of the attention."""


class NeighbourEmbedding(nn.Module):
    """Points (B, N, 3) with rows (B, N, C) -> centres (B, M, 3) with rows (B, M, 2 C)."""

    def __init__(self, centres: int, channels: int) -> None:
        super().__init__()
        self.centres = centres
        self.first, self.second = (Layer(2 * channels, 2 * channels) for _ in range(2))

    def forward(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; of a cloud with fewer points than centres or neighbours, all are taken."""
        number = points.shape[1]
        chosen = farthest_points(points, min(self.centres, number))
        centres = gather(points, chosen)
        index = k_nearest(points, centres, min(NEIGHBOURS, number))  # (B, M, k)
        of_difference, of_centre = self.first.linear.weight.chunk(2, dim=1)
        with torch.autocast(rows.device.type, enabled=False):  # products are subtracted
            rows = rows.to(of_centre.dtype)
            first = F.linear(rows, of_difference)
            seen_from = F.linear(gather(rows, chosen), of_difference - of_centre)
        linears = [self.first.linear, self.second.linear]
        norms = [self.first.norm, self.second.norm]
        return centres, pooled_mlp(first, seen_from, index, linears, norms)


class OffsetAttention(nn.Module):
    """Rows (B, M, C) -> the same; queries and keys by one matrix."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.key = nn.Linear(channels, channels // 4, bias=False)
        self.value = nn.Linear(channels, channels)
        self.offset = Layer(channels, channels, bias=True)

    def forward(self, rows: Tensor) -> Tensor:
        """Softmax over what a row attends to, then shares of what attends to each row."""
        keys = self.key(rows)
        attention = (keys @ keys.mT).softmax(dim=-1)
        attention = attention / (1e-9 + attention.sum(dim=1, keepdim=True))
        attended = attention.mT @ self.value(rows)
        offset: Tensor = self.offset(rows - attended)
        return rows + offset


class PCT(nn.Module):
    """See the module's text."""

    feature_dim = 1024
    minimum_points = 1

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(Layer(3, 64), Layer(64, 64))
        self.embeddings = nn.ModuleList(
            NeighbourEmbedding(centres, channels)
            for centres, channels in zip(CENTRES, (64, 128), strict=True)
        )
        self.before = nn.Sequential(Layer(WIDTH, WIDTH), Layer(WIDTH, WIDTH))
        self.attentions = nn.ModuleList(OffsetAttention(WIDTH) for _ in range(ATTENTIONS))
        self.joined = Layer((ATTENTIONS + 1) * WIDTH, self.feature_dim, 0.2)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 1024)."""
        rows = self.points(points)
        for embedding in self.embeddings:
            points, rows = embedding(points, rows)
        outputs = [self.before(rows)]
        for attention in self.attentions:
            outputs.append(attention(outputs[-1]))
        features: Tensor = self.joined(torch.cat([*outputs[1:], rows], dim=-1)).amax(dim=1)
        return features

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of Strawberry-Eat-Mango's checkpoints."""
        names = names_of("joined", "conv_fuse.0", "conv_fuse.1")
        for i, layer in enumerate(("first", "second")):
            conv, norm = f"conv{i + 1}", f"bn{i + 1}"
            names |= names_of(f"points.{i}", conv, norm)
            names |= names_of(f"before.{i}", f"pt_last.{conv}", f"pt_last.{norm}")
            for place in range(2):
                own, there = f"embeddings.{place}.{layer}", f"gather_local_{place}"
                names |= names_of(own, f"{there}.{conv}", f"{there}.{norm}")
        for i in range(ATTENTIONS):
            own, there = f"attentions.{i}", f"pt_last.sa{i + 1}"
            names |= {f"{own}.key": f"{there}.k_conv", f"{own}.value": f"{there}.v_conv"}
            names |= names_of(f"{own}.offset", f"{there}.trans_conv", f"{there}.after_norm")
        return names


def pct() -> PCT:
    """PCT."""
    return PCT()
