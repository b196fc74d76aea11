"""The inner loops of `points` in numba: projection, the points' grays, the splats. Callers own every buffer.

On its own, because numba notices a change only in the file of the function that it cached. points_torch.py computes
the same in the same order of operations.

Letters: N points, H W image.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
NEAR = 1e-3
"""A point nearer than this, or behind the camera, is left out; rigs stand outside the unit sphere."""
FINE = 255.0 * 256.0
"""White, in 256ths of a gray level."""


@compiled(error_model="numpy")
def project(cloud: NDArray[np.float32], matrix: Floats, parallel: bool, screen: Floats) -> None:
    """Fill `screen` (3, N): column and row in pixels, and depth (0 where nearer than NEAR) along the line of sight.

    The rows of `matrix` (3, 4) give column * w, row * w and depth; w is 1 for `parallel` lines of sight, else depth.
    """
    columns, rows, depths = screen[0], screen[1], screen[2]
    m = matrix  # each element by name, or it would be read again for every point
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    for n in range(cloud.shape[0]):
        x, y, z = np.float64(cloud[n, 0]), np.float64(cloud[n, 1]), np.float64(cloud[n, 2])
        depth = m20 * x + m21 * y + m22 * z + m23
        w = 1.0 if parallel else depth
        columns[n] = (m00 * x + m01 * y + m02 * z + m03) / w
        rows[n] = (m10 * x + m11 * y + m12 * z + m13) / w
        depths[n] = depth if depth >= NEAR else 0.0


@compiled(error_model="numpy")
def fog(depths: Floats, nearest: float, near: float, far: float, shades: Floats) -> None:
    """Fill `shades` (N,): `near` at depth `nearest`, `far` two further away, and evenly between."""
    for n in range(depths.shape[0]):
        share = min(max(0.5 * (depths[n] - nearest), 0.0), 1.0)
        shades[n] = near + (far - near) * share


@compiled(error_model="numpy")
def lambert(
    cloud: NDArray[np.float32],
    normals: Floats,
    sight: Floats,
    light: Floats,
    ambient: float,
    diffuse: float,
    shades: Floats,
) -> None:
    """Fill `shades` (N,): ambient + diffuse * cos of the angle between `light` (3,) and the side that is seen.

    A line of sight runs from `sight` (4,) to the point: from the place of that when its last number is 1, else
    against its direction. `normals` (N, 3) are unit vectors of either sign.
    """
    for n in range(cloud.shape[0]):
        x, y, z = normals[n, 0], normals[n, 1], normals[n, 2]
        right = sight[0] - sight[3] * cloud[n, 0]
        up = sight[1] - sight[3] * cloud[n, 1]
        back = sight[2] - sight[3] * cloud[n, 2]
        facing = x * right + y * up + z * back
        cosine = x * light[0] + y * light[1] + z * light[2]
        cosine = min(max(-cosine if facing < 0.0 else cosine, 0.0), 1.0)
        shades[n] = ambient + diffuse * cosine


@compiled(error_model="numpy")
def first_centre(border: float, size: int) -> int:
    """The first pixel whose centre lies at or beyond a border in pixels, in [-size, 2 * size]."""
    return int(np.ceil(min(max(border - 0.5, -np.float64(size)), 2.0 * size)))


@compiled(error_model="numpy")
def weight_of(nearness: float, whole: int, rest: float) -> float:
    """nearness ** (whole + rest), the whole power by squares: the same to the last bit wherever it is computed."""
    weight = 1.0
    square = nearness
    while whole > 0:
        if whole & 1:
            weight *= square
        square *= square
        whole >>= 1
    return weight * nearness**rest if rest > 0.0 else weight


@compiled(error_model="numpy")
def splat(screen: Floats, shades: Floats, side: int, whole: int, rest: float, sums: Floats) -> None:
    """Add up weights in sums[0] (H, W), and weights times shades in sums[1]. A point has `side` x `side` pixels.

    Its weight is 1 / depth to the power whole + rest.
    """
    height, width = sums.shape[1], sums.shape[2]
    sums[:] = 0.0
    weights, weighted = sums[0].reshape(-1), sums[1].reshape(-1)
    for n in range(shades.shape[0]):
        depth = screen[2, n]
        if depth <= 0.0:
            continue
        weight = weight_of(1.0 / depth, whole, rest)
        value = weight * shades[n]
        column = first_centre(screen[0, n] - 0.5 * side, width)
        row = first_centre(screen[1, n] - 0.5 * side, height)
        # unsigned, because numba would test signed indices for being negative
        first = np.uint64(max(column, 0))
        last = np.uint64(max(min(column + side, width), 0))
        for y in range(max(row, 0), min(row + side, height)):
            start = np.uint64(y * width)
            for pixel in range(start + first, start + last):
                weights[pixel] += weight
                weighted[pixel] += value


@compiled(error_model="numpy")
def level(sums: Floats, image: NDArray[np.uint8]) -> None:
    """Fill `image` (H, W) with 255 * the weighted mean of shades, with white where there is none.

    It is rounded to 256ths of a gray level first, so that the last bits of a sum do not decide on a half.
    """
    height, width = image.shape
    for row in range(height):
        weights, weighted, pixels = sums[0, row], sums[1, row], image[row]
        for column in range(width):
            mean = weighted[column] / weights[column] if weights[column] > 0.0 else 1.0
            pixels[column] = np.uint8((np.int32(FINE * mean + 0.5) + 128) >> 8)
