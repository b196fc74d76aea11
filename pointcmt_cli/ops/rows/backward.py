"""`pooled_mlp` on a CPU, the backward pass. In: the loss's gradient by the pooled rows; out: by all that went in.

Notation as in `forward`: of a layer, rows a' (R, C') come in, z = a' W^T (R, C), y = batch norm of z, a = ReLU(y). dx
is the loss's gradient by x. mu and r are a channel's mean and 1 / standard deviation, n = (z - mu) r, gamma and beta
the norm's parameters, scale = gamma r. Sums run over this process's R rows, so that its parameters' gradients are its
own share; mu, r and the means below are of the rows of all processes that share the batch.

1. Batch norm. y = gamma n + beta gives d beta = sum(dy) and d gamma = sum(dy n). As mu and r depend on every row,

       dz = scale (dy - mean(dy) - n mean(dy n))                      (Ioffe & Szegedy 2015, section 3)

   which is affine in z: with n = r z - r mu,

       dz = scale dy + slope z + offset,  slope = -scale r mean(dy n),  offset = -scale mean(dy) - slope mu.   (*)

   Two sums over all rows thus come first, and each layer takes one pass over the blocks, which makes da' of the layer
   before together with the sums of its dy. (`NormGradient`, `_combine`)

2. The last layer. What comes in is dy of the pooled rows, already through their ReLU. Only one row of each group and
   channel, the maximum's, has it (the largest y, which is the smallest z where gamma < 0): call that sparse matrix
   (R, C) S. Its sums are those of the G pooled rows. By (*), dz = scale S + slope z + offset with z = a' W^T, so
   neither z nor dz is needed as a matrix of R rows:

       dW  = dz^T a' = (scale S)^T a' + diag(slope) W (a'^T a') + offset sum(a')^T
       da' = dz W    = (scale S) W + a' (W^T diag(slope) W) + offset W

   The Gram matrix a'^T a' (C', C') and sum(a') are what the forward pass has its statistics from; W^T diag(slope) W is
   (C', C') as well, narrower than the layer. What S adds is G CL rank-one terms, one for each maximum. (`_last`)

3. A middle layer. z is kept: dz by (*), dW = dz^T a', da' = dz W. (`_middle`)

4. ReLU. dy' = da' where a' > 0, else 0; its sums for step 1 of the layer before are taken at once. (`take`)

5. The first layer. What it was made of is the caller's: dz goes back as the gradient of `first`. Grouped, a row shows
   a point p_j and a centre c_i, z = p_j - c_i, and dz, affine in z, is summed for each of them without being made:

       dp_j =   sum over the rows that show j: scale sum(dy) + slope (count p_j - sum(c)) + offset count
       dc_i = -(sum over the k rows of i:      scale sum(dy) + slope (sum(p) - k c_i)     + offset k)

   (`GroupedGradient`; ungrouped, `KeptGradient`.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.ops.rows import kernels
from pointcmt_cli.ops.rows.blocks import Norm
from pointcmt_cli.ops.rows.forward import Last, Layers
from pointcmt_cli.ops.rows.products import rows_by_weight, rows_crossed
from pointcmt_cli.ops.threads import share


@dataclass(frozen=True)
class NormGradient:
    """Of one batch norm: its parameters' gradients (C,), and the affine part of dz."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor

    @staticmethod
    def of(norm: Norm, sums: NDArray[np.float64] | Tensor) -> "NormGradient":
        """From the sums (2, C) of dy and of dy * normed z over this process's rows; the affine part is of all rows."""
        bias, weight = own = torch.as_tensor(sums, dtype=torch.float64)
        of_bias, of_weight = own if norm.peers is None else norm.peers.sum(own)
        scale, rstd, mean = norm.scale.double(), norm.rstd.double(), norm.mean.double()
        # Step 1: of_bias and of_weight are the sums of dy and of dy n over all processes, norm.total their rows.
        slope = -scale * rstd * of_weight / norm.total
        offset = -scale * of_bias / norm.total - slope * mean
        dtype = norm.mean.dtype
        return NormGradient(weight.to(dtype), bias.to(dtype), slope.to(dtype), offset.to(dtype))


