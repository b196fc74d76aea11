"""The README is true: every command, option panel and plug-in stands in it, and its links and lines exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.discovery import GROUPS, available

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    "command",
    [
        "render",
        "train-teacher",
        "distill",
        "evaluate",
        "compare",
        "export",
        "predict",
        "data",
        "demo",
        "doctor",
        "plugins",
        "pull",
        "push",
    ],
)
def test_every_command_is_named(command: str) -> None:
    assert f"pointcmt {command}" in README


@pytest.mark.parametrize("group", list(GROUPS))
def test_every_plug_in_is_named(group: str) -> None:
    for plugin in available(group):
        if plugin.distribution == "pointcmt":
            assert f"`{plugin.name}`" in README, plugin.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_two_commands_exist() -> None:
    for line in ("bash examples/quickstart.sh", "bash tests/run.sh"):
        assert line in README
        assert (ROOT / line.split()[1]).exists()


def test_the_backbone_of_the_readme_works(tmp_path: Path) -> None:
    """The twenty lines under "Add a backbone" pass the public checks, found in the folder one stands in."""
    code = re.search(r"```python\n(# my_points\.py.*?)```", README, re.DOTALL)
    assert code is not None
    assert len(code.group(1).splitlines()) <= 20
    (tmp_path / "my_points.py").write_text(code.group(1))
    script = Path(sys.executable).with_name("pointcmt")
    line = [script, "plugins", "check", "my_points:my_points", "--group", "backbones"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cameras_of_the_rendering_page_are_a_rig(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "rendering.md").read_text()
    block = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert block is not None
    path = tmp_path / "mine.toml"
    path.write_text(block[1])
    assert cameras(str(path), 64).views == block[1].count("[[cameras]]") == 3
