"""PointNet (Qi et al., CVPR 2017, arXiv 1612.00593), the encoder: points (B, N, 3) -> features (B, 1024).

One MLP 3 -> 64 -> 128 -> 1024 for every point, then the maximum over the points; no ReLU after the last batch norm.
This is the network of the PyTorch ports (fxia22/pointnet.pytorch, yanx27/Pointnet_Pointnet2_pytorch). With
`transforms`, both T-Nets: a 3 x 3 matrix for the points, a 64 x 64 one for their features; the ports' orthogonality
penalty on the latter is a loss of its own and is left out. The core's neck and head replace
the paper's head (512, 256, K).
"""

import torch
from torch import Tensor, nn

from pointcmt_backbones.shared_mlp import SharedMLP


class TransformNet(nn.Module):
    """Predicts one C x C matrix per cloud from rows (B, N, C): the identity plus what it learns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.points = SharedMLP([channels, 64, 128, 1024])
        self.cloud = SharedMLP([1024, 512, 256])
        self.matrix = nn.Linear(256, channels * channels)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (B, N, C) -> matrices (B, C, C)."""
        cloud = self.cloud(self.points.pooled(rows))
        matrix: Tensor = self.matrix(cloud)
        return matrix.view(-1, self.channels, self.channels) + torch.eye(
            self.channels, dtype=matrix.dtype, device=matrix.device
        )


class PointNet(nn.Module):
    """See the module's text."""

    feature_dim = 1024
    minimum_points = 1

    def __init__(self, transforms: bool) -> None:
        super().__init__()
        self.point_transform = TransformNet(3) if transforms else None
        self.feature_transform = TransformNet(64) if transforms else None
        self.local = SharedMLP([3, 64])
        self.deep = SharedMLP([64, 128, 1024], last_relu=False)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 1024)."""
        matrix = None if self.point_transform is None else self.point_transform(points)
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round coordinates
            if matrix is not None:
                points = points @ matrix.to(points)
            rows = self.local(points)  # (B, N, 64)
        if self.feature_transform is not None:
            rows = rows @ self.feature_transform(rows)
        return self.deep.pooled(rows)

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of yanx27's and fxia22's checkpoints."""
        names = self.local.names("local", ["feat.conv1"], ["feat.bn1"])
        names |= self.deep.names("deep", ["feat.conv2", "feat.conv3"], ["feat.bn2", "feat.bn3"])
        nets = {
            "point_transform": self.point_transform,
            "feature_transform": self.feature_transform,
        }
        for (own, net), there in zip(nets.items(), ("feat.stn", "feat.fstn"), strict=True):
            if net is not None:
                convs, norms = (
                    [f"{there}.{each}{i}" for i in (1, 2, 3)] for each in ("conv", "bn")
                )
                names |= net.points.names(f"{own}.points", convs, norms)
                linears, norms = [f"{there}.fc1", f"{there}.fc2"], [f"{there}.bn4", f"{there}.bn5"]
                names |= net.cloud.names(f"{own}.cloud", linears, norms)
                names[f"{own}.matrix"] = f"{there}.fc3"
        return names


def pointnet(*, transforms: bool = False) -> PointNet:
    """PointNet; `transforms`: with both T-Nets (3.5 times the parameters)."""
    return PointNet(transforms)
