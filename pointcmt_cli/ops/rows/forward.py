"""`pooled_mlp` on a CPU, the forward pass; the method is told there, the backward pass is `backward`.

Notation: of each layer, z is the product before batch norm (without the Linear's bias) and a = ReLU(z * scale + shift).
R rows in all, in G groups of k.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pointcmt_cli.ops.rows import kernels
from pointcmt_cli.ops.rows.blocks import PARTS, Norm, Rows, statistics
from pointcmt_cli.ops.rows.products import rows_by_weight, rows_crossed
from pointcmt_cli.ops.rows.shared_norm import peers_of
from pointcmt_cli.ops.threads import cuts, share


class Layers:
    """What is known of the layers so far, the last one apart: their folded norms and, from the second on, their z."""

    def __init__(self, rows: Rows, low: bool) -> None:
        self.rows = rows
        self.low = low
        self.norms: list[Norm] = []
        self.products: list[dict[int, Tensor]] = []

    def add(self, norm: Norm) -> None:
        """The next layer's norm is known; of the first, points and centres are scaled once for all rows."""
        self.norms.append(norm)
        rows = self.rows
        if len(self.norms) == 1 and rows.centres is not None:
            points = torch.addcmul(norm.shift, rows.first, norm.scale)
            self.scaled = Rows(points, rows.centres * norm.scale, rows.index)

    def z(self, place: int, start: int, end: int) -> Tensor:
        """z of one layer for the groups start to end; not of a grouped first layer, which has none."""
        return (
            self.products[place - 1][start]
            if place
            else self.rows.part(self.rows.flat(), start, end)
        )

    def activation(self, place: int, start: int, end: int, buffer: Tensor) -> Tensor:
        """a of one layer for the groups start to end, written into `buffer`."""
        out = buffer[: (end - start) * self.rows.neighbours]
        if place or self.rows.index is None or self.scaled.centres is None:
            return self.norms[place].activate(self.z(place, start, end), out)
        points, centres = self.scaled.first.numpy(), self.scaled.centres.numpy()
        kernels.group_rows(points, centres, self.rows.index.numpy(), start, end, out.numpy())
        return out


class Last:
    """The last layer: its z is pooled block by block and never kept."""

    def __init__(self, linear: nn.Linear, norm: nn.BatchNorm1d, rows: Rows) -> None:
        dtype = rows.first.dtype
        self.sign = torch.where(norm.weight.detach() < 0, -1, 1).to(dtype)
        """Where the norm turns z around, the largest output is the smallest z."""
        self.weight = linear.weight.detach() * self.sign[:, None]
        self.best = torch.empty(rows.groups, linear.out_features, dtype=dtype)
        self.where = torch.empty(rows.groups, linear.out_features, dtype=torch.int32)

    def pool(self, a: Tensor, start: int, end: int, low: bool) -> None:
        """Maxima of the groups start to end, whose inputs are `a`."""
        z = rows_by_weight(a, self.weight, low)
        kernels.pool(z.numpy(), self.best[start:end].numpy(), self.where[start:end].numpy())

    def output(self, norm: Norm, last_relu: bool) -> Tensor:
        """The pooled rows (G, CL) after batch norm and ReLU; call once: `best` becomes z itself."""
        self.best *= self.sign
        pooled = torch.addcmul(norm.shift, self.best, norm.scale)
        return pooled.relu_() if last_relu else pooled


def infer(
    rows: Rows,
    linears: Sequence[nn.Linear],
    norms: Sequence[nn.BatchNorm1d],
    last_relu: bool,
    low: bool,
) -> Tensor:
    """Pooled rows (G, CL) with running statistics; all layers of a block at once, nothing kept."""
    folded = [running(*pair, rows.first.dtype) for pair in zip(linears, norms, strict=True)]
    layers = Layers(rows, low)
    layers.add(folded[0])
    last = Last(linears[-1], norms[-1], rows)
    parts = cuts(rows.groups, PARTS)

    def run(part: int) -> None:
        buffer = rows.buffer(rows.channels)
        for start, end in rows.blocks(parts[part]):
            a = layers.activation(0, start, end, buffer)
            for linear, norm in zip(linears[1:-1], folded[1:-1], strict=True):
                z = rows_by_weight(a, linear.weight, low)
                a = norm.activate(z, z)
            last.pool(a, start, end, low)

    share(run, len(parts))
    return last.output(folded[-1], last_relu)


