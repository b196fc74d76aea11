"""`pointcmt render` as a process of its own, on small meshes; and waiting for what it has drawn."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from places import SUPPORT
from pointcmt_cli.data.store.shards import Kept, read_shards

COMMAND = [sys.executable, "-m", "pointcmt_cli", "render"]


def command(meshes: Path, *more: str, renderer: str = "toy_renderers:dots") -> list[str]:
    small = ["--image-size", "32", "--points", "64", "--renderer", renderer]
    return [*COMMAND, str(meshes), "--work", str(meshes.parent), *small, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_shapes(work: Path, count: int, process: subprocess.Popen[Any]) -> None:
    """Until so many are drawn and the run is still at it."""
    wait_for(lambda: process.poll() is not None or len(shards(work)) >= count)
    assert process.poll() is None


def shards(work: Path) -> list[Kept]:
    """Every shape in the shards, of whatever settings."""
    files = (work / ".views.h5.parts").glob("*.shards")
    return [each for path in files for each in read_shards(path)]
