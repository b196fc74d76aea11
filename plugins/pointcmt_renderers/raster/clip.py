"""Faces that reach out of the image or behind the camera, cut to what is inside. In: a view; out: other faces.

Sutherland and Hodgman's polygon clipping (CACM 1974) in homogeneous coordinates, before the division by w. An edge is
always cut from its inner end, so two faces that share it are cut at the same point.

Letters: N vertices, F faces, M faces that are left.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import compiled

PLANES = 5
"""Left, right, top, bottom, near."""
CORNERS = 3 + PLANES
"""Of a clipped triangle, at most."""


def clipped(
    homogeneous: NDArray[np.float64], faces: NDArray[np.uint32], size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Positions (3, *) inside the image, faces (M, 3) of them, and which face each of those is a part of (M,).

    `homogeneous` (4, N) holds column * w, row * w, nearness * w and w; near are those with nearness above 1.
    """
    column, row, near, w = homogeneous
    outside = np.zeros(len(w), np.uint8)  # one bit for each plane
    for bit, distance in enumerate((column, size * w - column, row, size * w - row, w - near)):
        outside |= (distance < 0).astype(np.uint8) << np.uint8(bit)
    a, b, c = outside[faces].T
    whole = np.flatnonzero((a | b | c) == 0)
    crossing = np.flatnonzero(((a | b | c) != 0) & ((a & b & c) == 0))
    corners = np.empty((4, CORNERS * len(crossing)))
    parts = np.empty(((CORNERS - 2) * len(crossing), 3), np.uint32)
    owners = np.empty(len(parts), np.uint32)
    corner_count, part_count = cut(homogeneous, faces, crossing, size, corners, parts, owners)
    inside = np.where(outside == 0, homogeneous, 1.0)
    every = np.concatenate([inside, corners[:, :corner_count]], axis=1)
    screen = (every[:3] / every[3]).astype(np.float32)
    screen[:2] = screen[:2].clip(0, size)  # rounding
    left = np.concatenate([faces[whole], parts[:part_count] + np.uint32(len(w))])
    return screen, left, np.concatenate([whole.astype(np.uint32), owners[:part_count]])


@compiled(error_model="numpy")
def cut(
    homogeneous: NDArray[np.float64],
    faces: NDArray[np.uint32],
    crossing: NDArray[np.int64],
    size: int,
    corners: NDArray[np.float64],
    parts: NDArray[np.uint32],
    owners: NDArray[np.uint32],
) -> tuple[int, int]:
    """Fill `corners`, `parts` (triangles of corners) and `owners` for the faces `crossing`; returns their counts."""
    corner_count = part_count = 0
    polygon, other = np.empty((CORNERS, 4)), np.empty((CORNERS, 4))
    for face in crossing:
        for corner in range(3):
            polygon[corner] = homogeneous[:, faces[face, corner]]
        count = 3
        for plane in range(PLANES):
            kept = 0
            for index in range(count):
                here, following = polygon[index], polygon[(index + 1) % count]
                d, e = inside(here, plane, size), inside(following, plane, size)
                if d >= 0.0:
                    other[kept] = here
                    kept += 1
                if d >= 0.0 > e:
                    other[kept] = here + d / (d - e) * (following - here)
                    kept += 1
                elif e >= 0.0 > d:
                    other[kept] = following + e / (e - d) * (here - following)
                    kept += 1
            polygon, other = other, polygon
            count = kept
            if count == 0:
                break
        for index in range(1, count - 1):
            parts[part_count] = corner_count, corner_count + index, corner_count + index + 1
            owners[part_count] = face
            part_count += 1
        for index in range(count):
            corners[:, corner_count + index] = polygon[index]
        corner_count += count
    return corner_count, part_count


@compiled(error_model="numpy")
def inside(point: NDArray[np.float64], plane: int, size: int) -> float:
    """How far a homogeneous point (4,) is on the inner side of a plane, negative outside."""
    w = float(point[3])
    if plane == PLANES - 1:
        return w - float(point[2])
    distance = float(point[plane // 2])
    return size * w - distance if plane % 2 else distance


@compiled(error_model="numpy")
def rename(
    keys: NDArray[np.int64], bits: int, owners: NDArray[np.uint32], count: int, new_bits: int
) -> None:
    """Give every pixel the number of the face that its part belongs to; `count` is F, `owners` (M,)."""
    numbers = (np.int64(1) << bits) - 1
    parts = owners.shape[0]
    height, width = keys.shape
    for row in range(height):
        for column in range(width):
            key = keys[row, column]
            if key != 0:
                face = np.int64(owners[parts - (key & numbers)])
                near = key >> bits
                if bits > new_bits:
                    near <<= bits - new_bits
                else:
                    near >>= new_bits - bits
                keys[row, column] = (near << new_bits) + count - face
