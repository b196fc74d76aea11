"""Batch norm over a batch that several processes share: the statistics are those of everybody's rows, exactly.

In: a model; `share_norms` turns its batch norms, in place, into ones that ask their peers, with the same parameters and
the same names. Sums are float64 and weighed by each process's number of rows, on every device; torch's own
SyncBatchNorm refuses a CPU. In eval mode, and while the batch is not spread, they are what they were.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from pointcmt_cli.errors import PluginError
from pointcmt_cli.ops.peers import Peers


class _SharedNorm(_BatchNorm):
    peers: Peers

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, C, ...), normed over everybody's B."""
        if not (self.training and self.peers.active):
            return super().forward(values)
        self._check_input_dim(values)  # type: ignore[no-untyped-call]
        normed: Tensor = _Normed.apply(values, self.weight, self.bias, self)  # type: ignore[no-untyped-call]
        return normed

    def track(self, mean: Tensor, variance: Tensor, rows: Tensor) -> None:
        """Move the running statistics, as torch's batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        by = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        unbiased = variance * (rows / (rows - 1).clamp_min(1))
        self.running_mean.lerp_(mean.to(self.running_mean), by)
        self.running_var.lerp_(unbiased.to(self.running_var), by)


class SharedNorm1d(_SharedNorm, nn.BatchNorm1d):
    """BatchNorm1d of a shared batch."""


class SharedNorm2d(_SharedNorm, nn.BatchNorm2d):
    """BatchNorm2d of a shared batch."""


class SharedNorm3d(_SharedNorm, nn.BatchNorm3d):
    """BatchNorm3d of a shared batch."""


SHARED: dict[type, type[_SharedNorm]] = {
    nn.BatchNorm1d: SharedNorm1d,
    nn.BatchNorm2d: SharedNorm2d,
    nn.BatchNorm3d: SharedNorm3d,
}


def share_norms(model: nn.Module, peers: Peers) -> None:
    """Every batch norm of `model` becomes a shared one; its class changes, the object and its state stay."""
    for name, module in model.named_modules():
        if not isinstance(module, _BatchNorm) or isinstance(module, nn.SyncBatchNorm):
            continue
        if type(module) not in SHARED:
            raise PluginError(
                f"{name} is a {type(module).__name__}, a batch norm of its own kind, whose statistics several "
                "processes cannot share: train in one process, or use torch's BatchNorm1d, 2d or 3d"
            )
        module.__class__ = SHARED[type(module)]
        module.peers = peers  # type: ignore[assignment]


def peers_of(norm: nn.Module) -> Peers | None:
    """Those whose rows count too; None: this process's rows are all."""
    peers = norm.peers if isinstance(norm, _SharedNorm) else None
    return peers if peers is not None and peers.active else None


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, norm: _SharedNorm
    ) -> Tensor:
        low = values.dtype in (torch.bfloat16, torch.float16)
        wide = values.float() if low else values
        ctx.dims = [0, *range(2, wide.dim())]
        shape = [-1 if d == 1 else 1 for d in range(wide.dim())]
        own = wide.mean(ctx.dims, dtype=torch.float64)  # (C,)
        pilot = own.to(wide.dtype)
        square = (wide - pilot.view(shape)).square().mean(ctx.dims, dtype=torch.float64)
        own_variance = square - (own - pilot).square()
        rows = wide.numel() // wide.shape[1]
        mean, variance, ctx.total = norm.peers.moments(own, own_variance, rows)
        norm.track(mean, variance, ctx.total)
        rstd = (variance.clamp_min(0) + norm.eps).rsqrt().to(wide.dtype)
        ctx.save_for_backward(values, weight, mean.to(wide.dtype).view(shape), rstd.view(shape))
        ctx.peers, ctx.shape = norm.peers, shape
        normed = (wide - mean.to(wide.dtype).view(shape)) * rstd.view(shape)
        if weight is not None:
            normed *= weight.view(shape)
        if bias is not None:
            normed += bias.view(shape)
        return normed.to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, rstd = ctx.saved_tensors
        wide, up = values.to(mean.dtype), gradient.to(mean.dtype)
        normed = (wide - mean) * rstd
        of_bias = up.sum(ctx.dims, dtype=torch.float64)  # (C,), of one's own rows
        of_weight = (up * normed).sum(ctx.dims, dtype=torch.float64)
        sums = ctx.peers.sum(torch.stack([of_bias, of_weight])) / ctx.total
        level, along = (each.to(wide.dtype).view(ctx.shape) for each in sums)
        scale = rstd if weight is None else rstd * weight.view(ctx.shape)
        down = (scale * (up - level - normed * along)).to(values.dtype)
        _, has_weight, has_bias, _ = ctx.needs_input_grad
        to_weight = of_weight.to(wide.dtype) if has_weight else None
        return down, to_weight, of_bias.to(wide.dtype) if has_bias else None, None
