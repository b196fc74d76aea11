"""plugins: `list` reads metadata and imports nothing; `check` finds the group and speaks in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pointcmt_cli import discovery
from pointcmt_cli.commands.plugins import app, group_of
from pointcmt_cli.errors import PluginError, UsageError

BROKEN = {
    "entry_points.txt": "[pointcmt.teachers]\nwreck = wreck_module:make\n",
    "METADATA": "Name: wreck\nVersion: 7.1\n",
}


@pytest.fixture
def wreck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second distribution whose only plug-in cannot be imported."""
    folder = tmp_path / "wreck-7.1.dist-info"
    folder.mkdir()
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    (tmp_path / "wreck_module.py").write_text("raise SystemError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_list_shows_what_metadata_says() -> None:
    result = CliRunner().invoke(app, ["list"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for group in discovery.GROUPS:
        for plugin in discovery.available(group):
            line = next(
                line
                for line in result.stdout.splitlines()
                if f" {group} " in line and f" {plugin.name} " in line
            )
            assert plugin.distribution in line
            assert plugin.version in line


def test_list_json_holds_every_plugin() -> None:
    result = CliRunner().invoke(app, ["list", "--json"])
    found = {(each["group"], each["name"]) for each in json.loads(result.stdout)["plugins"]}
    assert {("teachers", "mvcnn"), ("renderers", "raster"), ("objectives", "none")} <= found


def test_list_imports_no_plugin_and_no_torch(wreck: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from pointcmt_cli.commands.plugins import app; "
        f"sys.path.insert(0, {str(wreck)!r}); result = CliRunner().invoke(app, ['list']); "
        "heavy = [m for m in ('torch', 'numpy', 'wreck_module', 'pointcmt_teachers') if m in sys.modules]; "
        "print(heavy, 'wreck' in result.stdout and '7.1' in result.stdout, result.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True 0", done.stderr


def test_two_of_one_name_are_marked(wreck: Path) -> None:
    (wreck / "wreck-7.1.dist-info" / "entry_points.txt").write_text(
        "[pointcmt.teachers]\nmvcnn = wreck_module:make\n"
    )
    result = CliRunner().invoke(app, ["list"], env={"COLUMNS": "120"})
    assert result.stdout.count("mvcnn (offered twice)") == 2


def test_check_of_a_broken_plugin_is_one_line(wreck: Path) -> None:
    result = CliRunner().invoke(app, ["check", "wreck"])
    assert isinstance(result.exception, PluginError)
    assert str(result.exception).startswith(
        "teacher 'wreck' is broken: wreck_module:make of wreck 7.1: SystemError"
    )


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (
            "nonesuch",
            PluginError,
            "no plug-in named 'nonesuch' is installed; `pointcmt plugins list` shows all",
        ),
        ("a:b", UsageError, "'a:b': say what it is with --group backbones|"),
    ],
)
def test_names_that_are_in_no_group(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        group_of(name)
    assert str(caught.value).startswith(message)


def test_a_name_in_two_groups_needs_the_group(wreck: Path) -> None:
    (wreck / "wreck-7.1.dist-info" / "entry_points.txt").write_text(
        "[pointcmt.backbones]\nmvcnn = wreck_module:make\n"
    )
    with pytest.raises(
        UsageError, match="'mvcnn' is in backbones and teachers: choose with --group"
    ):
        group_of("mvcnn")


def test_an_unknown_group() -> None:
    result = CliRunner().invoke(app, ["check", "mvcnn", "--group", "students"])
    assert isinstance(result.exception, UsageError)
    assert "--group 'students': one of backbones, teachers, renderers, objectives" in str(
        result.exception
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return 3",
            "objective 'toy_module:make' breaks its contract: an objective must be an nn.Module, got int",
        ),
        (
            "return Fails()",
            "objective 'toy_module:make' fails when it is used: ZeroDivisionError: division by zero (with",
        ),
    ],
)
def test_check_tells_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    code = f"""
from torch import nn

class Fails(nn.Module):
    def forward(self, batch):
        return 1 / 0

def make():
    {body}
"""
    (tmp_path / "toy_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_module", raising=False)
    result = CliRunner().invoke(app, ["check", "toy_module:make", "--group", "objectives"])
    assert isinstance(result.exception, PluginError)
    assert str(result.exception).startswith(message)


def test_check_of_a_sound_plugin_says_so() -> None:
    result = CliRunner().invoke(app, ["check", "none"], env={"COLUMNS": "120"})
    assert result.exception is None, result.exception
    assert result.stdout.startswith(
        "objective 'none' keeps its contract (pointcmt_objectives.plain:plain of pointcmt"
    )