def train(
    rows: Rows, linears: Sequence[nn.Linear], norms: Sequence[nn.BatchNorm1d], low: bool
) -> tuple[Layers, Last, Tensor, Tensor]:
    """Every layer with batch statistics, which also move the running ones; and the last input's Gram matrix and sum.

    The Gram matrix (C, C) and the sum (C,) over all rows are float64; they give the last layer's statistics.
    """
    layers = Layers(rows, low)
    known = (rows.total, rows.first.dtype)
    layers.add(tracked(*rows.moments(), norms[0], *known, linears[0].bias))
    for place in range(1, len(linears) - 1):
        mean, variance = _keep_product(layers, place, linears[place])
        layers.add(tracked(mean, variance, norms[place], *known, linears[place].bias))
    last = Last(linears[-1], norms[-1], rows)
    gram, total = _pool_last(layers, last, len(linears) - 2)
    weight = linears[-1].weight.detach().double()
    mean = total / rows.total
    covariance = gram / rows.total - torch.outer(mean, mean)
    variance = ((weight @ covariance) * weight).sum(dim=1)
    layers.add(tracked(weight @ mean, variance, norms[-1], *known, linears[-1].bias))
    return layers, last, gram, total


def _keep_product(layers: Layers, place: int, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    rows = layers.rows
    products: dict[int, Tensor] = {}
    sums = rows.new_sums(linear.out_features)
    weight = linear.weight.detach()
    a = layers.activation(place - 1, 0, 1, rows.buffer(linear.in_features))
    pilot = rows_by_weight(a[:1], weight, layers.low)[0]

    def run(part: int) -> None:
        buffer = rows.buffer(linear.in_features)
        for start, end in rows.blocks(rows.parts[part]):
            a = layers.activation(place - 1, start, end, buffer)
            products[start] = rows_by_weight(a, weight, layers.low)
            kernels.moments(products[start].numpy(), pilot.numpy(), sums[part])

    share(run, len(rows.parts))
    layers.products.append(products)
    return statistics(sums, pilot, rows.total)


def _pool_last(layers: Layers, last: Last, place: int) -> tuple[Tensor, Tensor]:
    rows = layers.rows
    width = last.weight.shape[1]
    grams = torch.zeros(len(rows.parts), width, width, dtype=torch.float64)
    totals = torch.zeros(len(rows.parts), width, dtype=torch.float64)

    def run(part: int) -> None:
        buffer = rows.buffer(width)
        for start, end in rows.blocks(rows.parts[part]):
            a = layers.activation(place, start, end, buffer)
            grams[part] += rows_crossed(a, a, layers.low)
            totals[part] += a.sum(dim=0)
            last.pool(a, start, end, layers.low)

    share(run, len(rows.parts))
    return grams.sum(dim=0), totals.sum(dim=0)


def tracked(
    mean: Tensor,
    variance: Tensor,
    norm: nn.BatchNorm1d,
    total: int,
    dtype: torch.dtype,
    bias: Tensor | None = None,
) -> Norm:
    """The norm with these statistics of `total` rows, which also move the running ones, those with `bias` added.

    Where several processes share the batch, the statistics become those of everybody's rows.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    peers, rows = peers_of(norm), float(total)
    if peers is not None:
        mean, variance, everybody = peers.moments(mean, variance, total)
        rows = float(everybody)
    with torch.no_grad():
        whole = mean if bias is None else mean + bias.double()
        unbiased = variance * (rows / max(rows - 1, 1))
        norm.running_mean.lerp_(whole.to(norm.running_mean.dtype), norm.momentum)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
        norm.num_batches_tracked += 1
    return replace(Norm.of(mean, variance, norm, dtype), total=rows, peers=peers)


def running(linear: nn.Linear, norm: nn.BatchNorm1d, dtype: torch.dtype) -> Norm:
    """The norm with its running statistics, for z without the Linear's bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean = norm.running_mean.double()
    mean = mean if linear.bias is None else mean - linear.bias.detach().double()
    return Norm.of(mean, norm.running_var.double(), norm, dtype)
