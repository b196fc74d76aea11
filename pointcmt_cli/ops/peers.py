"""The processes that share a batch: which rows are whose, sums over all of them, and the rows put together again.

In: tensors that are alike in every process, or each one's own part; out: the whole batch's. A process alone is its own
peer: nothing is sent and nothing is copied. Gradients follow the convention of torch's DistributedDataParallel, which
takes the mean over processes: `whole` hands each process the gradient of its own rows, times the number of processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from torch import Tensor


class Peers:
    """`active` while a batch is spread; otherwise every process has the whole of it."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank = rank
        self.world = world
        self.active = False
        self.drawn = (0, 0)

    def share(self, rows: int) -> slice:
        """This process's run of a batch's rows; runs differ by one row at most."""
        if not self.active:
            return slice(0, rows)
        each, more = divmod(rows, self.world)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def part(self, values: Tensor) -> Tensor:
        """This process's rows of values (B, ...)."""
        return values[self.share(len(values))] if self.active else values

    def whole(self, part: Tensor, rows: int) -> Tensor:
        """Everybody's rows (B, ...) from this process's own, in the batch's order; differentiable."""
        if not self.active:
            return part
        joined: Tensor = _Whole.apply(part, self, rows)  # type: ignore[no-untyped-call]
        return joined

    def sum(self, values: Tensor) -> Tensor:
        """Over all processes; not differentiable."""
        total = values.detach().clone()
        torch.distributed.all_reduce(total)
        return total

    def moments(self, mean: Tensor, variance: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and biased variance (C,) of everybody's rows, and their number (), float64, from one's own."""
        mean, variance = mean.double(), variance.double()
        powers = torch.cat([mean.new_ones(1), mean, variance + mean.square()])
        summed = self.sum(powers * rows)  # (1 + 2 C,)
        first, second = (summed[1:] / summed[0]).chunk(2)
        return first, second - first.square(), summed[0]

    @contextmanager
    def own_numbers(self) -> Iterator[None]:
        """torch's global numbers (dropout), other ones in every process; afterwards they go on as if none was drawn."""
        if not self.active:
            yield
            return
        seed, times = torch.initial_seed(), self.drawn[1]
        self.drawn = (seed, times + 1 if seed == self.drawn[0] else 1)
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            torch.manual_seed((seed + self.drawn[1] * self.world + self.rank) % 2**63)
            yield


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, peers: Peers, rows: int) -> Tensor:
        ctx.mine, ctx.world = peers.share(rows), peers.world
        joined = part.new_zeros(rows, *part.shape[1:])
        joined[ctx.mine] = part
        return peers.sum(joined)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.mine] * ctx.world, None, None
