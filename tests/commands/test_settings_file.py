"""`--config` and `--print-config`, through the public door: what one prints the other takes; the command line wins."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from places import ROOT
from pointcmt_cli.cli import app
from pointcmt_cli.errors import UsageError

STAGES = [
    ["render"],
    ["train-teacher"],
    ["distill"],
    ["evaluate"],
    ["compare"],
    ["export"],
    ["predict"],
    ["demo"],
    ["data", "download"],
    ["data", "verify"],
    ["push"],
    ["pull"],
]


def printed(*line: str) -> str:
    """What a command says with --print-config."""
    done = CliRunner().invoke(app, [*line, "--print-config"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*line: str) -> str:
    with pytest.raises(UsageError) as error:
        CliRunner().invoke(app, [*line, "--print-config"], catch_exceptions=False)
    return str(error.value)


@pytest.mark.parametrize("stage", STAGES, ids=" ".join)
def test_what_is_printed_is_taken_again_as_it_is(stage: list[str], tmp_path: Path) -> None:
    text = printed(*stage)
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert tomllib.loads(text)
    assert printed(*stage, "--config", str(path)) == text


@pytest.mark.parametrize("stage", STAGES, ids=" ".join)
def test_every_option_of_the_help_is_printed_with_its_words(stage: list[str]) -> None:
    shown = CliRunner().invoke(app, [*stage, "--help"], env={"COLUMNS": "300"}).output
    flags = set(re.findall(r"│ --([a-z0-9-]+)", shown)) - {"help", "config", "print-config"}
    keys = set(re.findall(r"^(?:# )?([a-z0-9-]+) = ", printed(*stage), re.MULTILINE))
    assert flags <= keys


def test_an_edited_file_counts_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    text = printed("distill").replace("epochs = 60", "epochs = 7").replace("seed = 0", "seed = 5")
    text = text.replace(
        '# student-option = { KEY = "VALUE" }', 'student-option = { variant = "msg", k = 3 }'
    )
    path = tmp_path / "run.toml"
    path.write_text(text)
    found = tomllib.loads(printed("distill", "--config", str(path), "--seed", "9"))
    assert (found["epochs"], found["seed"]) == (7, 9)
    assert found["student-option"] == {"variant": "msg", "k": "3"}
    line = ["distill", "--student-option", "variant=ssg", "--config", str(path)]
    assert tomllib.loads(printed(*line))["student-option"] == {"variant": "ssg"}


def test_lists_and_arguments_come_from_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('checkpoints = ["a.pt", "b c.pt"]\npoints = [64, 32]\nrotations = ["so3"]\n')
    found = tomllib.loads(printed("evaluate", "--config", str(path)))
    assert found["checkpoints"] == ["a.pt", "b c.pt"]
    assert (found["points"], found["rotations"]) == ([64, 32], ["so3"])
    path.write_text('source = "meshes"\nonly = ["chair/*", "x"]\n')
    found = tomllib.loads(printed("render", "--config", str(path)))
    assert (found["source"], found["only"]) == ("meshes", ["chair/*", "x"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "distill has no setting 'epoch'; did you mean epochs?"),
        ("zzzz = 3", "distill has no setting 'zzzz'; --print-config shows all"),
        ("epochs = 3.5", "epochs = 3.5: a whole number is needed"),
        ("epochs = true", "epochs = true: a whole number is needed"),
        ("epochs = 0", "epochs = 0: "),
        ("lr = 0", "a positive number is needed"),
        ("force = 1", "force = 1: true or false is needed"),
        ("student = 3", "student = 3: text in quotes is needed"),
        ('select = "best"', 'select = "best": '),
        ("generator_layers = 2", "generator_layers = 2: "),
        ('student-option = "a=1"', "a table"),
        ("student-option = 1\nstudent_options = 2", "a table"),
        ("seed = 1\nSeed = 1", "did you mean seed?"),
        ("seed = ", "is not TOML: "),
    ],
)
def test_what_a_file_cannot_say_is_one_line_with_file_and_key(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    found = refusal("distill", "--config", str(path))
    assert found.startswith(str(path))
    assert message in found
    assert "\n" not in found


def test_unset_values_and_records_of_a_runs_own_file_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "run.config.json"
    values: dict[str, Any] = {"init": None, "epochs": 4, "record": {"command": "x"}}
    path.write_text(json.dumps(values | {"objective_options": {"recipe": "reference"}}))
    found = tomllib.loads(printed("distill", "--config", str(path)))
    assert found["epochs"] == 4
    assert found["objective-option"] == {"recipe": "reference"}
    assert "init" not in found


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(# run\.toml.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    path = tmp_path / "run.toml"
    path.write_text(block[1])
    found = tomllib.loads(printed("distill", "--config", str(path), "--seed", "1"))
    assert found["seed"] == 1
    assert tomllib.loads(block[1]).items() <= found.items()
