"""The watch over the tests' own processes: who is left behind is seen, and ended."""

import signal
import sys
from pathlib import Path

import pytest

from processes import Running, is_running, marked, nobody_left_behind, running, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
ORPHAN = "import os, subprocess, sys; print(subprocess.Popen(sys.argv[1:], process_group=0).pid)"


def test_a_child_that_is_left_behind_is_named_and_ended(tmp_path: Path) -> None:
    watch = nobody_left_behind(seconds=0.1)
    watch.__enter__()
    left = Running(SLEEP, tmp_path)
    with pytest.raises(AssertionError, match=r"left behind:\n\d+: .*sleep"):
        watch.__exit__(None, None, None)
    assert left.process.wait() == -signal.SIGKILL


def test_an_orphan_is_seen_too(tmp_path: Path) -> None:
    watch = nobody_left_behind(seconds=0.1)
    watch.__enter__()
    with running([sys.executable, "-c", ORPHAN, *SLEEP], tmp_path) as parent:
        assert parent.wait() == 0
    orphan = int(parent.out)
    assert is_running(orphan)
    with pytest.raises(AssertionError, match="left behind"):
        watch.__exit__(None, None, None)
    wait_for(lambda: not is_running(orphan))


def test_who_was_there_before_and_who_has_ended_are_let_be(tmp_path: Path) -> None:
    with running(SLEEP, tmp_path / "before") as before:
        wait_for(lambda: before.pid in marked())  # its environment is there a moment after it
        with nobody_left_behind(seconds=0.1), running(SLEEP, tmp_path / "ended"):
            pass
        assert is_running(before.pid)


def test_a_command_that_ends_too_early_is_quoted(tmp_path: Path) -> None:
    code = "import sys; print('half', flush=True); sys.exit('no more')"
    with (
        running([sys.executable, "-c", code], tmp_path) as early,
        pytest.raises(AssertionError, match=r"exit status 1\nhalf\n\nno more"),
    ):
        early.wait_for(lambda: (tmp_path / "whole").exists())
