"""Read .off, the format of ModelNet. In: bytes; out: vertices (V, 3) float64 and triangles (F, 3), indices in range.

Handles what is met in the wild: counts joined to the header ("OFF28048 35408 0"), comments, blank lines, NOFF, COFF and
STOFF (the extra columns are left out), polygons (cut into fans) and colours after a face. Wrong counts are errors.
"""

import re

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.reading_text import (
    UnreadableError,
    check_promise,
    line_starts,
    numbers,
    plain_text,
)

_KEYWORD = re.compile(rb"\s*(?:ST)?C?N?OFF")
_COUNTS = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})(?:[ \t]+\d{1,18})?[ \t\r]*(?:\n|$)")
_VERTEX_BYTES = len(b"0 0 0\n")
_FACE_BYTES = len(b"1 0\n")

Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]


def read_off(data: bytes) -> Mesh:
    """Vertices and triangles of an OFF file."""
    data = plain_text(data)
    keyword = _KEYWORD.match(data)
    if keyword is None:
        raise UnreadableError("does not begin with OFF")
    counts = _COUNTS.match(data, keyword.end())
    if counts is None:
        if data[keyword.end() :].lstrip().startswith(b"BINARY"):
            raise UnreadableError("is a binary OFF, which is not supported: save it as text")
        raise UnreadableError("the line after OFF does not hold the numbers of vertices and faces")
    vertices, faces = int(counts[1]), int(counts[2])
    body = data[counts.end() :]
    least = vertices * _VERTEX_BYTES + faces * _FACE_BYTES - 1  # the last line need not end
    check_promise(vertices, faces, least, len(body))
    if not vertices or not faces:
        raise UnreadableError("has no faces")
    return _body(body, vertices, faces)


def _body(body: bytes, vertices: int, faces: int) -> Mesh:
    values = numbers(body)
    if len(values) == 3 * vertices + 4 * faces:  # triangles and nothing else: almost every file
        rows = values[3 * vertices :].reshape(faces, 4)
        if (rows[:, 0] == 3).all():
            return values[: 3 * vertices].reshape(-1, 3), _indices(rows[:, 1:], vertices)
    starts = line_starts(body)
    if len(starts) - 1 != vertices + faces:
        raise UnreadableError(
            f"its header promises {vertices} vertices and {faces} faces, "
            f"but {len(starts) - 1} lines follow instead of {vertices + faces}"
        )
    lengths = np.diff(starts)
    if lengths[:vertices].min() < 3:
        raise UnreadableError("a vertex has fewer than 3 coordinates")
    points = values[starts[:vertices, None] + np.arange(3)]
    return points, _triangles(values, starts[vertices:-1], lengths[vertices:], vertices)


def _triangles(
    values: NDArray[np.float64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    vertices: int,
) -> NDArray[np.int64]:
    """Fans of the polygons whose lines begin at `starts` and hold `lengths` numbers; points and edges give none."""
    corners = values[starts]
    wrong = np.flatnonzero(~((corners >= 1) & (corners < lengths) & (corners % 1 == 0)))
    if len(wrong):
        first = int(wrong[0])
        raise UnreadableError(
            f"face {first} says that it has {corners[first]:g} corners, "
            f"its line has {lengths[first] - 1} numbers more"
        )
    fans = [np.empty((0, 3), np.int64)]
    for count in np.unique(corners).astype(int):
        rows = starts[corners == count][:, None] + 1 + np.arange(count)
        polygons = _indices(values[rows], vertices)
        for middle in range(1, count - 1):
            fans.append(polygons[:, [0, middle, middle + 1]])
    return np.concatenate(fans)


def _indices(values: NDArray[np.float64], vertices: int) -> NDArray[np.int64]:
    indices = values.astype(np.int64)  # what is no integer, or not finite, differs from what it becomes
    wrong = (indices != values) | (indices < 0) | (indices >= vertices)
    if wrong.any():
        raise UnreadableError(
            f"a face refers to vertex {values[wrong][0]:g}, but they are numbered 0 to {vertices - 1}"
        )
    return indices
