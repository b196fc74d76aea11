"""The cross-modal point generator (CMPG) of PointCMT, and its loss: features (B, D) -> clouds (B, N, 3)."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from pointcmt_cli.ops.emd.distance import earth_movers_distance

HIDDEN = 1024
"""Width of the three-layer variant's hidden layers; the paper gives no number."""


class Generator(nn.Module):
    """Features (B, D) -> clouds (B, N, 3), unbounded.

    One layer, Dropout(0.5) + Linear(D, 3 N) without bias, is the reference code (models/cmpg.py); three are the
    paper's text ("works equally", its author says).
    """

    def __init__(self, width: int, points: int = 1024, layers: Literal[1, 3] = 1) -> None:
        super().__init__()
        self.points = points
        widths = [width] if layers == 1 else [width, HIDDEN, HIDDEN]
        parts: list[nn.Module] = [nn.Dropout(0.5)]
        for before, after in pairwise(widths):
            parts += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*parts, nn.Linear(widths[-1], 3 * points, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D) -> clouds (B, N, 3)."""
        flat: Tensor = self.layers(features)
        return flat.view(len(flat), self.points, 3)


def unit_box(clouds: Tensor) -> Tensor:
    """Clouds (B, N, 3), each moved and scaled so that its box is centred at 0 with longest side 1; differentiable.

    The reference subtracts (min - d) / 2 where min - d / 2 was meant, so its clouds are not centred; these are.

    >>> unit_box(torch.tensor([[[2.0, 0, 0], [6, 1, 0]]]))
    tensor([[[-0.5000, -0.1250,  0.0000],
             [ 0.5000,  0.1250,  0.0000]]])
    """
    low, high = clouds.amin(dim=1, keepdim=True), clouds.amax(dim=1, keepdim=True)
    side = (high - low).amax(dim=2, keepdim=True).clamp_min(1e-6)
    return (clouds - (low + high) / 2) / side


def generator_loss(generated: Tensor, target: Tensor, weight: float = 30.0) -> Tensor:
    """`weight` times the mean EMD of the clouds (B, N, 3), both in the unit box; 30: the reference's train_cmpg.py."""
    return weight * earth_movers_distance(unit_box(generated), unit_box(target)).mean()
