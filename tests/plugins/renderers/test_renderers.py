"""All renderers: found by name, options checked, the same bytes in every process."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding
import pytest
import trimesh

from pointcmt_cli import discovery
from pointcmt_cli.errors import PluginError, PointCMTError
from processes import HANGS
from renderer_scenes import from_direction, mesh


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("raster", {"ambient": 0.6, "diffuse": 0.6}, "ambient 0.6 and diffuse 0.6 must be"),
        ("raster", {"ambient": -0.1}, "must be at least 0 and together at most 1"),
        ("raster", {"diffuse": "nan"}, "must be at least 0 and together at most 1"),
        ("raster", {"light": "1,2,3"}, r"light \(1, 2, 3\) must be two finite numbers: right, up"),
        ("points", {"splat_size": "0"}, "splat_size 0 must be at least 1 pixel"),
        ("points", {"sharpness": "-1"}, r"sharpness -1.0 must be in \[0, 64\]"),
        ("points", {"near": "2"}, r"near 2.0 and far 0.8 must be in \[0, 1\]"),
        ("pyrender", {"platform": "glx"}, "'glx' is not one of egl, osmesa"),
        ("raster", {"supersample": "3"}, "'3' is not one of 1, 2"),
        ("raster", {"normals": "round"}, "'round' is not one of flat, smooth"),
        ("raster", {"shading": "pbr"}, "'pbr' is not one of lambert, normal, depth, silhouette"),
        ("raster", {"shading": "normal"}, "the shading 'normal' is a picture in RGB; add --color"),
        ("raster", {"shine": "1"}, "no option 'shine'; renderer 'raster' takes: shading: Lit"),
    ],
)
def test_options_that_cannot_be_meant(name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(PointCMTError, match=text):
        discovery.build("renderers", name, options)


def test_options_as_typed_on_a_command_line() -> None:
    draw = discovery.build("renderers", "raster", {"light": "0,0", "ambient": "0", "diffuse": "1"})
    cube = mesh(trimesh.creation.box((1, 1, 1)))
    assert draw(cube, from_direction([0, 0, 1]))[0, 32, 32] == 255


START = """
import hashlib, sys
import numpy as np
from pointcmt_cli import discovery
from pointcmt_cli.api import Shape
from pointcmt_cli.data.cameras.rigs import cameras
random = np.random.default_rng(0)
vertices = random.uniform(-0.5, 0.5, (90, 3)).astype("f4")
drawn = Shape("a/b", vertices, np.arange(90, dtype="i4").reshape(-1, 3))
rig = cameras("mvcnn12", 32)
digest = hashlib.sha256()
for name, options in (
    ("raster", {}),
    ("raster", {"shading": "normal", "normals": "smooth", "supersample": 2, "color": True}),
    ("points", {}),
):
    digest.update(discovery.build("renderers", name, options)(drawn, rig).tobytes())
assert "torch" not in sys.modules
print(digest.hexdigest())
"""


def test_processes_that_compile_at_once_draw_the_same_bytes(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", START]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first = [process.communicate(timeout=HANGS)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert len(kept) >= 6
    later = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert {*first, later.stdout} == {first[0]}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == kept  # only read


SCENES = """
import hashlib
import numpy as np, trimesh
from pointcmt_cli.api import Shape
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_renderers.raster import kernels, pixels
from pointcmt_renderers.raster.raster import raster
random = np.random.default_rng(0)
soup = random.uniform(-0.57, 0.57, (600, 3)).astype("f4")
drawn = [Shape("a/soup", soup, np.arange(600, dtype="i4").reshape(-1, 3))]
for solid in (trimesh.creation.icosphere(3, 0.9), trimesh.creation.box((1.1, 0.9, 0.7))):
    colors = random.integers(0, 256, solid.vertices.shape).astype("u1")
    faces = solid.faces.astype("i4")
    drawn.append(Shape("a/b", solid.vertices.astype("f4"), faces, vertex_colors=colors))
digest = hashlib.sha256()
for options in (
    {},
    {"color": True, "normals": "smooth", "supersample": 2},
    {"color": True, "shading": "normal"},
    {"shading": "depth"},
):
    draw = raster(**options)
    for shape in drawn:
        digest.update(draw(shape, cameras("dodecahedron20", 96)).tobytes())
kept = (kernels.fill, kernels.project, kernels.look_up, pixels.interpolate)
code = "".join(text for kernel in kept for text in kernel.inspect_asm().values())
print(digest.hexdigest(), *(wide in code for wide in ("%xmm", "%ymm", "%zmm")))
"""
LEVELS = {"sse2": ("x86-64", "Prescott"), "avx2": ("x86-64-v3", "Haswell")}
"""What LLVM and OpenBLAS call a processor that has no more than that."""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="needs an x86-64 processor"
)
def test_raster_draws_the_same_bytes_at_every_width_of_vectors(tmp_path: Path) -> None:
    digests, widths = {}, {}
    has = llvmlite.binding.get_host_cpu_features()
    for level in [*(each for each in LEVELS if has.get(each)), "own"]:
        variables = {"NUMBA_CACHE_DIR": str(tmp_path / level), "OMP_NUM_THREADS": "1"}
        if level in LEVELS:
            variables["NUMBA_CPU_NAME"], variables["OPENBLAS_CORETYPE"] = LEVELS[level]
            variables["NUMBA_CPU_FEATURES"] = ""
        done = subprocess.run(
            [sys.executable, "-c", SCENES],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=HANGS,
        )
        assert done.returncode == 0, done.stderr
        digests[level], *widths[level] = done.stdout.split()
    assert widths["sse2"] == ["True", "False", "False"]  # each ran what its name says
    assert widths.get("avx2", ["True", "True", "False"]) == ["True", "True", "False"]
    assert len(set(digests.values())) == 1, (digests, widths)


def test_plugins_are_found_by_name() -> None:
    names = {plugin.name for plugin in discovery.available("renderers")}
    assert {"raster", "points", "pyrender"} <= names
    with pytest.raises(PluginError, match=r"no renderer named 'rastr'; did you mean 'raster'\?"):
        discovery.load("renderers", "rastr")
