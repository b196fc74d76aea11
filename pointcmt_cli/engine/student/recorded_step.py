"""The student's step, recorded once and replayed: on CUDA a graph, which the host starts with one call per step.

In: the step and its optimizer; out: a `Stepper` that gives the plain one's numbers, or the plain one and a warning that
says why. Rehearsing and recording leave weights, buffers, optimizer and random numbers as they were. What it changes
for the user: docs/speed.md.
"""

import contextlib
import traceback
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.student.cuda_graph import CudaGraph, Recorder
from pointcmt_cli.engine.student.step import Stepper, plain
from pointcmt_cli.errors import UsageError
from pointcmt_cli.records import Note, Record


def check_fast(config: DistillConfig, device: torch.device) -> None:
    """Refuse --fast where a step cannot be recorded."""
    if config.fast and device.type != "cuda":
        raise UsageError("--fast: only a step on CUDA can be recorded; leave it out on a CPU")


def stepper(
    step: nn.Module, optimizer: torch.optim.Optimizer, data: Resident, config: DistillConfig
) -> Generator[Record, None, Stepper]:
    """The recorded step on CUDA, unless `--no-fast` says otherwise or it cannot be recorded; else the plain one.

    Processes that train together take the plain one: their gradients meet between backward and update.
    """
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together and config.fast:
        yield Note("several processes train together: the step is not recorded", warning=True)
    if not data.points.is_cuda or config.fast is False or together:
        return plain(step, optimizer)
    return (yield from recorded(step, optimizer, next(data.batches(0, config)), CudaGraph()))


def recorded(
    step: nn.Module,
    optimizer: torch.optim.Optimizer,
    example: tuple[Tensor, Tensor],
    recorder: Recorder,
) -> Generator[Record, None, Stepper]:
    """`fast`, or a warning with the cause and the plain step."""
    try:
        return fast(step, optimizer, example, recorder)
    except RuntimeError as error:
        yield Note(
            f"the step is not recorded, every step is launched by itself: {cause(error)}",
            warning=True,
        )
        return plain(step, optimizer)


def fast(
    step: nn.Module,
    optimizer: torch.optim.Optimizer,
    example: tuple[Tensor, Tensor],
    recorder: Recorder,
) -> Stepper:
    """The recorded step for batches of the example's size (rows (B,), points (B, N, 3)); others go the plain way.

    A RuntimeError says that it cannot be recorded. Read a step's terms before the next one: they are overwritten.
    """
    rows, points = (each.clone() for each in example)
    progress = torch.zeros((), device=points.device)
    simple = plain(step, optimizer)
    terms: dict[str, Tensor] = {}

    def work() -> None:
        found = simple(rows, points, progress)
        terms.update({name: value.detach() for name, value in found.items()})

    step.train()
    with untouched(step, optimizer, points.device):
        recorder.rehearse(work, strict=False)
        kept = attributes(step)
        recorder.rehearse(work, strict=True)
        if changed := differing(kept, attributes(step)):
            raise RuntimeError(f"{changed[0]} is replaced in every step; write into it instead")
        recording = recorder.record(work), kept  # what it reads lives as long as it does

    def take(new_rows: Tensor, new_points: Tensor, new_progress: Tensor) -> Mapping[str, Tensor]:
        if new_points.shape != points.shape:
            return simple(new_rows, new_points, new_progress)
        rows.copy_(new_rows)
        points.copy_(new_points)
        progress.copy_(new_progress)
        recording[0]()
        return dict(terms)

    return take


@contextlib.contextmanager
def untouched(
    step: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> Iterator[None]:
    """Put back what steps inside change: in place, as a recording refers to it. After an error, attributes as well."""
    before = attributes(step)
    states = [state for state in optimizer.state.values() if state]
    tensors = [*step.parameters(), *step.buffers()]
    tensors += [value for state in states for value in state.values() if isinstance(value, Tensor)]
    copies = [each.detach().clone() for each in tensors]
    known = {id(each) for each in tensors}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    except BaseException:
        _put_back(step, before)
        raise
    finally:
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for each, copy in zip(tensors, copies, strict=True):
                each.copy_(copy)
            for state in optimizer.state.values():
                for value in state.values():
                    if id(value) not in known:
                        value.zero_()  # AdamW's state before the first step


def attributes(step: nn.Module) -> dict[tuple[str, str], Any]:
    """What every module in the step holds, by the module's path and the attribute's name."""
    return {
        (path, name): value
        for path, module in step.named_modules()
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items()
    }


def differing(
    before: Mapping[tuple[str, str], Any], after: Mapping[tuple[str, str], Any]
) -> list[str]:
    """Names of what is another object, or another plain value."""
    missing = object()

    def same(one: Any, other: Any) -> bool:
        return one is other or (isinstance(one, bool | int | float | str) and one == other)

    keys = {**before, **after}
    return [
        ".".join(filter(None, key))
        for key in keys
        if not same(before.get(key, missing), after.get(key, missing))
    ]


def _put_back(step: nn.Module, before: Mapping[tuple[str, str], Any]) -> None:
    for path, module in step.named_modules():
        own = {name: value for (at, name), value in before.items() if at == path}
        for name in {**vars(module), **module._parameters, **module._buffers}.keys() - own.keys():
            delattr(module, name)
        for name, value in own.items():
            if getattr(module, name, None) is not value:
                setattr(module, name, value)


def cause(error: BaseException) -> str:
    """The first error of a chain, in one line, and the line outside torch that it comes from."""
    while error.__context__ is not None:
        error = error.__context__
    torch_itself = Path(torch.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if torch_itself not in Path(frame.filename).parents]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{str(error).partition(chr(10))[0]}{where}"
