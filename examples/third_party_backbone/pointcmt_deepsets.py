"""Deep Sets (Zaheer et al., NeurIPS 2017) on points and their neighbours: points (B, N, 3) -> features (B, width)."""

import torch
from torch import Tensor, nn

from pointcmt_cli.api import gather, k_nearest


class DeepSets(nn.Module):
    """Each point with its offsets to k neighbours through two layers; maximum over neighbours, mean over points."""

    def __init__(self, width: int, neighbours: int) -> None:
        super().__init__()
        self.feature_dim = width
        self.neighbours = neighbours
        self.edge = nn.Sequential(nn.Linear(6, 64), nn.ReLU())
        self.point = nn.Sequential(nn.Linear(64, width), nn.ReLU())

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> features (B, width)."""
        index = k_nearest(points, points, min(self.neighbours, points.shape[1]))
        offsets = gather(points, index) - points[:, :, None]  # (B, N, k, 3)
        edges = torch.cat([points[:, :, None].expand_as(offsets), offsets], dim=-1)
        features: Tensor = self.point(self.edge(edges).amax(dim=2)).mean(dim=1)
        return features


def deepsets(*, width: int = 256, neighbours: int = 8) -> DeepSets:
    """Deep Sets with `width` features and as many `neighbours` of each point."""
    return DeepSets(width, neighbours)