class KeptGradient:
    """dy (R, C) of a layer whose z is there, block by block, and its sums."""

    def __init__(self, layers: Layers, place: int) -> None:
        self.layers, self.place = layers, place
        channels = len(layers.norms[place].mean)
        self.dy = layers.rows.first.new_empty(layers.rows.total, channels)
        self.sums = layers.rows.new_sums(channels)

    def take(self, part: int, da: Tensor, a: Tensor, start: int, end: int) -> None:
        """The groups start to end of a part."""
        norm = self.layers.norms[self.place]
        kernels.through_relu(
            da.numpy(),
            a.numpy(),
            self.layers.z(self.place, start, end).numpy(),
            norm.mean.numpy(),
            norm.rstd.numpy(),
            self.layers.rows.part(self.dy, start, end).numpy(),
            self.sums[part],
        )

    def to_first(self, of_norm: NormGradient) -> tuple[Tensor, None]:
        """dz of a first layer that was given as rows."""
        rows, norm = self.layers.rows, self.layers.norms[0]
        out = torch.empty_like(self.dy)
        _combine(self.dy, rows.flat(), norm, of_norm, out)
        return out.view(rows.first.shape), None


class GroupedGradient:
    """dy of a grouped first layer, summed at once for each point and each centre; its rows are never kept."""

    def __init__(self, layers: Layers) -> None:
        rows = layers.rows
        assert rows.centres is not None
        self.layers = layers
        self.to_points = rows.first.new_zeros(2, *rows.first.shape)
        self.to_centres = rows.first.new_zeros(2, *rows.centres.shape)
        self.sums = rows.new_sums(rows.channels)

    def take(self, part: int, da: Tensor, a: Tensor, start: int, end: int) -> None:
        """The groups start to end of a part."""
        rows, norm = self.layers.rows, self.layers.norms[0]
        assert rows.centres is not None
        assert rows.index is not None
        kernels.group_gradients(
            da.numpy(),
            a.numpy(),
            rows.first.numpy(),
            rows.centres.numpy(),
            rows.index.numpy(),
            start,
            end,
            norm.mean.numpy(),
            norm.rstd.numpy(),
            self.to_points.numpy(),
            self.to_centres.numpy(),
            self.sums[part],
        )

    def to_first(self, of_norm: NormGradient) -> tuple[Tensor, Tensor]:
        """d points and d centres: the affine dz summed over the rows that show each."""
        rows, norm = self.layers.rows, self.layers.norms[0]
        assert rows.centres is not None
        assert rows.index is not None
        shown = rows.first.new_zeros(rows.first.shape[:2])
        flat = rows.index.view(rows.batch, -1)
        shown.scatter_add_(1, flat, shown.new_ones(()).expand(flat.shape))
        # Step 5: `shown` counts the rows of each point; to_points holds their sums of dy and of centres.
        points = shown[..., None] * (of_norm.offset + of_norm.slope * rows.first)
        points += norm.scale * self.to_points[0] - of_norm.slope * self.to_points[1]
        of_centres = rows.neighbours * (of_norm.offset - of_norm.slope * rows.centres)
        of_centres += norm.scale * self.to_centres[0] + of_norm.slope * self.to_centres[1]
        return points, -of_centres


def backward(
    layers: Layers,
    last: Last,
    gram: Tensor,
    total: Tensor,
    weights: list[Tensor],
    gradient: Tensor,
) -> tuple[Tensor, Tensor | None, list[Tensor | None], list[NormGradient]]:
    """From dy (G, CL) of the pooled rows: d first, d centres; per layer d weight (not the first's) and its norm's."""
    of_weights: list[Tensor | None] = []
    sink, of_weight, of_norm = _last(layers, last, gram, total, weights[-1], gradient)
    of_weights.append(of_weight)
    of_norms = [of_norm]
    for place in range(len(weights) - 2, 0, -1):
        assert isinstance(sink, KeptGradient)
        of_norms.append(_norm_gradient(sink, place))
        sink, of_weight = _middle(layers, place, sink.dy, of_norms[-1], weights[place])
        of_weights.append(of_weight)
    of_norms.append(_norm_gradient(sink, 0))
    of_weights.append(None)
    of_first, of_centres = sink.to_first(of_norms[-1])
    return of_first, of_centres, of_weights[::-1], of_norms[::-1]


