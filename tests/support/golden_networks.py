"""The networks that the golden files name, small so that their checkpoints are. Never change or move them."""

from torch import Tensor, nn


class Cells(nn.Module):
    """Mean gray of 8 x 8 cells of every view, one layer, the maximum over the views."""

    feature_dim = 8
    pretrained = True

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(cells)
        self.layer = nn.Linear(cells * cells, self.feature_dim)

    def forward(self, views: Tensor) -> Tensor:
        """Views (B, V, 3, H, W) in [0, 1] -> features (B, 8)."""
        gray = self.pool(views.mean(dim=2))  # (B, V, cells, cells)
        pooled: Tensor = self.layer(1 - gray.flatten(2)).relu().amax(dim=1)
        return pooled


def teacher(*, cells: int = 8) -> nn.Module:
    return Cells(cells)


class Points(nn.Module):
    """One layer per point and the maximum."""

    feature_dim = 8
    minimum_points = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, self.feature_dim)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) -> features (B, 8)."""
        pooled: Tensor = self.layer(points).relu().amax(dim=1)
        return pooled


def student() -> nn.Module:
    return Points()
