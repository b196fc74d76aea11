"""What every training stage shares: seed, device, precision, learning rate, resume file, metrics.csv. No loop."""

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli.data.files import atomic, plain
from pointcmt_cli.engine import checkpoint
from pointcmt_cli.errors import DataError, PointCMTError, UsageError


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA when there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this torch sees no CUDA device; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 autocast when asked for, or on CUDA by default."""
    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def stream(*keys: int | str) -> torch.Generator:
    """A CPU generator whose numbers depend on the keys alone: (seed, epoch, purpose)."""
    digest = hashlib.sha256(json.dumps(keys).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def seeded(*keys: int | str) -> Iterator[None]:
    """torch's global generators (initialisation, dropout) set from the keys, put back afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        torch.manual_seed(stream(*keys).initial_seed())
        yield


def cosine(progress: float) -> float:
    """Learning-rate factor: 1 at 0, 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def guard(loss: Tensor, stage: str, epoch: int, step: int) -> float:
    """The loss as a number; a non-finite one ends the run and names the step."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise PointCMTError(
            f"{stage}: the loss is {value} at epoch {epoch + 1}, step {step + 1}; try a lower --lr"
        )
    return value


class Resume:
    """Epoch states beside the output, so that a killed run goes on; a state of other settings is never used."""

    def __init__(self, out: Path, key: str) -> None:
        self.path = out.with_name(f".{out.name}.resume")
        self.key = key

    def load(
        self, modules: Sequence[nn.Module], optimizer: torch.optim.Optimizer
    ) -> tuple[int, list[Any]]:
        """Restore a matching state; returns the epoch to go on with and the history so far ((0, []): none)."""
        if not self.path.exists():
            return 0, []
        try:
            state = checkpoint.load(self.path)
        except DataError:
            return 0, []
        if state.get("key") != self.key:
            return 0, []
        for module, values in zip(modules, state["modules"], strict=True):
            module.load_state_dict(values)
        optimizer.load_state_dict(state["optimizer"])
        return int(state["epoch"]), list(state["history"])

    def save(
        self,
        modules: Sequence[nn.Module],
        optimizer: torch.optim.Optimizer,
        epoch: int,
        history: Sequence[Mapping[str, Any]],
    ) -> None:
        """Keep the state after `epoch` finished epochs."""
        values = {
            "format": checkpoint.FORMAT,
            "version": checkpoint.VERSION,
            "key": self.key,
            "epoch": epoch,
            "history": [dict(row) for row in history],
            "modules": [module.state_dict() for module in modules],
            "optimizer": optimizer.state_dict(),
        }
        checkpoint.save(self.path, values)

    def clear(self) -> None:
        """The run has ended well."""
        self.path.unlink(missing_ok=True)


def write_run(out: Path, config: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """OUT.config.json and OUT.metrics.csv beside a checkpoint, atomically."""
    with atomic(out.with_suffix(".config.json")) as temporary:
        temporary.write_text(json.dumps(plain(config), indent=2, default=str) + "\n")
    columns = list(dict.fromkeys(key for row in history for key in row))
    with (
        atomic(out.with_suffix(".metrics.csv")) as temporary,
        temporary.open("w", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
