"""The shading of seen pixels for `raster` in numba: attributes of the corners, normals, light, box averages.

They work on what `fill` left in `keys`, so a picture of plain flat gray pays for none of them.

Letters: N vertices, F faces, H W image, C channels, K attributes of a corner.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
BACKGROUND = 255


@compiled(error_model="numpy")
def interpolate(
    keys: NDArray[np.int64],
    bits: int,
    from_screen: NDArray[np.float64],
    places: NDArray[np.float32],
    faces: NDArray[np.uint32],
    corners: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Fill `values` (H, W, K) where something is seen from `corners` (F, 3, K), true to perspective.

    `from_screen` (4, 4) undoes the view's matrix, from column, row, nearness * 2**bits of the key and 1, so a pixel is
    weighted by where its point lies between the corners in space, clipped or not.
    """
    height, width, attributes = values.shape
    numbers = (np.int64(1) << bits) - 1
    m = from_screen
    for row in range(height):
        for column in range(width):
            key = keys[row, column]
            if key == 0:
                continue
            face = np.uint64(faces.shape[0] - (key & numbers))
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            x, y, near = column + 0.5, row + 0.5, np.float64(key >> bits)
            w = m[3, 0] * x + m[3, 1] * y + m[3, 2] * near + m[3, 3]
            ax, ay, az = places[0, a], places[1, a], places[2, a]
            px = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * near + m[0, 3]) / w - ax
            py = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * near + m[1, 3]) / w - ay
            pz = (m[2, 0] * x + m[2, 1] * y + m[2, 2] * near + m[2, 3]) / w - az
            ux, vx = np.float64(places[0, b]) - ax, np.float64(places[0, c]) - ax
            uy, vy = np.float64(places[1, b]) - ay, np.float64(places[1, c]) - ay
            uz, vz = np.float64(places[2, b]) - az, np.float64(places[2, c]) - az
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            squared = nx * nx + ny * ny + nz * nz
            second = nx * (py * vz - pz * vy) + ny * (pz * vx - px * vz) + nz * (px * vy - py * vx)
            third = nx * (uy * pz - uz * py) + ny * (uz * px - ux * pz) + nz * (ux * py - uy * px)
            second = min(max(second / squared, 0.0), 1.0)
            third = min(max(third / squared, 0.0), 1.0 - second)
            first = 1.0 - second - third
            for k in range(attributes):
                values[row, column, k] = (
                    first * corners[face, 0, k]
                    + second * corners[face, 1, k]
                    + third * corners[face, 2, k]
                )


@compiled(error_model="numpy")
def towards_eye(
    keys: NDArray[np.int64],
    bits: int,
    planes: NDArray[np.float32],
    eye: NDArray[np.float32],
    smooth: bool,
    normals: NDArray[np.float32],
) -> None:
    """Fill `normals` (H, W, 3) with the unit normal of the side seen from `eye` (4,).

    The face's own, or `smooth` what is there already: interpolated, on the side of the face's own.
    """
    numbers = (np.int64(1) << bits) - 1
    height, width = keys.shape
    for row in range(height):
        for column in range(width):
            if keys[row, column] == 0:
                continue
            number = np.uint64(keys[row, column] & numbers)
            x, y, z = planes[0, number], planes[1, number], planes[2, number]
            behind = x * eye[0] + y * eye[1] + z * eye[2] < planes[3, number] * eye[3]
            if smooth:
                x, y, z = normals[row, column, 0], normals[row, column, 1], normals[row, column, 2]
            length = np.sqrt(x * x + y * y + z * z)
            scale = np.float32(-1.0 if behind else 1.0) / max(length, np.float32(1e-30))
            normals[row, column, 0] = x * scale
            normals[row, column, 1] = y * scale
            normals[row, column, 2] = z * scale


@compiled(error_model="numpy")
def lambert_pixels(
    keys: NDArray[np.int64],
    normals: NDArray[np.float32],
    light: NDArray[np.float32],
    levels: NDArray[np.float32],
    albedo: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> None:
    """Fill `image` (H, W, C): levels[0] + levels[1] * cos to `light` (3,), times `albedo` (H, W, C) in [0, 1]."""
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            x, y, z = normals[row, column, 0], normals[row, column, 1], normals[row, column, 2]
            cosine = x * light[0] + y * light[1] + z * light[2]
            level = levels[0] + levels[1] * min(max(cosine, np.float32(0.0)), np.float32(1.0))
            for channel in range(channels):
                image[row, column, channel] = (
                    BACKGROUND
                    if keys[row, column] == 0
                    else np.uint8(level * albedo[row, column, channel] + np.float32(0.5))
                )


@compiled(error_model="numpy")
def normal_pixels(
    keys: NDArray[np.int64],
    normals: NDArray[np.float32],
    axes: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> None:
    """Fill `image` (H, W, 3): the normal along `axes` (3, 3), right, up and back in its rows, from [-1, 1] to 255."""
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            x, y, z = normals[row, column, 0], normals[row, column, 1], normals[row, column, 2]
            for axis in range(channels):
                along = x * axes[axis, 0] + y * axes[axis, 1] + z * axes[axis, 2]
                along = min(max(along, np.float32(-1.0)), np.float32(1.0))
                level = np.uint8(np.float32(127.5) * (along + np.float32(1.0)) + np.float32(0.5))
                image[row, column, axis] = BACKGROUND if keys[row, column] == 0 else level


@compiled(error_model="numpy")
def halve(large: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    """Fill `image` (H, W, C) with the means of 2 x 2 pixels of `large` (2 H, 2 W, C)."""
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                total = 2
                for part in range(4):
                    total += large[2 * row + part // 2, 2 * column + part % 2, channel]
                image[row, column, channel] = total // 4
