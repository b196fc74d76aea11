"""Processes that tests start. In: a command; out: what it said, its end for certain, and whoever it left behind.

A test waits for a condition. Its time limit is there for what hangs, and far above what a loaded machine needs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

HANGS = 300
"""Seconds after which something hangs."""
MARK = "POINTCMT_TESTED_BY"
"""Variable that every process started by a test inherits: the number of the process that runs the test."""
POOLS = ("loky", "resource_tracker", "compile_worker")
"""In the command lines of processes that joblib and torch keep for the next call."""


def wait_for(condition: Callable[[], Any], seconds: float = HANGS) -> Any:
    """What a condition gives, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.02)
    return found


class Running:
    """A command in a session of its own, which writes what it says into two files."""

    def __init__(self, command: Sequence[str], folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files = folder / "out.txt", folder / "errors.txt"
        with self.files[0].open("wb") as out, self.files[1].open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=errors, start_new_session=True, **options
            )
        self.pid = self.process.pid

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return self.files[0].read_text(errors="replace")

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self.files[1].read_text(errors="replace")

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What a condition gives once it is true; an error with all that was said where the command ends before."""

        def met() -> Any:
            over = self.process.poll() is not None  # asked first, so that its last deed counts
            found = condition()
            assert found or not over, f"ended with exit status {self.process.returncode}"
            return found

        try:
            return wait_for(met)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.out}\n{self.errors}") from None

    def wait(self) -> int:
        """Its exit status."""
        self.wait_for(lambda: self.process.poll() is not None)
        return self.process.returncode

    def kill(self) -> None:
        """End it and whoever shares its session, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(command: Sequence[str], folder: Path, **options: Any) -> Iterator[Running]:
    """A command that runs while the block does, and no longer."""
    started = Running(command, folder, **options)
    try:
        yield started
    finally:
        started.kill()


class Process(NamedTuple):
    """Somebody in /proc."""

    parent: int
    command: str
    variables: dict[str, str]


def is_running(number: int) -> bool:
    """Not ended; one that has ended and that nobody has asked about counts as ended."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def marked() -> dict[int, Process]:
    """Processes that this one has started, and theirs, even when nobody between them lives any more."""
    mark = f"{MARK}={os.getpid()}"
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            lines = (place / "environ").read_bytes().decode(errors="replace").split("\0")
            if mark in lines:
                variables = dict(each.split("=", 1) for each in lines if "=" in each)
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(place.name)] = Process(parent, line, variables)
        except OSError:
            continue  # it has ended, or is another user's
    return found


def new_since(before: Collection[int]) -> dict[int, Process]:
    """Marked processes that were not there before, nor children of such, nor in a pool of this process."""
    now = marked()
    kept = set(before)
    for number, each in now.items():
        if each.parent == os.getpid() and any(word in each.command for word in POOLS):
            kept.add(number)

    def is_kept(number: int) -> bool:
        while number in now and number not in kept:
            number = now[number].parent
        return number in kept

    return {number: each for number, each in now.items() if not is_kept(number)}


@contextmanager
def nobody_left_behind(seconds: float = 60) -> Iterator[None]:
    """Raise after the block where a process that it has started goes on for so long; and end it."""
    before = marked()
    yield
    try:
        wait_for(lambda: not new_since(before), seconds)
    except AssertionError:
        left = new_since(before)
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        lines = "\n".join(f"{number}: {each.command}" for number, each in left.items())
        raise AssertionError(f"left behind:\n{lines}") from None
