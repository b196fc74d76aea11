"""The built wheel: both source roots, the typing marker, the entry points; and it runs from where it is unpacked."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from places import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as pip lays it out."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("pointcmt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_every_package_and_nothing_else(site: Path) -> None:
    packages = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert packages == {
        "pointcmt_cli",
        "pointcmt_backbones",
        "pointcmt_teachers",
        "pointcmt_renderers",
        "pointcmt_objectives",
    }
    assert all((site / name / "py.typed").exists() for name in packages)


def test_it_runs_from_there(site: Path, tmp_path: Path) -> None:
    program = (
        "import pointcmt_cli, pointcmt_objectives; from pointcmt_cli import discovery;"
        "print(pointcmt_cli.__file__, pointcmt_objectives.__file__);"
        "print([discovery.load(group, plugin.name) and plugin.name for group in discovery.GROUPS"
        " for plugin in discovery.available(group) if plugin.distribution == 'pointcmt'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count(str(site)) == 2
    assert "pointnet2" in done.stdout
