"""The curves of CurveNet (Xiang et al., ICCV 2021, arXiv 2105.01288): where they walk, and what points take from them.

Letters: B clouds, N points, k neighbours, n curves of l steps, C channels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from pointcmt_backbones.layer import Layer
from pointcmt_cli.api import gather

SLOPE = 0.2
"""Of every LeakyReLU."""
CURVES, LENGTH = 100, 5
Momentum = Literal["paper", "reference"]


class Walk(nn.Module):
    """Rows (B, N, C) and their neighbours (B, N, k) -> curves (B, 100, 5, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start = nn.Linear(channels, 1, bias=False)
        self.agent = Layer(2 * channels, 1, slope=1)
        self.momentum = Layer(2 * channels, 2, slope=1)

    def forward(self, rows: Tensor, neighbours: Tensor, momentum: Momentum) -> Tensor:
        """Each curve goes on to the neighbour the agent prefers; the gradient flows through its softmax."""
        scores = self.start(rows).sigmoid()
        rows = rows * scores
        place = scores[..., 0].topk(min(CURVES, rows.shape[1]), dim=1).indices  # (B, n)
        state = gather(rows, place)
        steps: list[Tensor] = []
        for _ in range(LENGTH):
            if steps:
                state = self.went_on(steps[-1], state, momentum)
            near_index = gather(neighbours, place)  # (B, n, k)
            near = gather(rows, near_index)
            before = state[:, :, None].expand_as(near)
            wanted = self.agent(torch.cat([near, before], dim=-1))[..., 0]
            if steps:
                wanted = wanted * forwards(steps[-1] - state, near - steps[-1][:, :, None])
            soft = wanted.softmax(dim=-1)
            chosen = soft.argmax(dim=-1, keepdim=True)
            hard = (torch.arange(soft.shape[-1], device=soft.device) == chosen).to(soft.dtype)
            steps.append((near * ((hard - soft).detach() + soft)[..., None]).sum(dim=2))
            place = near_index.gather(2, chosen)[..., 0]
        return torch.stack(steps, dim=2)

    def went_on(self, current: Tensor, state: Tensor, momentum: Momentum) -> Tensor:
        """The curve's descriptor: a mean of where it is and where it was, weighted by what it learnt."""
        shares = self.momentum(torch.cat([current, state], dim=-1)).softmax(dim=-1)  # (B, n, 2)
        if momentum == "reference":  # reads (B, 2, n) as (B, n, 2)
            shares = shares.mT.reshape(shares.shape)
        both: Tensor = current * shares[..., :1] + state * shares[..., 1:]
        return both


def forwards(before: Tensor, after: Tensor) -> Tensor:
    """1 for steps (B, n, k, C) that go on as the last one (B, n, C) did, down to 0 for those that turn back."""
    before, after = before.detach()[:, :, None], after.detach()
    lengths = before.norm(dim=-1) * after.norm(dim=-1)
    cosine: Tensor = (before * after).sum(dim=-1) / lengths.clamp_min(1e-8)
    return (1 + cosine).clamp(0, 1)


class CurveAggregation(nn.Module):
    """Rows (B, N, C) and curves (B, n, l, C) -> rows (B, N, C): attention to whole curves and to steps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.line = nn.Linear(channels, 1, bias=False)
        wide, narrow = (channels, half), (half, half)
        self.inter, self.intra, self.query = (nn.Linear(*wide, bias=False) for _ in range(3))
        self.inter_value, self.intra_value = (nn.Linear(*narrow, bias=False) for _ in range(2))
        self.joined = Layer(2 * half, channels, SLOPE)

    def forward(self, rows: Tensor, curves: Tensor) -> Tensor:
        """See the class."""
        line, query = self.line(curves), self.query(rows)
        inter = self.inter((curves * line.softmax(dim=2)).sum(dim=2))  # (B, n, C / 2)
        intra = self.intra((curves * line.softmax(dim=1)).sum(dim=1))  # (B, l, C / 2)
        found = [
            (query @ keys.mT).softmax(dim=-1) @ values(keys)
            for keys, values in ((inter, self.inter_value), (intra, self.intra_value))
        ]
        added: Tensor = self.joined(torch.cat(found, dim=-1), rows)
        return added
