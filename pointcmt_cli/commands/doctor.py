"""`pointcmt doctor`: what works on this machine. Every check runs in a process of its own with a time limit.

A check is a few lines of Python that print what they found and fail by raising: what crashes or hangs a driver
cannot take the doctor down.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import requires
from typing import Annotated, Any

import typer

from pointcmt_cli import discovery
from pointcmt_cli.errors import PointCMTError

TORCH = """
import torch
where = f"CUDA {torch.version.cuda}, " + ", ".join(
    torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
) if torch.cuda.is_available() else "no CUDA device"
a = torch.rand(8, 8)
assert torch.isfinite(a @ a).all()
print(f"{torch.__version__}, {torch.get_num_threads()} threads, {where}")
"""
PACKAGES = """
import importlib, sys
from importlib.metadata import version
for name in sys.argv[1:]:
    importlib.import_module({"pillow": "PIL"}.get(name, name))
    print(name, version(name), end="  ")
"""
NUMBA = """
import numba
assert numba.njit(lambda x: x + 1)(1) == 2
print(f"{numba.__version__} compiles, {numba.get_num_threads()} threads")
"""
RENDERER = """
import sys, time
import numpy as np
from pointcmt_cli import discovery
from pointcmt_cli.data.rigs import cameras
from pointcmt_cli.data.shape import Shape
corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32) / np.float32(3**0.5)
faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
draw = discovery.build("renderers", sys.argv[1])
rig = cameras("orthogonal6", 64)
draw(Shape("doctor/tetrahedron", corners, faces, corners), rig)
start = time.perf_counter()
images = draw(Shape("doctor/tetrahedron", corners, faces, corners), rig)
assert images.dtype == np.uint8 and images.shape == (6, 64, 64), f"drew {images.dtype} {images.shape}"
assert images.min() < images.max(), "drew nothing"
print(f"draws; {len(images) / (time.perf_counter() - start):.0f} views a second of a tetrahedron at 64 pixels")
"""
OPENGL = """
import pyrender
renderer = pyrender.OffscreenRenderer(16, 16)
from OpenGL.GL import GL_RENDERER, glGetString
print((glGetString(GL_RENDERER) or b"a context without a name").decode())
renderer.delete()
"""
PLUGINS = """
import sys
from pointcmt_cli import discovery
broken = []
for name in sys.argv[2:]:
    try:
        discovery.load(sys.argv[1], name)
    except Exception as error:
        broken.append(str(error))
print(", ".join(sys.argv[2:]) if not broken else "")
sys.exit("; ".join(broken) or 0)
"""
EXTRA = """
import importlib, re, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
owners = packages_distributions()
for wanted in sys.argv[1:]:
    try:
        found = version(wanted)
    except PackageNotFoundError:
        sys.exit(f"{wanted} is not installed")
    for module in owners:
        if plain(wanted) in map(plain, owners[module]) and module.isidentifier():
            importlib.import_module(module)
    print(wanted, found, end="  ")
"""
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
    """What to do when it fails."""
    required: bool = False
    """Whether pointcmt is of no use without it."""
    environment: tuple[tuple[str, str], ...] = ()


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
        findings = list(pool.map(lambda check: examine(check, timeout), checks()))
    renderers = [each for each in findings if each.name.startswith("renderer ")]
    broken = [each.name for each in findings if each.required and not each.works]
    if not any(each.works for each in renderers):
        broken.append("every renderer")
    if json:
        console.print_json({"works": not broken, "checks": [asdict(each) for each in findings]})
    else:
        for each in findings:
            console.line(f"{'ok  ' if each.works else 'no  '} {each.name}: {each.detail}")
            if not each.works and each.mend:
                console.line(f"       {each.mend}")
    if broken:
        raise PointCMTError(f"does not work here: {', '.join(broken)}; nothing runs without it")


def checks() -> list[Check]:
    """Every check, from installed metadata: required packages, renderers, plug-ins, extras."""
    again = "install pointcmt again: pip install --force-reinstall pointcmt"
    core = ("numpy", "scipy", "h5py", "joblib", "pillow", "trimesh", "torchmetrics")
    found = [
        Check("torch", TORCH, mend="install torch again", required=True),
        Check("numba", NUMBA, mend="install numba again", required=True),
        Check("packages", PACKAGES, core, again, required=True),
    ]
    for plugin in discovery.available("renderers"):
        found.append(Check(f"renderer {plugin.name}", RENDERER, (plugin.name,)))
    system = {
        "egl": "apt install libegl1 libegl-mesa0 libgl1 libopengl0 libgl1-mesa-dri, or a GPU vendor's driver",
        "osmesa": "apt install libosmesa6 libopengl0; pip install PyOpenGL==3.1.10 (pyrender pins an older one)",
    }
    for platform, mend in system.items():
        environment = (("PYOPENGL_PLATFORM", platform),)
        found.append(Check(f"OpenGL by {platform}", OPENGL, (), mend, environment=environment))
    for group in ("backbones", "teachers", "objectives"):
        names = tuple(plugin.name for plugin in discovery.available(group))
        found.append(Check(group, PLUGINS, (group, *names), "pointcmt plugins check NAME"))
    for extra, packages in extras().items():
        caution = "".join(CAUTION.get(package, "") for package in packages)
        mend = f"pip install 'pointcmt[{extra}]'{caution}"
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
    command: list[Any] = [sys.executable, "-c", check.code, *check.arguments]
    environment = {**os.environ, **dict(check.environment)}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        reason = f"did not end within {timeout:.0f} s"
        return Finding(check.name, False, check.required, reason, check.mend)
    if done.returncode == 0:
        return Finding(check.name, True, check.required, done.stdout.strip(), "")
    lines = done.stderr.strip().splitlines() or [f"ended with exit status {done.returncode}"]
    mend = check.mend
    if "torchvision" in lines[-1] and "not installed" not in lines[-1]:
        mend = BUILDS
    return Finding(check.name, False, check.required, lines[-1], mend)
