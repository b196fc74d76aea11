"""tests/run.sh with tools that only say their names: what it runs for the whole suite, and for tests that are named."""

import shutil
import subprocess
from pathlib import Path

import pytest

from places import ROOT

INSTALL = ["pip", "pip"]
LINT = ["ruff", "ruff", "mypy"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with run.sh, one test, and an interpreter whose environments hold such tools."""
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "run.sh", tmp_path / "tests")
    (tmp_path / "tests" / "test_one.py").touch()
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\necho "$(basename "$0") $*" >> called\n')
    tool.chmod(0o755)
    maker = tmp_path / "maker"
    made = "".join(f"cp tool .venv/bin/{name}\n" for name in ("pip", "ruff", "mypy", "python"))
    maker.write_text(f"#!/bin/sh\nmkdir -p .venv/bin\n{made}")
    maker.chmod(0o755)
    return tmp_path


def called(clone: Path, *words: str) -> tuple[list[str], str]:
    """The tools before pytest, and the words of pytest."""
    (clone / "called").unlink(missing_ok=True)
    line = ["bash", "tests/run.sh", *words]
    variables = {"PATH": "/usr/bin:/bin", "PYTHON": str(clone / "maker")}
    subprocess.run(line, cwd=clone, env=variables, check=True)
    *tools, last = (clone / "called").read_text().splitlines()
    return [each.split()[0] for each in tools], last


def test_the_whole_suite_is_installed_for_linted_and_spread_over_cores(clone: Path) -> None:
    for words in ([], ["-k", "one"], ["--durations=20"]):
        tools, last = called(clone, *words)
        assert tools == INSTALL + LINT
        assert last.startswith("python -m pytest --numprocesses logical")
        assert last.endswith(" ".join(["worksteal", *words]))


def test_a_test_that_is_named_is_run_alone_and_at_once(clone: Path) -> None:
    for word in ("tests/test_one.py", "tests/test_one.py::test_it[a-1]"):
        tools, last = called(clone, "-x", word)
        assert last == f"python -m pytest -x {word}"
        assert tools == INSTALL  # a fresh clone has no pytest yet
    (clone / ".venv" / "bin" / "pytest").touch()
    assert called(clone, "tests/test_one.py")[0] == []
