"""`pointcmt doctor`: what works on this machine. Every check runs in a process of its own with a time limit.

A check is a few lines of Python (see questions.py): what crashes or hangs a driver cannot take the doctor down.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ctypes.util import find_library
from dataclasses import asdict, dataclass, replace
from glob import glob
from importlib.metadata import requires
from json import loads
from tempfile import TemporaryFile
from typing import IO, Annotated

import typer

from pointcmt_cli import discovery
from pointcmt_cli.commands.doctor.questions import (
    EXTRA,
    NUMBA,
    PACKAGES,
    PLATFORMS,
    PLUGINS,
    RENDERER,
    TORCH,
)
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.wording import install_extra

SOFTWARE = ("llvmpipe", "softpipe", "swrast")
"""Mesa's names for drawing on the CPU."""
BUILDS = "torch and torchvision come from different builds: install both, of matching versions, from one index"
CAUTION = {
    "timm": "; it needs torchvision: beside a CPU-only torch, install torchvision from torch's CPU index first"
}
"""By distribution: what to know before it is installed."""


@dataclass(frozen=True)
class Check:
    """One question to this machine."""

    name: str
    code: str
    arguments: tuple[str, ...] = ()
    mend: str = ""
    """What to do when it fails; none: what its message says after the last semicolon."""
    required: bool = False
    """Whether pointcmt is of no use without it."""


@dataclass(frozen=True)
class Finding:
    """What came out of a check."""

    name: str
    works: bool
    required: bool
    detail: str
    """What was found, or the reason why it does not work."""
    mend: str


def doctor(
    json: Annotated[
        bool, typer.Option("--json", help="Findings as JSON on standard output, nothing else.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one check may take.")] = 120.0,
) -> None:
    """Say what works on this machine, why the rest does not, and the line that mends it.

    Exit status 1 when something is broken that every step needs. Example: pointcmt doctor --json
    """
    from pointcmt_cli import console

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        findings = advised(pool.map(lambda check: examine(check, timeout), checks(timeout)))
    renderers = [each for each in findings if each.name.startswith("renderer ")]
    broken = [each.name for each in findings if each.required and not each.works]
    if not any(each.works for each in renderers):
        broken.append("every renderer")
    if json:
        console.print_json({"works": not broken, "checks": [asdict(each) for each in findings]})
    else:
        for each in findings:
            console.line(f"{'ok  ' if each.works else 'no  '} {each.name}: {each.detail}")
            if each.mend:
                console.line(f"       {each.mend}")
    if broken:
        raise PointCMTError(f"does not work here: {', '.join(broken)}; nothing runs without it")


def checks(timeout: float) -> list[Check]:
    """Every check, from installed metadata: required packages, renderers, plug-ins, extras.

    A renderer draws as it does by default and, if it has an option `platform`, on each of those.
    """
    again = "install pointcmt again: pip install --force-reinstall pointcmt"
    core = ("numpy", "scipy", "h5py", "isal", "joblib", "pillow", "trimesh", "torchmetrics")
    found = [
        Check("torch", TORCH, mend="install torch again", required=True),
        Check("numba", NUMBA, mend="install numba again", required=True),
        Check("packages", PACKAGES, core, again, required=True),
    ]
    renderers = tuple(plugin.name for plugin in discovery.available("renderers"))
    listed = examine(Check("platforms", PLATFORMS, renderers), timeout)
    platforms = loads(listed.detail) if listed.works else {}
    for name in renderers:
        found.append(Check(f"renderer {name}", RENDERER, (name,)))
        for platform in platforms.get(name, []):
            found.append(Check(f"renderer {name} on {platform}", RENDERER, (name, platform)))
    for group in ("backbones", "teachers", "objectives"):
        names = tuple(plugin.name for plugin in discovery.available(group))
        found.append(Check(group, PLUGINS, (group, *names), "pointcmt plugins check NAME"))
    for extra, packages in extras().items():
        caution = "".join(CAUTION.get(package, "") for package in packages)
        mend = f"{install_extra(extra)}{caution}"
        found.append(Check(f"extra {extra}", EXTRA, packages, mend))
    return found


def extras(ignored: Sequence[str] = ("test",)) -> dict[str, tuple[str, ...]]:
    """Distributions of each extra of pointcmt, as its metadata states them."""
    found: dict[str, tuple[str, ...]] = {}
    for requirement in requires("pointcmt") or []:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        package = re.match(r"[A-Za-z0-9._-]+", requirement)
        if extra and package and extra[1] not in ignored:
            found[extra[1]] = (*found.get(extra[1], ()), package[0])
    return found


def examine(check: Check, timeout: float) -> Finding:
    """Run one check in a process of its own."""
    command = [sys.executable, "-c", check.code, *check.arguments]
    with (
        _text_file() as output,
        _text_file() as errors,
    ):  # a pipe could be held open by a grandchild
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(
                subprocess.TimeoutExpired
            ):  # what hangs inside a driver outlives even that
                process.wait(1)
            reason = f"did not end within {timeout:.0f} s"
            return Finding(check.name, False, check.required, reason, check.mend)
        output.seek(0)
        errors.seek(0)
        printed, lines = output.read().strip(), errors.read().strip().splitlines()
    if process.returncode == 0:
        return Finding(check.name, True, check.required, printed, "")
    if process.returncode < 0:
        lines.append(f"ended by {signal.Signals(-process.returncode).name}")
    detail, mend = (
        lines[-1] if lines else f"ended with exit status {process.returncode}",
        check.mend,
    )
    if "torchvision" in detail and "not installed" not in detail:
        mend = BUILDS
    elif not mend and "; " in detail:
        detail, _, mend = detail.rpartition("; ")
    return Finding(check.name, False, check.required, detail, mend)


def _text_file() -> IO[str]:
    return TemporaryFile("w+", encoding="utf-8", errors="replace")


def advised(findings: Iterable[Finding]) -> list[Finding]:
    """The findings with what one check alone cannot know: a renderer that draws, a GPU that none draws on."""
    found = list(findings)
    renderers = [each for each in found if each.name.startswith("renderer ")]
    able = dict.fromkeys(f"--renderer {each.name.split()[1]}" for each in renderers if each.works)
    instead = f"use {' or '.join(able)}" if able else ""
    gpus = graphics_devices()
    for index, each in enumerate(found):
        if each not in renderers:
            continue
        if not each.works and not each.mend:
            found[index] = replace(each, mend=instead)
        elif each.works and gpus and any(f"by egl on {name}" in each.detail for name in SOFTWARE):
            found[index] = replace(each, mend=on_the_gpu(gpus))
    return found


def graphics_devices() -> list[str]:
    """Device files of GPUs that could draw."""
    return [*glob("/dev/nvidia[0-9]*"), *glob("/dev/dri/renderD*")]


def on_the_gpu(devices: Sequence[str]) -> str:
    """What lets EGL draw on one of the GPUs, where it chose the CPU."""
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        return f"the GPU is not used: {closed[0]} cannot be opened by this user; usermod -aG render,video USER"
    if "nvidia" in devices[0] and not find_library("EGL_nvidia"):
        return (
            "the GPU is not used: NVIDIA's libEGL_nvidia.so.0 is missing; apt install libnvidia-gl-VERSION of your "
            "driver, or start the container with NVIDIA_DRIVER_CAPABILITIES=all"
        )
    return "the GPU is not used: try EGL_DEVICE_ID=1 (2, ...), which names another of EGL's devices"
