"""The z-buffer of `raster` in numba: projection, the faces' spans, their flat gray. Callers own every buffer.

All in one file, because numba notices a change only in the file of the function that it cached.

A pixel holds one integer, its key: how near it is in the upper bits, the number of the face in the lower ones, 0 where
nothing is. The nearest face of a pixel is thus the largest key, and along a row a face's keys are a sum: no branch, and
several pixels at once. Faces are walked in row spans: only the pixel centres between their edges are touched. An edge
is always walked from its upper end, so two faces that share it share every pixel border: no gaps, no overlaps. Screen
positions are stored in float32 and combined in float64, exact enough for slivers.

Letters: N vertices, F faces, H W image. Faces have numbers from F down to 1: of two at the same depth the first wins.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pointcmt_cli.api import compiled

Floats: TypeAlias = NDArray[np.floating[Any]]
BACKGROUND = 255
LANES = 8
"""Pixels that are compared and written at once; a row of keys has as many to spare."""
NEARNESS_BITS = 61
"""Of a key, together with the face's number."""


def _raise_keys(_: Any, pixels: Any, at: Any, key: Any, step: Any, count: Any) -> Any:
    """pixels[at + i] = max(pixels[at + i], key + i * step) for i below `count` and LANES, as vectors.

    numba turns no loop this short into vectors. A loop over single pixels gives the same bytes and makes a view 1.3
    times as slow, the whole `pointcmt render` of 324 meshes x 12 views 1.13 times (processor time, median of 9 pairs,
    1.03 to 1.29).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, key, step, count = arguments
        vector = ir.VectorType(ir.IntType(64), LANES)
        anything = ir.Constant(vector, ir.Undefined)
        first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        lanes = ir.Constant(vector, list(range(LANES)))

        def everywhere(value: Any) -> Any:
            one = builder.insert_element(anything, value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, anything, first)

        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.bitcast(builder.gep(data, [at]), vector.as_pointer())
        old = builder.load(place, align=8)
        new = builder.add(everywhere(key), builder.mul(lanes, everywhere(step)))
        wins = builder.and_(
            builder.icmp_signed(">", new, old), builder.icmp_signed("<", lanes, everywhere(count))
        )
        builder.store(builder.select(wins, new, old), place, align=8)
        return context.get_dummy_value()

    return types.void(pixels, *[types.int64] * 4), generate


raise_keys = cast("Callable[..., None]", intrinsic(_raise_keys))


@compiled(error_model="numpy")
def farthest(vertices: NDArray[np.float32], centre: Floats) -> tuple[float, float]:
    """The largest squared distance of vertices (N, 3) from a centre (3,), and their sum: not finite if one is not."""
    largest = total = 0.0
    for n in range(vertices.shape[0]):
        x, y, z = vertices[n, 0] - centre[0], vertices[n, 1] - centre[1], vertices[n, 2] - centre[2]
        squared = x * x + y * y + z * z
        total += squared
        largest = max(largest, squared)
    return largest, total


@compiled(error_model="numpy")
def face_planes(places: NDArray[np.float32], faces: NDArray[np.uint32], planes: Floats) -> None:
    """Fill `planes` (4, 1 + F) by number: unit normal and distance from the origin; zero for a face without area.

    `places` (3, N) are the vertices.
    """
    count = faces.shape[0]
    planes[:, 0] = 0.0
    for face in range(count):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = places[0, a], places[1, a], places[2, a]
        ux, vx = np.float64(places[0, b]) - ax, np.float64(places[0, c]) - ax
        uy, vy = np.float64(places[1, b]) - ay, np.float64(places[1, c]) - ay
        uz, vz = np.float64(places[2, b]) - az, np.float64(places[2, c]) - az
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(x * x + y * y + z * z)
        scale = 1.0 / length if length > 0.0 else 0.0
        x, y, z = x * scale, y * scale, z * scale
        number = count - face
        planes[0, number], planes[1, number], planes[2, number] = x, y, z
        planes[3, number] = x * ax + y * ay + z * az


@compiled(error_model="numpy")
def project(
    places: NDArray[np.float32],
    matrix: Floats,
    screen: NDArray[np.float32],
    centres: NDArray[np.uint32],
) -> None:
    """Fill `screen` (3, N), column and row in pixels and nearness, and `centres` (N,) from places (3, N).

    `matrix` (4, 4) gives (column * w, row * w, nearness * w, w); every place must lie inside the image and have w > 0.
    `centres` packs the first pixel whose centre lies at or beyond the place: column * 2**16 + row.
    """
    xs, ys, zs = places[0], places[1], places[2]
    columns, rows, nears = screen[0], screen[1], screen[2]
    m = matrix  # each element by name, or it would be read again for every vertex
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    m30, m31, m32, m33 = m[3, 0], m[3, 1], m[3, 2], m[3, 3]
    half = np.float32(0.5)
    for n in range(places.shape[1]):
        x, y, z = np.float64(xs[n]), np.float64(ys[n]), np.float64(zs[n])
        inverse = 1.0 / (m30 * x + m31 * y + m32 * z + m33)
        column = np.float32((m00 * x + m01 * y + m02 * z + m03) * inverse)
        row = np.float32((m10 * x + m11 * y + m12 * z + m13) * inverse)
        columns[n], rows[n] = column, row
        nears[n] = (m20 * x + m21 * y + m22 * z + m23) * inverse
        centres[n] = np.uint32(np.int32(np.ceil(column - half))) << np.uint32(16) | np.uint32(
            np.int32(np.ceil(row - half))
        )


@compiled(error_model="numpy")
def touching(
    centres: NDArray[np.uint32], faces: NDArray[np.uint32], kept: NDArray[np.uint32]
) -> int:
    """Fill `kept` (F + 1,) with the faces that span a pixel centre in both directions; returns how many."""
    count = 0
    low = np.uint32(0xFFFF)
    for face in range(faces.shape[0]):
        a, b, c = centres[faces[face, 0]], centres[faces[face, 1]], centres[faces[face, 2]]
        differ = (a ^ b) | (a ^ c)
        kept[count] = face
        count += int((differ > low) & ((differ & low) != np.uint32(0)))  # no branch to guess
    return count


@compiled(error_model="numpy")
def fill(
    screen: NDArray[np.float32],
    centres: NDArray[np.uint32],
    faces: NDArray[np.uint32],
    kept: NDArray[np.uint32],
    bits: int,
    keys: NDArray[np.int64],
) -> None:
    """Fill `keys` (H, W + LANES) with nearness * 2**(NEARNESS_BITS - bits) << bits | number of the nearest face.

    Nearness must be linear on the screen and in [0, 2). `faces` are unsigned because numba would test signed indices
    for being negative; `kept` (F + 1,) is scratch.
    """
    keys[:] = 0
    pixels = keys.reshape(-1)
    stride = np.int64(keys.shape[1])
    scale = np.float64(np.int64(1) << (NEARNESS_BITS - bits))
    low = np.uint32(0xFFFF)
    columns, rows, nears = screen[0], screen[1], screen[2]
    for index in range(touching(centres, faces, kept)):
        face = kept[index]
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        top, middle, lowest = rows[a], rows[b], rows[c]
        # by conditional moves: which corner is higher cannot be guessed
        swap = middle < top
        a, b = (b, a) if swap else (a, b)
        top, middle = (middle, top) if swap else (top, middle)
        swap = lowest < middle
        b, c = (c, b) if swap else (b, c)
        middle = lowest if swap else middle
        swap = middle < top
        a, b = (b, a) if swap else (a, b)
        # now a is the top corner, b the middle one, c the lowest
        ax, ay, an = np.float64(columns[a]), np.float64(rows[a]), np.float64(nears[a])
        bx, by, bn = np.float64(columns[b]), np.float64(rows[b]), np.float64(nears[b])
        cx, cy, cn = np.float64(columns[c]), np.float64(rows[c]), np.float64(nears[c])
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0.0:
            continue
        units = scale / area
        per_column = ((bn - an) * (cy - ay) - (cn - an) * (by - ay)) * units
        per_row = ((cn - an) * (bx - ax) - (bn - an) * (cx - ax)) * units
        least, most = min(an, bn, cn) * scale, max(an, bn, cn) * scale
        step = np.int64(min(max(per_column, -scale), scale)) << bits
        number = np.int64(faces.shape[0]) - np.int64(face)
        row, turn, end = (
            np.int64(centres[a] & low),
            np.int64(centres[b] & low),
            np.int64(centres[c] & low),
        )
        long, upper = (cx - ax) / (cy - ay), (bx - ax) / (by - ay)
        below = row + 0.5 - ay
        base = an * scale + below * per_row + (0.5 - ax) * per_column
        one, other = ax + below * long - 0.5, ax + below * upper - 0.5
        at = row * stride
        for half in range(2):
            last = turn
            if half == 1:
                last = end
                upper = (cx - bx) / (cy - by)
                other = bx + (turn + 0.5 - by) * upper - 0.5
            if area > 0.0:
                left, right, left_step, right_step = one, other, long, upper
            else:
                left, right, left_step, right_step = other, one, upper, long
            while row < last:
                column = np.int64(np.ceil(left))
                count = np.int64(np.ceil(right)) - column
                near = min(max(base + column * per_column, least), most)
                key = (np.int64(near) << bits) + number
                first = at + column
                raise_keys(pixels, first, key, step, count)  # an empty span costs less than a test
                while count > LANES:
                    key += LANES * step
                    first += LANES
                    count -= LANES
                    raise_keys(pixels, first, key, step, count)
                left += left_step
                right += right_step
                base += per_row
                at += stride
                row += 1
            one = left if area > 0.0 else right


@compiled(error_model="numpy")
def lambert(
    planes: NDArray[np.float32],
    eye: NDArray[np.float32],
    light: NDArray[np.float32],
    levels: NDArray[np.float32],
    shades: NDArray[np.uint8],
) -> None:
    """Fill `shades` (1 + F,) by number: levels[0] + levels[1] * cos, and BACKGROUND for number 0.

    cos is between `light` (3,), the unit direction towards it, and the side of the face that is seen from `eye` (4,),
    a point with 1 or a direction with 0; 0 where the light is behind that side.
    """
    for number in range(planes.shape[1]):
        x, y, z = planes[0, number], planes[1, number], planes[2, number]
        cosine = x * light[0] + y * light[1] + z * light[2]
        behind = x * eye[0] + y * eye[1] + z * eye[2] < planes[3, number] * eye[3]
        cosine = min(max(-cosine if behind else cosine, np.float32(0.0)), np.float32(1.0))
        shades[number] = np.uint8(np.int32(levels[0] + levels[1] * cosine + np.float32(0.5)))
    shades[0] = BACKGROUND


@compiled(error_model="numpy")
def look_up(
    keys: NDArray[np.int64], bits: int, shades: NDArray[np.uint8], image: NDArray[np.uint8]
) -> None:
    """Fill `image` (H, W) with the shade of each pixel's number."""
    numbers = (np.int64(1) << bits) - 1
    height, width = image.shape
    for row in range(height):
        for column in range(width):
            image[row, column] = shades[np.uint64(keys[row, column] & numbers)]
