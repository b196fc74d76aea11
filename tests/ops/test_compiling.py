"""The cache of compiled kernels is a help and never a hindrance: full disks, damaged files, no place at all."""

import functools
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pointcmt_cli.api import compiled
from toy_meshes import write_meshes

KERNEL = """
from pointcmt_cli.api import compiled
@compiled
def inner(x):
    return x + {step}
@compiled
def outer(x):
    return 2 * inner(x)
print(outer(1), len(outer.stats.cache_hits))
"""


def run(folder: Path, step: int = 1, room: int | None = None) -> list[int]:
    """The kernel's value and its cache hits, in a fresh process whose files can have at most `room` bytes."""
    (folder / "kernel.py").write_text(KERNEL.format(step=step))
    process = subprocess.run(
        [sys.executable, "-c", "import kernel"],
        env={**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        preexec_fn=room and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))),
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return [int(word) for word in process.stdout.split()]


def files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / "cache").rglob(f"*.{kind}"))


def test_a_second_process_does_not_compile(tmp_path: Path) -> None:
    assert run(tmp_path) == [4, 0]
    assert run(tmp_path) == [4, 1]


def test_a_full_disk_is_not_minded_and_leaves_no_old_code(tmp_path: Path) -> None:
    """4 KB have room for the index and not for the code."""
    assert run(tmp_path, step=1) == [4, 0]
    assert run(tmp_path, step=10, room=4000) == [22, 0]
    assert run(tmp_path, step=10) == [22, 0]


@pytest.mark.parametrize(("kind", "share"), [("nbi", 0.0), ("nbc", 0.5)])
def test_a_cut_file_is_made_again(tmp_path: Path, kind: str, share: float) -> None:
    run(tmp_path)
    for path in files(tmp_path, kind):
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert run(tmp_path) == [4, 0]


def test_without_any_place_each_process_compiles(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert run(tmp_path) == [4, 0]


def test_a_function_without_a_file_is_compiled() -> None:
    space: dict[str, Any] = {}
    exec("def twice(value):\n    return 2 * value", space)
    assert compiled(space["twice"])(21) == 42


def test_a_division_by_zero_is_an_error_unless_it_is_asked_for() -> None:
    @compiled
    def strict(value: float) -> float:
        return 1 / value

    @compiled(error_model="numpy")
    def inverse(value: float) -> float:
        return 1 / value

    with pytest.raises(ZeroDivisionError):
        strict(0.0)
    assert inverse(0.0) == float("inf")


@pytest.mark.slow
def test_the_renderers_draw_although_nothing_can_be_kept(tmp_path: Path) -> None:
    """The whole command with an empty cache and room for its own files only."""
    (tmp_path / "cache").mkdir()
    meshes = write_meshes(tmp_path / "meshes", 1)
    typed = ["render", str(meshes), "--rig", "orthogonal6", "--image-size", "32", "--points", "64"]
    files = {}
    for name, room in (("full", 40_000), ("free", resource.RLIM_INFINITY)):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (room, room))
        work = tmp_path / name
        process = subprocess.run(
            [sys.executable, "-m", "pointcmt_cli", *typed, "--workers", "1", "--work", str(work)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache" / name)},
            capture_output=True,
            text=True,
            preexec_fn=limit,
        )
        assert process.returncode == 0, process.stderr
        assert "left out" not in process.stdout
        files[name] = (work / "views.h5").read_bytes()
    assert files["full"] == files["free"]
    kept = [len(list((tmp_path / "cache" / name).rglob("*.nbc"))) for name in files]
    assert kept[0] < kept[1]
