"""`pointcmt render` as a process of its own, on small meshes; what it has drawn so far; and how fast it draws."""

import os
import sys
from pathlib import Path

from places import SUPPORT
from pointcmt_cli.data.store.shards import FinishedShape, read_shards

COMMAND = [sys.executable, "-m", "pointcmt_cli", "render"]


def command(meshes: Path, *more: str, renderer: str = "toy_renderers:dots") -> list[str]:
    small = ["--image-size", "32", "--points", "64", "--renderer", renderer]
    return [*COMMAND, str(meshes), "--work", str(meshes.parent), *small, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}


def write_pace(folder: Path, seconds: float) -> str:
    """The file by which `toy_renderers:slow` takes so long for a shape, also in runs that have begun."""
    path, new = folder / "pace", folder / "pace.new"
    new.write_text(str(seconds))
    new.replace(path)
    return str(path)


def shards(work: Path) -> list[FinishedShape]:
    """Every shape in the shards, of whatever settings."""
    files = (work / ".views.h5.parts").glob("*.shards")
    return [each for path in files for each in read_shards(path)]
