"""The inner loops in numba: projection, the z-buffer of faces, their shading. Callers own every buffer.

All in one file, because numba notices a change only in the file of the function that it cached.
The z-buffer works in row spans: a face's edges are walked from pixel row to pixel row and only the centres between them
are touched. An edge is always walked from its upper end, so two faces that share it share every pixel border: no gaps,
no overlaps. Screen positions are stored in float32 and combined in float64, exact enough for slivers.

Letters: N vertices, F faces, H W image.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_renderers.compiled import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
NEAR = 1e-3
"""A face with a corner nearer than this, or behind the camera, is left out; rigs stand outside the unit sphere."""
BACKGROUND = 255
NOTHING = -1
"""What `seen` holds where no face is."""


@compiled
def face_planes(vertices: NDArray[np.float32], faces: NDArray[np.uint32], planes: Floats) -> None:
    """Fill `planes` (4, F): unit normal and distance from the origin; zero for a face without area."""
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, vx = np.float64(vertices[b, 0]) - ax, np.float64(vertices[c, 0]) - ax
        uy, vy = np.float64(vertices[b, 1]) - ay, np.float64(vertices[c, 1]) - ay
        uz, vz = np.float64(vertices[b, 2]) - az, np.float64(vertices[c, 2]) - az
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(x * x + y * y + z * z)
        scale = 1.0 / length if length > 0.0 else 0.0
        x, y, z = x * scale, y * scale, z * scale
        planes[0, face], planes[1, face], planes[2, face] = x, y, z
        planes[3, face] = x * ax + y * ay + z * az


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
def visibility(
    screen: Floats, faces: NDArray[np.uint32], nearness: Floats, seen: NDArray[np.int32]
) -> None:
    """Fill `nearness` (H, W), 1 / depth and 0 for background, and `seen` (H, W), the nearest face or NOTHING.

    `faces` are unsigned because numba would test signed indices for being negative.
    """
    height, width = nearness.shape
    nearness[:] = 0.0
    seen[:] = NOTHING
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x0, x1, x2 = screen[a, 0], screen[b, 0], screen[c, 0]
        y0, y1, y2 = screen[a, 1], screen[b, 1], screen[c, 1]
        no_row = first_centre(min(y0, y1, y2), height) >= first_centre(max(y0, y1, y2), height)
        no_column = first_centre(min(x0, x1, x2), width) >= first_centre(max(x0, x1, x2), width)
        if no_row | no_column:  # a single branch: each of the two alone is hard to predict
            continue
        if y1 < y0:
            a, b = b, a
            y0, y1 = y1, y0
        if y2 < y1:
            b, c = c, b
            if y2 < y0:
                a, b = b, a
        # now a is the top corner, b the middle one, c the lowest
        ax, ay, aw = np.float64(screen[a, 0]), np.float64(screen[a, 1]), np.float64(screen[a, 2])
        bx, by, bw = np.float64(screen[b, 0]), np.float64(screen[b, 1]), np.float64(screen[b, 2])
        cx, cy, cw = np.float64(screen[c, 0]), np.float64(screen[c, 1]), np.float64(screen[c, 2])
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0.0 or min(aw, bw, cw) <= 0.0:
            continue
        # 1 / depth is linear on the screen
        per_column = ((bw - aw) * (cy - ay) - (cw - aw) * (by - ay)) / area
        per_row = ((cw - aw) * (bx - ax) - (bw - aw) * (cx - ax)) / area
        corner = aw + (0.5 - ay) * per_row + (0.5 - ax) * per_column
        long = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else 0.0
        lower = (cx - bx) / (cy - by) if cy > by else 0.0
        for row in range(first_centre(ay, height), first_centre(cy, height)):
            y = row + 0.5
            one = ax + (y - ay) * long
            other = ax + (y - ay) * upper if y < by else bx + (y - by) * lower
            left, right = (one, other) if area > 0.0 else (other, one)
            base = corner + row * per_row
            for column in range(first_centre(left, width), first_centre(right, width)):
                near = np.float32(base + column * per_column)
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    seen[row, column] = face


@compiled
def lambert(
    planes: NDArray[np.float32],
    eye: NDArray[np.float32],
    light: NDArray[np.float32],
    levels: NDArray[np.float32],
    seen: NDArray[np.int32],
    shades: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:
    """Fill `image` (H, W): levels[0] + levels[1] * cos of the seen face, BACKGROUND where there is none.

    cos is between `light` (3,), the unit direction towards it, and the side of the face that the camera at `eye` (3,)
    sees; 0 where the light is behind that side. `shades` (1 + F,) is scratch.
    """
    shades[0] = BACKGROUND
    for face in range(planes.shape[1]):
        x, y, z = planes[0, face], planes[1, face], planes[2, face]
        cosine = x * light[0] + y * light[1] + z * light[2]
        behind = x * eye[0] + y * eye[1] + z * eye[2] < planes[3, face]
        cosine = min(max(-cosine if behind else cosine, np.float32(0.0)), np.float32(1.0))
        shades[face + 1] = np.uint8(np.int32(levels[0] + levels[1] * cosine + np.float32(0.5)))
    height, width = seen.shape
    for row in range(height):
        for column in range(width):
            image[row, column] = shades[seen[row, column] + 1]
