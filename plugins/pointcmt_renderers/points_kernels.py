"""The inner loops of `points` in numba: projection, the splats, the gray of their depth. Callers own every buffer.

On its own, because numba notices a change only in the file of the function that it cached.

Letters: N points, H W image.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_renderers.compiled import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
NEAR = 1e-3
"""A point nearer than this, or behind the camera, is left out; rigs stand outside the unit sphere."""
BACKGROUND = 255


@compiled
def project(
    vertices: NDArray[np.float32], to_camera: Floats, focal: float, size: int, screen: Floats
) -> None:
    """Fill `screen` (N, 3): column and row in pixels, and 1 / depth (0 where nearer than NEAR).

    `to_camera` (4, 4) is world-to-camera in OpenGL's axes; `focal` is in pixels.
    """
    middle = 0.5 * size
    for n in range(vertices.shape[0]):
        x, y, z = np.float64(vertices[n, 0]), np.float64(vertices[n, 1]), np.float64(vertices[n, 2])
        depth = -(to_camera[2, 0] * x + to_camera[2, 1] * y + to_camera[2, 2] * z + to_camera[2, 3])
        inverse = 1.0 / depth if depth >= NEAR else 0.0
        right = to_camera[0, 0] * x + to_camera[0, 1] * y + to_camera[0, 2] * z + to_camera[0, 3]
        up = to_camera[1, 0] * x + to_camera[1, 1] * y + to_camera[1, 2] * z + to_camera[1, 3]
        screen[n, 0] = middle + focal * right * inverse
        screen[n, 1] = middle - focal * up * inverse
        screen[n, 2] = inverse


@compiled
def first_centre(border: float, size: int) -> int:
    """The first pixel whose centre lies at or beyond a border in pixels, in [0, size]."""
    return int(np.ceil(min(max(border - 0.5, 0.0), np.float64(size))))


@compiled
def splat(screen: Floats, side: int, sharpness: float, weights: Floats, weighted: Floats) -> None:
    """Add up nearness**sharpness in `weights` (H, W) and that times depth in `weighted` (H, W).

    Each point counts in a square of `side` x `side` pixels around it.
    """
    height, width = weights.shape
    weights[:] = 0.0
    weighted[:] = 0.0
    for n in range(screen.shape[0]):
        near = np.float64(screen[n, 2])
        if near <= 0.0:
            continue
        weight = near**sharpness
        value = weight / near
        x, y = np.float64(screen[n, 0]) - 0.5 * side, np.float64(screen[n, 1]) - 0.5 * side
        first, last = first_centre(x, width), first_centre(x + side, width)
        for row in range(first_centre(y, height), first_centre(y + side, height)):
            for column in range(first, last):
                weights[row, column] += weight
                weighted[row, column] += value


@compiled
def fog(
    weights: Floats, weighted: Floats, nearest: float, levels: Floats, image: NDArray[np.uint8]
) -> None:
    """Fill `image` (H, W): levels[0] at depth `nearest`, levels[0] + levels[1] two further away, else BACKGROUND."""
    height, width = weights.shape
    for row in range(height):
        for column in range(width):
            if weights[row, column] > 0.0:
                far = 0.5 * (weighted[row, column] / weights[row, column] - nearest)
                level = levels[0] + levels[1] * min(max(far, 0.0), 1.0)
                image[row, column] = np.uint8(np.int32(level + 0.5))
            else:
                image[row, column] = BACKGROUND
