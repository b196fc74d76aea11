"""The pyrender renderer: what it says where GL is missing, and that it draws what raster draws where it is not."""

import json
import os
import subprocess
import sys

import pytest

from pointcmt_cli.errors import PointCMTError
from pointcmt_renderers.pyrender_gl import pyrender_gl


def test_pyrender_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrender", None)
    monkeypatch.delitem(sys.modules, "OpenGL", raising=False)
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    with pytest.raises(
        PointCMTError, match=r"pyrender: no egl context \(.*\); pip install pyrender"
    ):
        pyrender_gl()


def test_pyrender_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def OffscreenRenderer(self, *_: int) -> None:  # noqa: N802
            raise ImportError("Unable to load EGL library")

    monkeypatch.setitem(sys.modules, "pyrender", Broken())  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, "OpenGL", raising=False)
    for platform, packages in (("egl", "libegl1 libegl-mesa0"), ("osmesa", "libosmesa6")):
        monkeypatch.setenv("PYOPENGL_PLATFORM", platform)
        with pytest.raises(
            PointCMTError,
            match=rf"no {platform} context \(ImportError: Unable to load EGL library\); apt-get install {packages}.*"
            "or use --renderer raster, which needs no GL",
        ):
            pyrender_gl()


def test_pyrender_on_a_platform_with_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOPENGL_PLATFORM", "glx")
    with pytest.raises(PointCMTError, match="PYOPENGL_PLATFORM is 'glx', which needs a display"):
        pyrender_gl()


def test_pyrender_after_another_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenGL", sys)
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    with pytest.raises(PointCMTError, match="OpenGL is already loaded for egl in this process"):
        pyrender_gl(platform="osmesa")


COMPARE = """
import json, sys
import numpy as np, trimesh
from pointcmt_renderers.pyrender_gl import pyrender_gl
from pointcmt_renderers.raster import raster
from pointcmt_cli.api import Cameras, PointCMTError, Shape
from pointcmt_cli.data.rigs import cameras
try:
    draw = pyrender_gl(platform=sys.argv[1])
except PointCMTError as error:
    print(json.dumps({"skip": str(error)}))
    raise SystemExit
rig = cameras("mvcnn12", 384)
found = []
for solid in (trimesh.creation.icosphere(4, 0.9), trimesh.creation.box((1.2, 0.8, 0.5))):
    drawn = Shape("a/b", solid.vertices.astype("f4"), solid.faces.astype("i4"))
    one, two = draw(drawn, rig), raster()(drawn, rig)
    a, b = one < 255, two < 255
    within = np.abs(one.astype(int) - two)[a & b]
    found.append([(a & b).sum() / (a | b).sum(), np.median(within), (within > 6).mean()])
cloud = Shape("a/b", drawn.vertices)
try:
    draw(cloud, rig)
except PointCMTError as error:
    print(json.dumps({"found": np.array(found).tolist(), "refused": str(error)}))
"""


@pytest.mark.parametrize("platform", ["egl", "osmesa"])
def test_pyrender_draws_what_raster_draws(platform: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    run = subprocess.run(
        [sys.executable, "-c", COMPARE, platform],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    if "skip" in answer:
        pytest.skip(answer["skip"])
    for overlap, median, apart in answer["found"]:
        assert overlap > 0.99
        assert median <= 4
        assert apart < 0.05
    assert "the pyrender renderer draws meshes and this is a cloud" in answer["refused"]
