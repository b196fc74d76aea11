"""What each process of a shared training runs in its tests: parts of a batch against the whole batch in one process.

Started by torchrun; each check raises where the two differ. Everything is float64, so that only mistakes show.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.engine.student.ranks import Spread
from pointcmt_cli.engine.student.step import Step, plain
from pointcmt_cli.errors import DataError, PluginError
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.ops.peers import Peers
from pointcmt_cli.ops.rows.normed_rows import normed_rows
from pointcmt_cli.ops.rows.pooled_mlp import pooled_mlp, straightforward
from pointcmt_cli.ops.rows.shared_norm import share_norms

Network = Callable[[nn.Module, Tensor], Tensor]
ROWS = 5
"""Of the whole batch: an odd number, so that no two processes have equally many."""


def close(found: Tensor, wanted: Tensor, about: str) -> None:
    torch.testing.assert_close(
        found, wanted, rtol=1e-9, atol=1e-10, msg=lambda text: f"{about}: {text}"
    )


def compare(ranks: Spread, make: Callable[[], nn.Module], run: Network, values: Tensor) -> None:
    """Output, gradients and buffers of one's own rows, the parameters' gradients summed over processes."""
    torch.manual_seed(1)
    plain = make().double().train()
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    shared = copy.deepcopy(plain)
    names = list(shared.state_dict())
    share_norms(shared, ranks.peers)
    assert list(shared.state_dict()) == names
    weight = torch.randn(values.shape[0], dtype=torch.float64)
    ranks.peers.active = True
    mine = ranks.peers.share(len(values))
    inputs = []
    for module, given, scale in ((plain, values, weight), (shared, values[mine], weight[mine])):
        inputs.append(given.clone().requires_grad_())
        out = run(module, inputs[-1])
        (out.square().flatten(1).sum(1) * scale).sum().backward()
    about = f"{type(next(plain.children(), plain)).__name__} {values.shape}"
    assert inputs[0].grad is not None
    assert inputs[1].grad is not None
    close(inputs[1].grad, inputs[0].grad[mine], about)
    for (name, parameter), own in zip(plain.named_parameters(), shared.parameters(), strict=True):
        assert parameter.grad is not None
        assert own.grad is not None
        close(ranks.peers.sum(own.grad), parameter.grad, f"{about} {name}")
    for (name, buffer), own in zip(plain.named_buffers(), shared.buffers(), strict=True):
        close(own, buffer, f"{about} {name}")
    ranks.peers.active = False


def norms(ranks: Spread) -> None:
    kinds: list[tuple[Any, tuple[int, ...]]] = [
        (nn.BatchNorm1d, (ROWS, 6)),
        (nn.BatchNorm1d, (ROWS, 6, 4)),
        (nn.BatchNorm2d, (ROWS, 6, 4, 3)),
        (nn.BatchNorm3d, (ROWS, 6, 2, 3, 2)),
    ]
    options: list[dict[str, Any]] = [{}, {"momentum": None}]
    for kind, shape in kinds:
        values = 3 + torch.randn(shape, dtype=torch.float64)
        for given in options:
            compare(ranks, lambda k=kind, g=given: nn.Sequential(k(6, **g)), forward, values)
    for lacking in ("weight", "bias"):
        compare(ranks, lambda each=lacking: nn.Sequential(norm_without(each)), forward, values)


def norm_without(parameter: str) -> nn.Module:
    """A batch norm that lacks one of its two parameters, as some heads have it."""
    norm = nn.BatchNorm3d(6)
    setattr(norm, parameter, None)
    return norm


def forward(module: nn.Module, values: Tensor) -> Tensor:
    out: Tensor = module(values)
    return out


class Layers(nn.Module):
    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        self.linears = nn.ModuleList(nn.Linear(*pair) for pair in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _, width in pairs)


def operations(ranks: Spread) -> None:
    """The CPU's own ways, whose statistics are summed within them."""
    values = torch.randn(ROWS, 7, 8, dtype=torch.float64)
    index = torch.randint(7, (ROWS, 3, 4))

    def grouped(module: nn.Module, given: Tensor) -> Tensor:
        own = index if len(given) == ROWS else index[ranks.peers.share(ROWS)]
        function = straightforward if len(given) == ROWS else pooled_mlp
        layers: Any = module
        return function(given, given[:, :3], own, list(layers.linears), list(layers.norms))

    def rows(module: nn.Module, given: Tensor) -> Tensor:
        layers: Any = module
        return normed_rows(layers.linears[0](given), layers.norms[0], 0.2, given)

    for channels in ((3, 8), (3, 8, 9), (3, 8, 6, 5)):
        compare(ranks, lambda c=channels: without_first(Layers(c)), grouped, values)
    compare(ranks, lambda: Layers((8, 8)), rows, values)


