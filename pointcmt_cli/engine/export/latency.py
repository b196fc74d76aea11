"""How long one cloud takes, several ways in turn. In: functions without arguments; out: median milliseconds of each."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pointcmt_cli.engine.deployed.opened_torch import quiet
from pointcmt_cli.wording import one_line

ROUNDS = 7
COMPILERS = ("c++", "g++", "clang++", "cl")


def milliseconds(
    calls: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median of some rounds, each of which takes every call in turn.

    Each is called twice, and the second one counts: a runtime's threads spin for a while after its call, and would
    take the cores from whatever comes next.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            began = clock()
            call()
            times[name].append(1000 * (clock() - began))
    return {name: statistics.median(each) for name, each in times.items()}


def compiled(
    model: nn.Module, clouds: NDArray[np.float32]
) -> tuple[Callable[[], object] | None, str]:
    """The model under torch.compile on clouds (B, N, 3), called once; or None and the reason."""
    if not (os.environ.get("CXX") or any(map(shutil.which, COMPILERS))):
        return None, "torch.compile needs a C++ compiler, and none is installed"
    points = torch.from_numpy(clouds)
    torch.compiler.reset()
    twin = torch.compile(model)

    def call() -> object:
        with torch.inference_mode():
            return twin(points)

    try:
        with quiet():
            call()
    except Exception as error:
        return None, f"torch.compile fails: {one_line(error, most=120)}"
    return call, ""
