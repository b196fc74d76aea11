"""The command line from outside: help, version, one-line errors, exit statuses, standard output kept clean."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pointcmt_cli import __version__, console
from pointcmt_cli.cli import app
from pointcmt_cli.records import Note, Progress, Result

COMMANDS = [
    "render", "train-teacher", "distill", "evaluate", "export", "demo", "predict", "doctor", "plugins",
]  # fmt: skip


def pointcmt(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pointcmt_cli", *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_version() -> None:
    done = pointcmt("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == f"pointcmt {__version__}"


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "plugins"])
def test_help_of_every_command_has_groups_and_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert f"Example: pointcmt {command}" in result.output
    assert "Files" in result.output or "Run" in result.output or "--json" in result.output


def test_completion_is_offered() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_a_user_error_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = pointcmt("distill", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "pointcmt: features.h5: no such file; `pointcmt train-teacher` makes it\n"
    )


def test_a_usage_error_is_status_2(tmp_path: Path) -> None:
    assert pointcmt("distill", "--epochs", "many", cwd=tmp_path).returncode == 2
    assert pointcmt("nonsense", cwd=tmp_path).returncode == 2
    done = pointcmt("distill", "--objective-option", "weight", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected KEY=VALUE" in done.stderr


def test_progress_goes_to_standard_error_only(capfd: pytest.CaptureFixture[str]) -> None:
    stage = [Note("begun"), Progress("work", 1, 2), Progress("work", 2, 2), Result({"a": 1})]
    assert console.follow(stage) == {"a": 1}
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "begun" in captured.err
    console.print_json({"a": 1})
    assert json.loads(capfd.readouterr().out) == {"a": 1}


@pytest.mark.parametrize("command", ["distill", "train-teacher"])
@pytest.mark.parametrize("value", ["0", "inf", "nan"])
def test_a_learning_rate_that_cannot_be_meant(command: str, value: str, tmp_path: Path) -> None:
    done = pointcmt(command, "--lr", value, cwd=tmp_path)
    assert done.returncode == 2
    assert "a positive number is needed" in done.stderr


def test_a_path_that_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    name = "x" * 300
    done = pointcmt("evaluate", f"{name}.pt", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"pointcmt: {name}.pt: File name too long\n"