def without_first(layers: Layers) -> Layers:
    """The first Linear's weight is applied before the operation; only its bias is used."""
    first: Any = layers.linears[0]
    first.weight.requires_grad_(False)
    del first.weight
    first.weight = torch.zeros(8, 3, dtype=torch.float64)
    return layers


class Relational(nn.Module):
    """Each row's loss depends on all rows, and it has a batch norm and numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        normed = self.norm(batch.student_features)
        noise = torch.rand(len(normed), len(normed)).to(normed)
        alike = normed @ normed.T * noise
        wanted = batch.teacher_features @ batch.teacher_features.T
        labels = nn.functional.cross_entropy(batch.student_logits, batch.labels)
        return {"relations": (alike - wanted).square().mean(), "cross_entropy": labels}


class Data:
    """Of a step, what its objective sees."""

    def __init__(self) -> None:
        numbers = torch.Generator().manual_seed(2)
        self.labels = torch.arange(ROWS) % 3
        self.labelled, self.mixed = torch.ones(ROWS, dtype=torch.bool), False
        for name, width in (("teacher_features", 12), ("teacher_logits", 3)):
            setattr(self, name, torch.randn(ROWS, width, generator=numbers, dtype=torch.float64))
        self.oof_logits = self.encoder_features = torch.zeros(ROWS, 3)


def steps(ranks: Spread) -> None:
    """Two updates of every backbone named, the second of fewer rows than processes: weights and buffers as alone."""
    for words in sys.argv[1:]:
        name, *given = words.split(",")
        options = {key: value == "True" for key, value in (each.split("=") for each in given)}
        torch.manual_seed(3)
        student = Classifier(discovery.build("backbones", name, options), 3, 12, name=name).train()
        for module in student.modules():
            if isinstance(
                module, nn.BatchNorm1d
            ):  # rows at a ReLU's corner go either way by rounding
                nn.init.normal_(module.bias, std=0.1)
        student.encoder.double()
        student.neck.double()
        points = torch.rand(ROWS, 128, 3, dtype=torch.float64) * 2 - 1
        found = []
        for peers in (Peers(), ranks.peers):
            data: Any = Data()
            step = Step(copy.deepcopy(student), Relational(), data, None, "fp32", peers)
            optimizer = torch.optim.SGD(step.parameters(), lr=1e-4)
            take = plain(step, optimizer)
            if peers is ranks.peers:
                take = ranks.stepper(step, optimizer, take)
            torch.manual_seed(4)
            for rows in (torch.arange(ROWS), torch.arange(max(2, ranks.peers.world - 1))):
                take(rows, points[rows], torch.zeros(()))
            found.append(step.state_dict())
        for key, wanted in found[0].items():
            about = f"{name} {key}"
            torch.testing.assert_close(
                found[1][key],
                wanted,
                rtol=1e-5,
                atol=1e-6,
                msg=lambda text, a=about: f"{a}: {text}",
            )


def transfers(ranks: Spread) -> None:
    """What one process makes, all have; what one raises, all raise."""
    made = {"a": np.arange(12.0).reshape(3, 4), "b": np.zeros((0, 3)), "c": np.array(["x", "yy"])}
    got = ranks.from_first_of_node(only(ranks, lambda: made))
    for key, values in made.items():
        np.testing.assert_array_equal(got[key], values)
        assert got[key].dtype == values.dtype
    got["a"] += 1  # one's own, and writable

    def refuse() -> None:
        raise DataError("cannot be read")

    with pytest.raises(DataError, match="cannot be read"):
        ranks.from_first(only(ranks, refuse))
    with pytest.raises(DataError, match="process 1 has other toys than process 0"):
        ranks.agree("toys", ranks.peers.rank)
    with pytest.raises(PluginError, match="is a OwnKind, a batch norm of its own kind"):
        share_norms(OwnKind(3), ranks.peers)


class OwnKind(nn.BatchNorm1d):
    """A batch norm that somebody has made his own."""


def only(ranks: Spread, make: Callable[[], Any]) -> Callable[[], Any]:
    """`make`, in the first process alone."""

    def made() -> Any:
        assert ranks.first
        return make()

    return made


def main() -> None:
    ranks = Spread("cpu")
    torch.manual_seed(0)
    for check in (norms, operations, transfers, steps):
        check(ranks)
    if ranks.first:
        sys.stdout.write("all alike\n")


if __name__ == "__main__":
    main()
