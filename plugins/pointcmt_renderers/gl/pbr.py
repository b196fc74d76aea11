"""pyrender's own shader: its scene, its physical material, its light. In: a mesh and cameras; out: views.

Its result is brought back from display gamma to the light renderers' levels. On EGL pyrender draws 4 samples a pixel.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, Shape
from pointcmt_renderers.gl.light import BENT, COLOR, NORMAL, PLACE, corners, near_and_far

FULL_LIGHT = np.pi / 0.96
"""Intensity under which white, seen square on, is 1: a dielectric scatters 0.96 / pi of the light (glTF 2.0, B.2)."""
GAMMA = 2.2
"""What pyrender's fragment shader (shaders/mesh.frag) raises its result to the inverse of."""


class Physical:
    """A scene for each mesh, drawn by the process's one offscreen renderer."""

    def __init__(
        self,
        *,
        normals: str,
        color: bool,
        light: NDArray[np.float64],
        levels: tuple[float, float],
    ) -> None:
        import pyrender

        self.pyrender, self.color, self.light = pyrender, color, light
        self.ambient, self.diffuse = levels
        self.smooth = normals == "smooth"
        self.renderer = _offscreen()
        self.linear = np.round(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)

    def draw(self, shape: Shape, cameras: Cameras) -> Iterator[NDArray[np.uint8]]:
        """View after view (H, W, C): C is 3 in colour, else 1."""
        size = cameras.size
        self.renderer.viewport_width = self.renderer.viewport_height = size
        scene = self.pyrender.Scene(bg_color=[1.0, 1.0, 1.0, 1.0], ambient_light=[self.ambient] * 3)
        scene.add(self._mesh(shape))
        camera = scene.add(self._camera(cameras))
        lamp = scene.add(self.pyrender.DirectionalLight(intensity=self.diffuse * FULL_LIGHT))
        channels = 3 if self.color else 1
        for pose in cameras.poses:
            scene.set_pose(camera, pose)
            scene.set_pose(lamp, _shining_from(pose[:3, :3] @ self.light))
            pixels, _ = self.renderer.render(scene)
            yield self.linear[pixels[..., :channels]]

    def _camera(self, cameras: Cameras) -> Any:
        near, far = near_and_far(cameras)
        if cameras.half_height is not None:
            half = cameras.half_height
            return self.pyrender.OrthographicCamera(half, half, znear=near, zfar=far)
        return self.pyrender.PerspectiveCamera(
            cameras.field_of_view, znear=near, zfar=far, aspectRatio=1.0
        )

    def _mesh(self, shape: Shape) -> Any:
        """Every face once for each side, because pyrender leaves a face seen from behind unlit."""
        front = corners(shape, self.color, self.smooth)
        both = {place: np.concatenate([each, each[::-1]]) for place, each in front.items()}
        normals = both.get(BENT, both[NORMAL])
        normals[len(normals) // 2 :] *= -1
        white = self.pyrender.MetallicRoughnessMaterial(
            baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=1.0
        )
        sides = self.pyrender.Primitive(
            positions=both[PLACE], normals=normals, color_0=both.get(COLOR), material=white
        )
        return self.pyrender.Mesh([sides])


@functools.cache
def _offscreen() -> Any:
    """One for the process, on the platform and device of the variables; deleted, it would close others' contexts."""
    import pyrender

    return pyrender.OffscreenRenderer(16, 16)


def _shining_from(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose (4, 4) whose +z is a unit direction: lights shine along their own -z."""
    aside = np.eye(3)[np.argmin(np.abs(direction))]
    right = np.cross(aside, direction)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(direction, right), direction], axis=1)
    return pose
