"""500 damaged files beside good ones: `pointcmt render` draws the good ones and names the others, within bounds."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from damage import CLOUD_BOMBS, DAMAGES, FILES, MESH_BOMBS, is_mesh, put_odd_things
from processes import HANGS

MESHES, CLOUDS = 320, 180
"""Damaged files in the two trees."""
GOOD = 12
MEMORY = 2_000_000
"""Kilobytes; of the largest process."""


def content_of(bomb: bytes | str) -> bytes:
    return bomb.encode() if isinstance(bomb, str) else bomb


def fill(root: Path, kind: str, count: int) -> tuple[set[str], dict[str, str]]:
    """Two classes of good shapes and `count` damaged files; names of the good ones, reasons of the odd ones."""
    good = {name: data for name, data in FILES.items() if is_mesh(name) == (kind == "mesh")}
    bombs = MESH_BOMBS if kind == "mesh" else CLOUD_BOMBS
    for folder in ("a", "b"):
        (root / folder).mkdir(parents=True)
    names = set()
    for number in range(GOOD):
        name, data = list(good.items())[number % len(good)]
        stem = f"good_{number:02}"
        (root / "ab"[number % 2] / f"{stem}{Path(name).suffix}").write_bytes(data)
        names.add(f"{'ab'[number % 2]}/{stem}")
    odd = put_odd_things(root / "a", ".off" if kind == "mesh" else ".xyz")
    for number, (name, bomb) in enumerate(bombs.items()):
        (root / "ab"[number % 2] / f"bomb_{number:03}_{name}").write_bytes(content_of(bomb()))
    rng = np.random.default_rng([7, *kind.encode()])
    pairs = [(name, damage) for damage in DAMAGES for name in good]
    for number in range(count - len(bombs) - len(odd)):
        name, damage = pairs[number % len(pairs)]
        path = root / "ab"[number % 2] / f"bad_{number:03}_{damage.replace(' ', '_')}{name[-4:]}"
        path.write_bytes(DAMAGES[damage](good[name], rng))
    return names, odd


MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Runs a command and says how large its largest process was; pytest's own children do not count."""


def run(root: Path, work: Path) -> tuple[str, str]:
    """Standard output and error of the command, which ends well and whose processes stay small."""
    command = [sys.executable, "-c", MEASURED]
    command += [sys.executable, "-m", "pointcmt_cli", "render", str(root), "--work", str(work)]
    small = ["--image-size", "32", "--points", "64", "--rig", "orthogonal6", "--workers", "2"]
    with subprocess.Popen(
        [*command, *small],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, errors[-2000:]
    errors, _, largest = errors.rstrip().rpartition("\n")
    assert int(largest) < MEMORY
    return out, errors


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
@pytest.mark.parametrize(("kind", "count"), [("mesh", MESHES), ("cloud", CLOUDS)])
def test_every_damaged_file_is_drawn_or_named(tmp_path: Path, kind: str, count: int) -> None:
    root = tmp_path / "shapes"
    good, odd = fill(root, kind, count)
    out, errors = run(root, tmp_path)
    assert "Traceback" not in out + errors
    assert "a worker process died" not in errors
    assert re.search(r"left out the folder a/folder\.\w+", " ".join(errors.split()))
    with h5py.File(tmp_path / "views.h5") as file:
        drawn = {name.decode() for name in file["name"]}
        views = np.asarray(file["views"])
    assert good <= drawn
    assert (views < 255).any(axis=(1, 2, 3)).all()
    left_out = dict(re.findall(r"(?m)^  ([ab]/\w+(?:\.\w+)?): (.*)$", out))
    everything = {
        f"{path.parent.name}/{path.stem}" for path in root.glob("*/*") if not path.is_dir()
    }
    assert drawn | set(left_out) == everything
    assert not drawn & set(left_out)
    assert len(everything) == count + GOOD
    paths = {f"{path.parent.name}/{path.stem}": path for path in root.glob("*/*")}
    for name, reason in left_out.items():
        assert reason.startswith(f"{paths[name]}: "), reason
        assert len(reason) < len(str(paths[name])) + 250
    for stem, reason in odd.items():
        assert left_out[f"a/{stem}"].removeprefix(f"{paths[f'a/{stem}']}: ").startswith(reason)
