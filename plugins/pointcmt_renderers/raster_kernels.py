"""The z-buffer in numba: which face is seen at each pixel centre, and how far away it is.

Row spans: a face's edges are walked from pixel row to pixel row and only the centres between them are touched. An edge
is always walked from its upper end, so two faces that share it share every pixel border: no gaps, no overlaps. Screen
positions are stored in float32 and combined in float64, which makes the products exact enough for slivers.

Letters: N vertices, F faces, V views, H W image.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_renderers.compiled import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
NEAR = 1e-3
"""A face with a corner nearer than this, or behind the camera, is left out; rigs stand outside the unit sphere."""
NOTHING = -1
"""What `seen` holds where no face is."""


@compiled
def face_planes(vertices: NDArray[np.float32], faces: NDArray[np.int32], planes: Floats) -> None:
    """Fill `planes` (F, 4): unit normal and distance from the origin; zero for a face without area."""
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
        planes[face, 0], planes[face, 1], planes[face, 2] = x, y, z
        planes[face, 3] = x * ax + y * ay + z * az


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
    screen: Floats, faces: NDArray[np.int32], nearness: Floats, seen: NDArray[np.int32]
) -> None:
    """Fill `nearness` (H, W), 1 / depth and 0 for background, and `seen` (H, W), the nearest face or NOTHING."""
    height, width = nearness.shape
    nearness[:] = 0.0
    seen[:] = NOTHING
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if screen[b, 1] < screen[a, 1]:
            a, b = b, a
        if screen[c, 1] < screen[b, 1]:
            b, c = c, b
            if screen[b, 1] < screen[a, 1]:
                a, b = b, a
        # now a is the top corner, b the middle one, c the lowest
        ax, ay = np.float64(screen[a, 0]), np.float64(screen[a, 1])
        cx, cy = np.float64(screen[c, 0]), np.float64(screen[c, 1])
        top, bottom = first_centre(ay, height), first_centre(cy, height)
        if top >= bottom:
            continue
        bx, by = np.float64(screen[b, 0]), np.float64(screen[b, 1])
        if first_centre(min(ax, bx, cx), width) >= first_centre(max(ax, bx, cx), width):
            continue
        aw, bw, cw = screen[a, 2], screen[b, 2], screen[c, 2]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0.0 or min(aw, bw, cw) <= 0.0:
            continue
        # 1 / depth is linear on the screen
        ub, uc = np.float64(bw) - aw, np.float64(cw) - aw
        per_column = (ub * (cy - ay) - uc * (by - ay)) / area
        per_row = (uc * (bx - ax) - ub * (cx - ax)) / area
        long = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else 0.0
        lower = (cx - bx) / (cy - by) if cy > by else 0.0
        for row in range(top, bottom):
            y = row + 0.5
            one = ax + (y - ay) * long
            other = ax + (y - ay) * upper if y < by else bx + (y - by) * lower
            start, stop = first_centre(min(one, other), width), first_centre(max(one, other), width)
            base = aw + (y - ay) * per_row + (0.5 - ax) * per_column
            for column in range(start, stop):
                near = np.float32(base + column * per_column)
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    seen[row, column] = face


@compiled
def lambert(
    planes: Floats,
    eye: Floats,
    light: Floats,
    ambient: float,
    diffuse: float,
    seen: NDArray[np.int32],
    levels: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:
    """Fill `image` (H, W): 255 * (ambient + diffuse * cos) of the seen face, 255 for background.

    cos is between `light` (3,), the unit direction towards it, and the side of the face that the camera at `eye` (3,)
    sees; 0 where the light is behind that side. `levels` (F,) is scratch.
    """
    for face in range(planes.shape[0]):
        x, y, z = planes[face, 0], planes[face, 1], planes[face, 2]
        cosine = x * light[0] + y * light[1] + z * light[2]
        if x * eye[0] + y * eye[1] + z * eye[2] < planes[face, 3]:
            cosine = -cosine
        levels[face] = np.uint8(255.0 * (ambient + diffuse * min(max(cosine, 0.0), 1.0)) + 0.5)
    height, width = seen.shape
    for row in range(height):
        for column in range(width):
            face = seen[row, column]
            image[row, column] = levels[face] if face >= 0 else 255
