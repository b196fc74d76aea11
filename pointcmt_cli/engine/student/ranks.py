"""The processes of one training: alone, or what torchrun has started, joined through Lightning Fabric.

In: a device's name and torchrun's environment; out: `Alone` or `Spread`, with the same methods, so that a stage reads
the same for one process and for many. A batch is drawn alike in every process; each sends its own rows through the
student, over batch norms that share their statistics; then every process has all features, and computes the head and
the objective of the whole batch. What comes out is the step of one process, but for rounding (docs/distributed.md).
Fabric is imported where it is needed: that takes 2 s, most of it for torch._dynamo and scipy.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pointcmt_cli import launched
from pointcmt_cli.engine.student.ending import of_a_lost_peer, told_once
from pointcmt_cli.engine.student.step import Step, Stepper
from pointcmt_cli.engine.student.transfer import send
from pointcmt_cli.engine.training import setup
from pointcmt_cli.errors import DataError, JobLostError, PointCMTError, UsageError
from pointcmt_cli.ops.peers import Peers
from pointcmt_cli.ops.rows.shared_norm import share_norms

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(minutes=10)
"""A step's longest wait for a peer that neither answers nor has closed its connection (its machine is gone)."""
LONG = timedelta(days=2)
"""The same where the first process alone works: the generator, scores, reading."""


class Alone:
    """One process: everything is done here and nothing is sent."""

    first = True
    saved = 0
    """Epochs that the same command need not train again."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peers = Peers()

    def from_first(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `make` returns in the job's first process, in all of them; its error too."""
        return make(*given, **named)

    def from_first_of_node(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `make` returns in the first process of this node."""
        return make(*given, **named)

    def agree(self, what: str, value: object) -> None:
        """An error where the processes differ in `value`."""

    def module_of_first(self, module: nn.Module | None) -> nn.Module:
        """The first process's module, on this process's device; the others give None."""
        assert module is not None
        return module

    def stepper(self, step: Step, optimizer: torch.optim.Optimizer, alone: Stepper) -> Stepper:
        """Forward, backward, update: `alone`, or one after which every process has the same weights."""
        return alone


class Spread(Alone):
    """Several processes; each must call the same methods in the same order."""

    def __init__(self, name: str) -> None:
        super().__init__(own_device(name))
        self.first = launched.rank() == 0
        self.peers = Peers(launched.rank(), launched.world())
        self.fabric = _fabric(self.device)
        self.control = _group(list(range(self.peers.world)))
        self.agree("a device", _kind(self.device))
        places: list[Any] = [None] * self.peers.world
        dist.all_gather_object(places, launched.node(), self.control)
        for node in sorted(set(places)):
            members = [rank for rank, place in enumerate(places) if place == node]
            group = _group(members)
            if node == launched.node():
                self.node, self.first_of_node = group, members[0]

    def from_first(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `make` returns in the job's first process, in all of them; its error too."""
        return self._from(0, self.control, make, *given, **named)

    def from_first_of_node(self, make: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `make` returns in the first process of this node."""
        return self._from(self.first_of_node, self.node, make, *given, **named)

    def _from(
        self,
        source: int,
        group: Any,
        make: Callable[P, T],
        *given: P.args,
        **named: P.kwargs,
    ) -> T:
        value: Any = None
        if self.peers.rank == source:
            try:
                value = make(*given, **named)
            except PointCMTError as error:
                value = error
        value = send(value, source, group)
        if isinstance(value, PointCMTError):
            raise value
        made: T = value
        return made

    def agree(self, what: str, value: object) -> None:
        """An error where the processes differ in `value`."""
        found: list[Any] = [None] * self.peers.world
        dist.all_gather_object(found, value, self.control)
        for rank, other in enumerate(found):
            if other != found[0]:
                raise DataError(
                    f"process {rank} has other {what} than process 0 ({other}, {found[0]}): "
                    "give every node the same"
                )

    def module_of_first(self, module: nn.Module | None) -> nn.Module:
        """The first process's module, on this process's device; the others give None."""
        on_cpu = None if module is None else module.cpu()
        sent: nn.Module = send(on_cpu, 0, self.control)
        return sent.to(self.device)

    def stepper(self, step: Step, optimizer: torch.optim.Optimizer, alone: Stepper) -> Stepper:
        """Forward, backward, update: `alone`, or one after which every process has the same weights.

        A batch of fewer rows than processes is not spread: each computes all of it.
        """
        share_norms(step.student.encoder, self.peers)
        share_norms(step.student.neck, self.peers)
        for buffer in step.buffers():
            dist.broadcast(buffer, 0)
        with warnings.catch_warnings():  # torch 2.13 has a new name for it, which 2.9 does not know
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            spread = self.fabric.setup_module(step, move_to_device=False)

        def take(rows: Tensor, points: Tensor, progress: Tensor) -> Mapping[str, Tensor]:
            self.peers.active = len(rows) >= self.peers.world
            terms: Mapping[str, Tensor] = spread(rows, points, progress)
            optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(terms["loss"])
            optimizer.step()
            return terms

        return take


@contextmanager
def launch(device: str) -> Iterator[Alone]:
    """This process's place in its job; an error of any process ends all of them, and one of them says it."""
    if launched.world() == 1:
        yield Alone(setup.choose_device(device))
        return
    try:
        ranks = Spread(device)
    except RuntimeError as error:
        if not of_a_lost_peer(error):
            raise
        raise JobLostError(
            f"the {launched.world()} processes of this job cannot reach each other: start torchrun again; with several "
            "machines, see that --master-addr and --master-port can be reached from all"
        ) from error
    with told_once(ranks):
        yield ranks


def own_device(name: str) -> torch.device:
    """Of several CUDA devices, the one that is this process's own."""
    device = setup.choose_device(name)
    if device.type != "cuda":
        return device
    if launched.local_world() > torch.cuda.device_count():
        raise UsageError(
            f"{launched.local_world()} processes on a node of {torch.cuda.device_count()} CUDA devices: "
            f"torchrun --nproc-per-node {torch.cuda.device_count()}, or --device cpu"
        )
    return torch.device("cuda", launched.local_rank())


def _fabric(device: torch.device) -> Any:
    import logging

    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    strategy = DDPStrategy(
        process_group_backend="nccl" if device.type == "cuda" else "gloo",
        timeout=PATIENCE,
        broadcast_buffers=False,  # shared statistics move them alike
        find_unused_parameters=True,  # an objective's term may sleep, a network may skip layers
    )
    fabric = Fabric(
        accelerator=device.type,
        devices=launched.local_world(),
        num_nodes=launched.nodes(),
        strategy=strategy,
    )
    fabric.launch()
    return fabric


def _group(members: list[int]) -> Any:
    """For what is no part of a step: gloo, which notices at once when a peer is gone."""
    return dist.new_group(members, timeout=LONG, backend="gloo")


def _kind(device: torch.device) -> str:
    """Devices of one kind draw the same numbers from a seed."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
