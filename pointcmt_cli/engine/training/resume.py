"""What of a run outlives a kill. In: modules, optimizer, history; out: a state beside the output; the best epoch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.stored import ResumeState, State
from pointcmt_cli.errors import DataError


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
        self.best: State = {}
        self.discarded = False
        """After `load`: an interrupted run of other settings stood here; its state is not used."""

    def load(
        self,
        modules: nn.Module,
        optimizer: torch.optim.Optimizer,
        fetch: Callable[[Callable[[], ResumeState | None]], ResumeState | None] = lambda read: (
            read()
        ),
    ) -> tuple[int, list[dict[str, Any]]]:
        """Restore a matching state; returns the epochs done and their history ((0, []): nothing to go on from).

        `fetch`: how the state gets here, where another process reads it.
        """
        state = fetch(self._read)
        if state is None:
            return 0, []
        if state.get("key") != self.key:
            self.discarded = True
            return 0, []
        modules.load_state_dict(state["modules"])
        rates = [group["lr"] for group in optimizer.param_groups]  # on the device, where they stay
        optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # `set_rate` says how much before every step
        self.best = state["best"]
        self.saved = int(state["epoch"])
        return self.saved, list(state["history"])

    def _read(self) -> ResumeState | None:
        try:
            return cast("ResumeState", checkpoint.load(self.path))
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
        values: ResumeState = {
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
