"""`pyrender`: the same pictures by OpenGL, for machines with a GPU. In: a mesh and cameras; out: gray views.

pyrender 0.1.45, imported when the renderer is built, in the process that draws: GL contexts do not survive a fork.
Works with numpy 2 as it is: only the bounds that its viewer asks for use the removed `np.infty`.
"""

import os
import sys
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape

PACKAGES = {
    "egl": "libegl1 libegl-mesa0 libgl1 libopengl0 libgl1-mesa-dri",
    "osmesa": "libosmesa6 libopengl0",
}
"""Debian's, without a vendor's driver."""
FULL_LIGHT = np.pi / 0.96
"""Intensity under which white, seen square on, is 1: a dielectric scatters 0.96 / pi of the light (glTF 2.0, B.2)."""
GAMMA = 2.2
"""What pyrender's fragment shader (shaders/mesh.frag) raises its result to the inverse of."""


def pyrender_gl(
    *,
    platform: Literal["egl", "osmesa"] | None = None,
    ambient: float = 0.15,
    diffuse: float = 0.65,
    light: tuple[float, float] = (0.3, 0.6),
) -> Renderer:
    """Shaded as the raster renderer with the same options; edges are smoothed where the driver does it.

    `platform` is PyOpenGL's; none: the variable PYOPENGL_PLATFORM, else egl.
    """
    platform = platform or _chosen_platform()
    pyrender, context = _open(platform)
    contexts = [context]
    to_light = np.array([*light, 1.0]) / np.linalg.norm([*light, 1.0])
    linear = np.round(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        if shape.faces is None:
            raise PointCMTError(
                f"{shape.name}: the pyrender renderer draws meshes and this is a cloud; use --renderer points"
            )
        if platform == "osmesa":  # leaks about 3 MB a view unless it is made anew
            contexts.pop().delete()
            contexts.append(pyrender.OffscreenRenderer(cameras.size, cameras.size))
        context = contexts[0]
        context.viewport_width = context.viewport_height = cameras.size
        scene = pyrender.Scene(bg_color=[1.0, 1.0, 1.0, 1.0], ambient_light=[ambient] * 3)
        scene.add(_mesh(pyrender, shape.vertices, shape.faces))
        camera = scene.add(pyrender.PerspectiveCamera(cameras.field_of_view, aspectRatio=1.0))
        lamp = scene.add(pyrender.DirectionalLight(intensity=diffuse * FULL_LIGHT))
        images = np.empty((cameras.views, cameras.size, cameras.size), np.uint8)
        for pose, image in zip(cameras.poses, images, strict=True):
            scene.set_pose(camera, pose)
            scene.set_pose(lamp, _shining_from(pose[:3, :3] @ to_light))
            color, _ = context.render(scene)
            image[:] = linear[color[..., 0]]
        return images

    return draw


def _chosen_platform() -> Literal["egl", "osmesa"]:
    chosen = os.environ.get("PYOPENGL_PLATFORM", "egl")
    if chosen not in ("egl", "osmesa"):
        raise PointCMTError(
            f"pyrender: PYOPENGL_PLATFORM is '{chosen}', which needs a display; set it to egl or osmesa"
        )
    return "osmesa" if chosen == "osmesa" else "egl"


def _open(platform: Literal["egl", "osmesa"]) -> tuple[Any, Any]:
    """The pyrender module and a context, or one line that says what is missing."""
    bound = os.environ.get("PYOPENGL_PLATFORM")
    if "OpenGL" in sys.modules and bound != platform:
        raise PointCMTError(
            f"pyrender: OpenGL is already loaded for {bound or 'a display'} in this process; "
            f"start a new one for {platform}"
        )
    os.environ["PYOPENGL_PLATFORM"] = platform
    try:
        import pyrender

        return pyrender, pyrender.OffscreenRenderer(16, 16)
    except Exception as error:  # what a missing driver raises differs from library to library
        if platform == "osmesa" and "OSMesaCreateContextAttribs" in str(error):
            mend = "pip install --no-deps PyOpenGL==3.1.10 (pyrender pins 3.1.0, which lacks it)"
        elif isinstance(error, ModuleNotFoundError):
            mend = f"pip install {error.name}"
        else:
            mend = (
                f"apt-get install {PACKAGES[platform]}, or use --renderer raster, which needs no GL"
            )
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise PointCMTError(f"pyrender: no {platform} context ({cause}); {mend}") from error


def _mesh(pyrender: Any, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> Any:
    """Every face once for each side, because pyrender leaves a face seen from behind unlit."""
    corners = vertices[np.concatenate([faces, faces[:, ::-1]])]  # (2 F, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    white = pyrender.MetallicRoughnessMaterial(
        baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=1.0
    )
    sides = pyrender.Primitive(
        positions=corners.reshape(-1, 3), normals=np.repeat(normals, 3, axis=0), material=white
    )
    return pyrender.Mesh([sides])


def _shining_from(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose (4, 4) whose +z is a unit direction: lights shine along their own -z."""
    aside = np.eye(3)[np.argmin(np.abs(direction))]
    right = np.cross(aside, direction)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(direction, right), direction], axis=1)
    return pose
