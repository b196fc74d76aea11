"""What every training stage shares: seed, device, precision, learning rate, resume file, metrics.csv."""

import csv
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pointcmt_cli.config import Precision
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.files import atomic, plain
from pointcmt_cli.provenance import write_config
from pointcmt_cli.wording import missing_package


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


def adamw(modules: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; on CUDA in one kernel, with its rate and its step count on the device, so that a step can be captured."""
    parameters = list(modules.parameters())
    on_cuda = parameters[0].is_cuda
    rate = torch.tensor(lr, device=parameters[0].device) if on_cuda else lr
    options: dict[str, Any] = {"fused": True, "capturable": True} if on_cuda else {}
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, **options)


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


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`name old -> new` of every setting that differs."""
    before, after = plain(old), plain(new)
    return [
        f"{key} {before.get(key)} -> {after[key]}" for key in after if before.get(key) != after[key]
    ]


@dataclass
class Best:
    """The best epoch on the held-out split so far."""

    epoch: int = 0
    value: float = -1.0

    def better(self, row: Mapping[str, Any]) -> bool:
        """Take a history row in; True when it beats all before it (the first of equals stays)."""
        value = row.get("held_out_oa")
        if value is None or value <= self.value:
            return False
        self.epoch, self.value = int(row["epoch"]), float(value)
        return True

    @classmethod
    def from_history(cls, history: Sequence[Mapping[str, Any]]) -> "Best":
        """The state after these rows."""
        best = cls()
        for row in history:
            best.better(row)
        return best


class Resume:
    """Epoch states beside the output, so that a killed run goes on; a state of other settings is never used."""

    def __init__(self, out: Path, key: str, interval: float = 5.0) -> None:
        """`interval`: least seconds between two writes; what was not written is trained again, to the same weights."""
        self.path = out.with_name(f".{out.name}.resume")
        self.key = key
        self.interval = interval
        self.written = -math.inf
        self.saved = 0
        """Epochs of the state that is kept."""
        self.best: dict[str, Tensor] = {}
        self.given_up = False
        """After `load`: an interrupted run of other settings stood here; it is not gone on with."""

    def load(
        self,
        modules: nn.Module,
        optimizer: torch.optim.Optimizer,
        fetch: Callable[[Callable[[], Any]], Any] = lambda read: read(),
    ) -> tuple[int, list[dict[str, Any]]]:
        """Restore a matching state; returns the epochs done and their history ((0, []): nothing to go on from).

        `fetch`: how the state gets here, where another process reads it.
        """
        state = fetch(self._read)
        if state is None:
            return 0, []
        if state.get("key") != self.key:
            self.given_up = True
            return 0, []
        modules.load_state_dict(state["modules"])
        rates = [group["lr"] for group in optimizer.param_groups]  # on the device, where they stay
        optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # `set_rate` says how much before every step
        self.best = state["best"]
        self.saved = int(state["epoch"])
        return self.saved, list(state["history"])

    def _read(self) -> dict[str, Any] | None:
        try:
            return checkpoint.load(self.path)
        except DataError:
            return None

    def save(
        self,
        modules: nn.Module,
        optimizer: torch.optim.Optimizer,
        epoch: int,
        history: Sequence[Mapping[str, Any]],
    ) -> int:
        """Keep the state after `epoch` finished epochs; returns how many are safe by now."""
        if time.monotonic() - self.written < self.interval:
            return self.saved
        values = {
            "format": checkpoint.FORMAT,
            "version": checkpoint.VERSION,
            "key": self.key,
            "epoch": epoch,
            "history": [dict(row) for row in history],
            "modules": modules.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": self.best,
        }
        checkpoint.save(self.path, values)
        self.written = time.monotonic()
        self.saved = epoch
        return epoch

    def save_best(self, model: nn.Module) -> None:
        """Remember the weights of the epoch that is best so far."""
        self.best = {key: value.detach().clone() for key, value in model.state_dict().items()}

    def load_best(self, model: nn.Module) -> None:
        """Put the best epoch's weights back."""
        if self.best:
            model.load_state_dict(self.best)

    def clear(self) -> None:
        """The run has ended well."""
        self.path.unlink(missing_ok=True)


def write_run(
    out: Path,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
) -> None:
    """OUT.config.json, the settings and the run's record, and OUT.metrics.csv beside a checkpoint, atomically."""
    write_config(out, config, record)
    columns = list(dict.fromkeys(key for row in history for key in row))
    with (
        atomic(out.with_suffix(".metrics.csv")) as temporary,
        temporary.open("w", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def log_tensorboard(out: Path, history: Sequence[Mapping[str, Any]]) -> Path:
    """The history as TensorBoard scalars in a new folder OUT-tensorboard beside a checkpoint; returns the folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PointCMTError(
            missing_package("--tensorboard", "tensorboard", "tensorboard", error)
        ) from error
    folder = out.with_name(f"{out.stem}-tensorboard")
    shutil.rmtree(folder, ignore_errors=True)
    writer = SummaryWriter(str(folder))
    for row in history:
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != "epoch":
                writer.add_scalar(name, value, row["epoch"])
    writer.close()
    return folder
