"""How a training runs: device, precision, random streams, optimizer, learning rate; shared by every stage."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pointcmt_cli.config import Optimizer, Precision
from pointcmt_cli.errors import PointCMTError, UsageError

MOMENTUM = 0.9
"""Of SGD: DGCNN's, PointMLP's and PCT's."""


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA when there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this torch sees no CUDA device; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_precision(device: torch.device, name: Precision) -> Literal["fp32", "bf16"]:
    """`auto`: bf16 on CUDA, fp32 elsewhere."""
    if name == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return name


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """bf16 autocast when asked for, or on CUDA by default; there no cast weight is kept: a recorded step casts anew."""
    if choose_precision(device, precision) == "bf16":
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=device.type != "cuda")
    return nullcontext()


def stream(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on the keys, (seed, purpose, epoch), and on the kind of device alone."""
    digest = hashlib.sha256(json.dumps(keys).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def seeded(*keys: int | str) -> Iterator[None]:
    """torch's global generators (initialisation, dropout) set from the keys, put back afterwards."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(stream(*keys).initial_seed())
        yield


def cosine(progress: float) -> float:
    """Learning-rate factor: 1 at 0, 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def rate(progress: float, first: float, last: float) -> float:
    """The learning rate, from `first` at 0 by a cosine to `last` at 1."""
    return last + (first - last) * cosine(progress)


def adamw(modules: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; on CUDA in one kernel, with its rate and its step count on the device, so that a step can be captured."""
    parameters = list(modules.parameters())
    on_cuda = parameters[0].is_cuda
    rate = torch.tensor(lr, device=parameters[0].device) if on_cuda else lr
    options: dict[str, Any] = {"fused": True, "capturable": True} if on_cuda else {}
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, **options)


def sgd(modules: nn.Module, lr: float, weight_decay: float) -> torch.optim.SGD:
    """SGD with momentum; on CUDA as `adamw`."""
    parameters = list(modules.parameters())
    on_cuda = parameters[0].is_cuda
    rate = torch.tensor(lr, device=parameters[0].device) if on_cuda else lr
    return torch.optim.SGD(
        parameters, lr=rate, momentum=MOMENTUM, weight_decay=weight_decay, fused=on_cuda or None
    )


OPTIMIZERS = {"adamw": adamw, "sgd": sgd}


def optimizer(
    name: Optimizer, modules: nn.Module, lr: float, weight_decay: float, clip: float = 0.0
) -> torch.optim.Optimizer:
    """One of OPTIMIZERS; before each of its updates gradients longer than `clip` are shortened to it, unless it is 0.

    By its own hook, so that a step is the same however it is taken: plain, recorded, or by several processes.
    """
    made = OPTIMIZERS[name](modules, lr, weight_decay)
    if clip:
        parameters = list(modules.parameters())

        def shorten(*_: Any) -> None:
            nn.utils.clip_grad_norm_(parameters, clip)

        made.register_step_pre_hook(shorten)
    return made


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of the next step; a rate on the device is overwritten there, and nobody waits."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def guard(loss: Tensor | float, stage: str, epoch: int, step: int) -> float:
    """The loss as a number; a non-finite one ends the run and names the step."""
    value = float(loss.detach() if isinstance(loss, Tensor) else loss)
    if not math.isfinite(value):
        raise PointCMTError(
            f"{stage}: the loss is {value} at epoch {epoch + 1}, step {step + 1}; try a lower --lr"
        )
    return value
