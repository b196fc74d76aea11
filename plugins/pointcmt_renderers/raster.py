"""`raster`, the default renderer: a z-buffer on the CPU. In: a mesh and cameras; out: gray views. No GL, no display.

Flat normals and Lambert's law on both sides of a face, lit from near the camera.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.kernels import face_planes, lambert, look_up
from pointcmt_renderers.raster_scene import Scene


def raster(
    *, ambient: float = 0.15, diffuse: float = 0.65, light: tuple[float, float] = (0.3, 0.6)
) -> Renderer:
    """Gray levels are 255 * (ambient + diffuse * cos) before a background of 255, so at most 204 by default.

    `light` stands that far to the right of and above the camera for each unit that the camera is away; 0,0 is an exact
    headlight, under which the three sides of a box are one gray when seen from a corner, as 8 of the dodecahedron's
    20 cameras see it.
    """
    if not (ambient >= 0 and diffuse >= 0 and ambient + diffuse <= 1):
        raise PointCMTError(
            f"raster: ambient {ambient} and diffuse {diffuse} must be at least 0 and together at most 1"
        )
    if len(light) != 2 or not np.isfinite(light).all():
        raise PointCMTError(f"raster: light {light} must be two finite numbers: right, up")
    levels = np.array([255 * ambient, 255 * diffuse], np.float32)
    to_light = np.array([*light, 1.0]) / np.linalg.norm([*light, 1.0])

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        scene = Scene(shape, cameras)
        planes = np.empty((4, 1 + len(scene.faces)), np.float32)
        shades = np.empty(1 + len(scene.faces), np.uint8)
        images = np.empty((cameras.views, cameras.size, cameras.size), np.uint8)
        lights = (cameras.poses[:, :3, :3] @ to_light).astype(np.float32)
        face_planes(scene.frame.places, scene.faces, planes)
        for view, image in enumerate(images):
            scene.look(view)
            lambert(planes, scene.lenses.eyes[view], lights[view], levels, shades)
            look_up(scene.keys, scene.bits, shades, image)
        return images

    return draw
