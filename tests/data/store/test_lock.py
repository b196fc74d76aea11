"""One run at a time per output: processes that take the same lock as fast as they can never hold it together."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.errors import DataError
from processes import HANGS

RACE = """
import os, sys
from pathlib import Path
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.errors import DataError

out, inside = Path(sys.argv[1]), Path(sys.argv[2])
held = 0
print("ready", flush=True)
sys.stdin.readline()
while held < 500:
    try:
        with exclusive(out):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # FileExistsError: somebody else holds it too
            inside.unlink()
            held += 1
    except DataError as error:
        assert str(error).startswith(f"another run is writing {out}: "), error
"""
"""Five hundred turns with the lock, from a starting signal on."""


def test_processes_never_hold_the_same_lock_together(tmp_path: Path) -> None:
    line = [sys.executable, "-c", RACE, str(tmp_path / "out.pt"), str(tmp_path / "inside")]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    racers = [subprocess.Popen(line, text=True, **pipes) for _ in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=HANGS) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, said
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_left_behind_is_not_minded(tmp_path: Path) -> None:
    (tmp_path / ".out.pt.lock").write_text("12345")
    with (
        exclusive(tmp_path / "out.pt"),
        pytest.raises(DataError, match="another run is writing"),
        exclusive(tmp_path / "out.pt"),
    ):
        pass
    with exclusive(tmp_path / "out.pt"):
        pass
    assert not list(tmp_path.iterdir())