def _last(
    layers: Layers, last: Last, gram: Tensor, total: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[KeptGradient | GroupedGradient, Tensor, NormGradient]:
    rows, norm, place = layers.rows, layers.norms[-1], len(layers.norms) - 2
    normed = (last.best - norm.mean) * norm.rstd
    sums = torch.stack([gradient.double().sum(0), (gradient * normed).double().sum(0)])
    of_norm = NormGradient.of(norm, sums)
    slope, offset, wide = of_norm.slope.double(), of_norm.offset.double(), weight.double()
    # Step 2: what is dense of dW, and the matrix and the row by which da' is affine in a'.
    of_weight = torch.outer(offset, total) + slope[:, None] * (wide @ gram)
    affine = (wide.t() * slope) @ wide
    affine = affine.to(weight.dtype)
    constant = (offset @ wide).to(weight.dtype)
    through = (gradient * norm.scale).contiguous()  # what is not 0 of scale S, (G, CL)
    sparse = weight.new_zeros(len(rows.parts), *weight.shape)
    sink = _sink(layers, place)

    def run(part: int) -> None:
        buffer = rows.buffer(weight.shape[1])
        for start, end in rows.blocks(rows.parts[part]):
            a = layers.activation(place, start, end, buffer)
            da = rows_by_weight(a, affine, layers.low, constant)
            kernels.spread_maxima(
                through[start:end].numpy(),
                last.where[start:end].numpy(),
                weight.numpy(),
                a.numpy(),
                da.numpy(),
                sparse[part].numpy(),
            )
            sink.take(part, da, a, start, end)

    share(run, len(rows.parts))
    of_weight += sparse.double().sum(dim=0)
    return sink, of_weight.to(weight.dtype), of_norm


def _middle(
    layers: Layers, place: int, dy: Tensor, of_norm: NormGradient, weight: Tensor
) -> tuple[KeptGradient | GroupedGradient, Tensor]:
    rows = layers.rows
    sink = _sink(layers, place - 1)
    norm, across = layers.norms[place], weight.t().contiguous()
    of_weights = torch.zeros(len(rows.parts), *weight.shape, dtype=torch.float64)

    def run(part: int) -> None:
        dz_buffer, a_buffer = (rows.buffer(channels) for channels in weight.shape)
        for start, end in rows.blocks(rows.parts[part]):
            a = layers.activation(place - 1, start, end, a_buffer)
            dz, z = dz_buffer[: len(a)], layers.z(place, start, end)
            _combine(rows.part(dy, start, end), z, norm, of_norm, dz)
            of_weights[part] += rows_crossed(dz, a, layers.low)
            da = rows_by_weight(dz, across, layers.low)
            sink.take(part, da, a, start, end)

    share(run, len(rows.parts))
    return sink, of_weights.sum(dim=0).to(weight.dtype)


def _sink(layers: Layers, place: int) -> KeptGradient | GroupedGradient:
    grouped = place == 0 and layers.rows.index is not None
    return GroupedGradient(layers) if grouped else KeptGradient(layers, place)


def _norm_gradient(sink: KeptGradient | GroupedGradient, place: int) -> NormGradient:
    layers = sink.layers
    return NormGradient.of(layers.norms[place], sink.sums.sum(axis=0))


def _combine(dy: Tensor, z: Tensor, norm: Norm, of_norm: NormGradient, out: Tensor) -> None:
    arrays: list[Any] = [
        each.numpy() for each in (dy, z, norm.scale, of_norm.slope, of_norm.offset, out)
    ]
    kernels.combine(*arrays)
