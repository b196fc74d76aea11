"""`raster`, the default renderer: a z-buffer on the CPU. In: a mesh and cameras; out: gray views. No GL, no display.

Flat normals and Lambert's law on both sides of a face, lit from near the camera.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.kernels import face_planes, lambert, project, visibility


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
        if shape.faces is None:
            raise PointCMTError(
                f"{shape.name}: the raster renderer draws meshes and this is a cloud; use --renderer points"
            )
        vertices = np.ascontiguousarray(shape.vertices, np.float32)
        faces = np.ascontiguousarray(shape.faces, np.uint32)
        size, count = cameras.size, len(faces)
        focal = 0.5 * size / np.tan(0.5 * cameras.field_of_view)
        planes = np.empty((4, count), np.float32)
        screen = np.empty((len(vertices), 3), np.float32)
        shades = np.empty(1 + count, np.uint8)
        nearness = np.empty((size, size), np.float32)
        seen = np.empty((size, size), np.int32)
        images = np.empty((cameras.views, size, size), np.uint8)
        poses, to_cameras = cameras.poses, cameras.world_to_camera
        eyes = poses[:, :3, 3].astype(np.float32)
        lights = (poses[:, :3, :3] @ to_light).astype(np.float32)
        face_planes(vertices, faces, planes)
        for view, image in enumerate(images):
            project(vertices, to_cameras[view], focal, size, screen)
            visibility(screen, faces, nearness, seen)
            lambert(planes, eyes[view], lights[view], levels, seen, shades, image)
        return images

    return draw
