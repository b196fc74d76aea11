"""DGCNN (Wang et al., TOG 2019, arXiv 1801.07829), the encoder: points (B, N, 3) -> features (B, 2048).

Four edge convolutions, each on the k nearest neighbours in the space of its own input: one layer on (x_j - x_i, x_i)
and the maximum over j. All four outputs together go through one more layer, then the maximum and the mean over the
points. The paper's classifier without the spatial transform, as in the authors' PyTorch code (WangYueFt/dgcnn). The
core's neck and head replace the paper's head (512, 256, K).

An edge convolution is linear in x_j and x_i, and LeakyReLU is monotone: the layer acts on points before they are
grouped, and the maximum comes before norm and activation.

Which of two points is nearer in a space of features can hang on the last digit of a product, and so on the size of the
batch, the device and the runtime: in float32 the probabilities of one cloud in sixteen moved by up to 3e-3. In eval
mode the edge convolutions, their distances included, are therefore computed in float64, where no such tie was met. The
encoder takes 1.6 times as long for it (CPU, one thread, 1,024 points, batches of 1 and of 32).
"""

import itertools

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pointcmt_backbones.layer import Layer, names_of
from pointcmt_cli.api import PointCMTError, k_nearest, linear, pooled_mlp

SLOPE = 0.2
"""Of every LeakyReLU, as in the authors' code."""
WIDTHS = (64, 64, 128, 256)
"""Of the edge convolutions."""


class EdgeConvolution(nn.Module):
    """Rows (B, N, C) -> (B, N, D): max over the k nearest j of LeakyReLU(norm(W (x_j - x_i, x_i)))."""

    def __init__(self, channels: int, width: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.linear = nn.Linear(2 * channels, width, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class; with fewer than k points, all of them are neighbours. In eval mode the result is float64."""
        if not self.training and self.linear.weight.dtype != torch.float64:
            state = itertools.chain(self.named_parameters(), self.named_buffers())
            exact = {name: each.double() for name, each in state if each.is_floating_point()}
            pooled: Tensor = functional_call(self, exact, (rows.double(),))
            return pooled
        with torch.autocast(rows.device.type, enabled=False):  # neighbours tell small differences
            index = k_nearest(rows, rows, self._neighbours(rows.shape[1]))  # (B, N, k)
            of_difference, of_centre = self.linear.weight.chunk(2, dim=1)
            first = linear(rows, of_difference)
            seen_from = linear(rows, of_difference - of_centre)
            pooled = pooled_mlp(first, seen_from, index, [self.linear], [self.norm], False)
        # onnxruntime has no LeakyRelu in float64
        return torch.where(pooled > 0, pooled, SLOPE * pooled)

    def _neighbours(self, number: int) -> int:
        """In training no point counts twice; else what is missing repeats the nearest, which changes no maximum."""
        return min(self.neighbours, number) if self.training else self.neighbours


class DGCNN(nn.Module):
    """See the module's text."""

    minimum_points = 1

    def __init__(self, neighbours: int, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            EdgeConvolution(channels, out, neighbours)
            for channels, out in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True)
        )
        self.joined = Layer(sum(WIDTHS), width, SLOPE)
        self.feature_dim = 2 * width

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 2048): maxima, then means."""
        rows, outputs = points, []
        for edge in self.edges:
            rows = edge(rows)
            outputs.append(rows)
        values = self.joined(torch.cat(outputs, dim=-1).to(points.dtype))
        return torch.cat([values.amax(dim=1), values.mean(dim=1)], dim=-1)

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of WangYueFt's and antao97's checkpoints."""
        names = names_of("joined", "conv5.0", "conv5.1")
        for place in range(len(self.edges)):
            names |= names_of(f"edges.{place}", f"conv{place + 1}.0", f"conv{place + 1}.1")
        return names


def dgcnn(*, neighbours: int = 20, width: int = 1024) -> DGCNN:
    """DGCNN; `neighbours` k (the authors: 20 for 1,024 points, 40 for 2,048), `width` of the last layer."""
    if min(neighbours, width) < 1:
        raise PointCMTError(f"neighbours and width: at least 1 each, got {neighbours} and {width}")
    return DGCNN(neighbours, width)
