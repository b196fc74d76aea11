"""Rows and norms of `pooled_mlp` on a CPU: how rows are made from points, block by block, and a folded batch norm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointcmt_cli.ops.peers import Peers
from pointcmt_cli.ops.rows import kernels
from pointcmt_cli.ops.threads import cuts, share

BLOCK = 4096
"""Rows handled at once: 1 to 2 MB at 64 to 128 channels, about what a core's own cache holds."""


PARTS = 16
"""Pieces that threads take; sums are kept apart for each and added in order, whatever the number of threads."""


@dataclass(frozen=True)
class Norm:
    """One batch norm with its statistics (C,), folded: y = z * scale + shift."""

    mean: Tensor
    rstd: Tensor
    scale: Tensor
    shift: Tensor
    total: float = 0
    """Rows that the statistics are of."""
    peers: Peers | None = None
    """The processes whose rows these are, where they are not all this one's."""

    @staticmethod
    def of(mean: Tensor, variance: Tensor, norm: nn.BatchNorm1d, dtype: torch.dtype) -> "Norm":
        """From float64 statistics."""
        rstd = (variance.clamp_min(0) + norm.eps).rsqrt()
        scale = norm.weight.detach().double() * rstd
        shift = norm.bias.detach().double() - mean * scale
        return Norm(mean.to(dtype), rstd.to(dtype), scale.to(dtype), shift.to(dtype))

    def activate(self, z: Tensor, out: Tensor) -> Tensor:
        """a (R, C), written into `out`."""
        kernels.activate(z.numpy(), self.scale.numpy(), self.shift.numpy(), out.numpy())
        return out


class Rows:
    """Where the first layer's z comes from: points (B, N, C1) put into groups, or rows (B, M, k, C1) as they are."""

    def __init__(self, first: Tensor, centres: Tensor | None, index: Tensor | None) -> None:
        self.first = first.detach().contiguous()
        self.centres = None if centres is None else centres.detach().contiguous()
        self.index = None if index is None else index.contiguous()
        self.batch, self.centre_count, self.neighbours = (
            first.shape[:3] if index is None else index.shape
        )
        self.groups = self.batch * self.centre_count
        self.total = self.groups * self.neighbours
        self.channels = first.shape[-1]

        self.parts = [
            (first * self.centre_count, last * self.centre_count)
            for first, last in cuts(self.batch, PARTS)
        ]
        """Groups from and to, whole clouds, so that what is summed for a cloud's points is one part's alone."""

    def blocks(self, part: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """First and last group of each block of a part."""
        step = max(1, BLOCK // self.neighbours)
        for start in range(*part, step):
            yield start, min(start + step, part[1])

    def buffer(self, channels: int) -> Tensor:
        """Room for one block of rows."""
        rows = max(1, BLOCK // self.neighbours) * self.neighbours
        return self.first.new_empty(min(rows, self.total), channels)

    def part(self, values: Tensor, start: int, end: int) -> Tensor:
        """The rows of the groups start to end, of values (R, C)."""
        return values[start * self.neighbours : end * self.neighbours]

    def flat(self) -> Tensor:
        """z of the first layer (R, C1), where it is given as rows."""
        return self.first.view(-1, self.channels)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (C1,) of z, float64."""
        sums = self.new_sums(self.channels)
        if self.index is None or self.centres is None:
            pilot = self.flat()[0]
        else:
            pilot = self.first[0, self.index[0, 0, 0]] - self.centres[0, 0]

        def add(part: int) -> None:
            start, end = self.parts[part]
            if self.index is None or self.centres is None:
                rows = self.part(self.flat(), start, end)
                kernels.moments(rows.numpy(), pilot.numpy(), sums[part])
                return
            first, centres, index = self.first.numpy(), self.centres.numpy(), self.index.numpy()
            kernels.group_moments(first, centres, index, start, end, pilot.numpy(), sums[part])

        share(add, len(self.parts))
        return statistics(sums, pilot, self.total)

    def new_sums(self, channels: int) -> NDArray[np.float64]:
        """Zeros (parts, 2, C) that the kernels add to."""
        return np.zeros((len(self.parts), 2, channels))


def statistics(sums: NDArray[Any], pilot: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,), float64, from each part's sums of x - pilot and of its square."""
    one, two = torch.from_numpy(sums.sum(axis=0) / total)
    return one + pilot.double(), two - one.square()
