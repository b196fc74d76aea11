"""`points`: clouds as perspective depth pictures. In: a cloud (or a mesh's points) and cameras; out: gray views.

After SimpleView (Goyal et al., ICML 2021; princeton-vl/SimpleView, models/mv_utils.py, commit f64fdc8): every point
covers a square of pixels, and a pixel's depth is the mean over its points weighted by inverse depth. Ours differs in
the cameras (any rig), in the sharper default weight, which hides most of what lies behind a surface, and in the
background: white, with near dark and far light.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.points_kernels import fog, project, splat


def points(
    *, splat_size: int | None = None, sharpness: float = 16.0, near: float = 0.1, far: float = 0.8
) -> Renderer:
    """Gray runs from 255 * near to 255 * far through the unit sphere.

    `splat_size` is in pixels; none: a 32nd of the image, SimpleView's 4 at its 128. The weight is inverse depth to the
    power `sharpness`: 1 is SimpleView's, the larger the nearer to nearest-point-wins.
    """
    if splat_size is not None and splat_size < 1:
        raise PointCMTError(f"points: splat_size {splat_size} must be at least 1 pixel")
    if not 0 <= sharpness <= 64:
        raise PointCMTError(f"points: sharpness {sharpness} must be in [0, 64]")
    if not (0 <= near <= 1 and 0 <= far <= 1):
        raise PointCMTError(f"points: near {near} and far {far} must be in [0, 1]")
    levels = np.array([255 * near, 255 * (far - near)])

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        cloud = shape.vertices if shape.points is None else shape.points
        cloud = np.ascontiguousarray(cloud, np.float32)
        size = cameras.size
        side = splat_size or max(1, round(size / 32))
        focal = 0.5 * size / np.tan(0.5 * cameras.field_of_view)
        screen = np.empty((len(cloud), 3), np.float32)
        weights, weighted = np.empty((2, size, size), np.float64)
        images = np.empty((cameras.views, size, size), np.uint8)
        for to_camera, image in zip(cameras.world_to_camera, images, strict=True):
            project(cloud, to_camera, focal, size, screen)
            splat(screen, side, sharpness, weights, weighted)
            nearest = -to_camera[2, 3] - 1.0  # where the camera meets the unit sphere
            fog(weights, weighted, nearest, levels, image)
        return images

    return draw
