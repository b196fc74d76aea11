"""Read .off, the format of ModelNet. In: bytes; out: vertices, triangles and colours, indices in range.

Handles what is met in the wild: counts joined to the header ("OFF28048 35408 0"), comments, blank lines, NOFF, COFF and
STOFF, polygons (cut into fans) and colours after a face. Wrong counts are errors. Columns that the header does not name
are left out, and so is an index into a colour map.
"""

import re

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import GRAY, Geometry, as_rgb, checked_faces, fans
from pointcmt_cli.data.formats.text import (
    UnreadableError,
    check_promise,
    line_starts,
    numbers,
    plain_text,
)

_KEYWORD = re.compile(rb"\s*(ST)?(C)?(N)?OFF")
_COUNTS = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})(?:[ \t]+\d{1,18})?[ \t\r]*(?:\n|$)")
_VERTEX_BYTES = len(b"0 0 0\n")
_FACE_BYTES = len(b"1 0\n")

Float = NDArray[np.float64]
Int = NDArray[np.int64]


class UnknownHeaderError(UnreadableError):
    """The first lines are not understood; another reader may."""


def read_off(data: bytes, colors: bool = False) -> Geometry:
    """The mesh of an OFF file."""
    data = plain_text(data)
    keyword = _KEYWORD.match(data)
    if keyword is None:
        raise UnknownHeaderError("does not begin with OFF")
    counts = _COUNTS.match(data, keyword.end())
    if counts is None:
        if data[keyword.end() :].lstrip().startswith(b"BINARY"):
            raise UnreadableError("is a binary OFF, which is not supported: save it as text")
        raise UnknownHeaderError(
            "the line after OFF does not hold the numbers of vertices and faces"
        )
    vertices, faces = int(counts[1]), int(counts[2])
    body = data[counts.end() :]
    least = vertices * _VERTEX_BYTES + faces * _FACE_BYTES - 1  # the last line need not end
    check_promise(vertices, faces, least, len(body))
    if not vertices or not faces:
        raise UnreadableError("has no faces")
    texture, color, normal = (part is not None for part in keyword.groups())
    place = 3 + 3 * normal if color and colors else None
    return _body(body, vertices, faces, colors, place, 2 * texture)


def _body(
    body: bytes, vertices: int, faces: int, colors: bool, place: int | None, behind: int
) -> Geometry:
    """`place` is the column in which a vertex' colour begins, `behind` the number of columns that follow it."""
    values = numbers(body)
    if len(values) == 3 * vertices + 4 * faces:  # triangles and nothing else: almost every file
        rows = values[3 * vertices :].reshape(faces, 4)
        if (rows[:, 0] == 3).all():
            points = values[: 3 * vertices].reshape(-1, 3)
            return Geometry(points, checked_faces(rows[:, 1:], vertices))
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
    vertex_colors = None
    if place is not None and (lengths[:vertices] - place - behind >= 3).all():
        vertex_colors = as_rgb(values[starts[:vertices, None] + place + np.arange(3)])
    starts, lengths = starts[vertices:-1], lengths[vertices:]
    corners = _corners(values, starts, lengths)
    polygons = []
    for count in np.unique(corners):
        chosen = np.flatnonzero(corners == count)
        polygons.append((chosen, values[starts[chosen, None] + 1 + np.arange(count)]))
    triangles, owners = fans(polygons, vertices)
    face_colors = None
    if colors and vertex_colors is None:
        face_colors = _face_colors(values, starts + 1 + corners, lengths - 1 - corners)
    return Geometry(
        points, triangles, vertex_colors, None if face_colors is None else face_colors[owners]
    )


def _corners(values: Float, starts: Int, lengths: Int) -> Int:
    """How many corners each face (F,) has, whose line begins at `starts` and holds `lengths` numbers."""
    corners = values[starts]
    wrong = np.flatnonzero(~((corners >= 1) & (corners < lengths) & (corners % 1 == 0)))
    if len(wrong):
        first = int(wrong[0])
        raise UnreadableError(
            f"face {first} says that it has {corners[first]:g} corners, "
            f"its line has {lengths[first] - 1} numbers more"
        )
    return corners.astype(np.int64)


def _face_colors(values: Float, starts: Int, lengths: Int) -> NDArray[np.uint8] | None:
    """Colours (F, 3) of faces behind whose corners, at `starts`, `lengths` numbers follow; None: no face has one."""
    chosen = lengths >= 3
    if not chosen.any():
        return None
    colors = np.full((len(starts), 3), GRAY, np.uint8)
    colors[chosen] = as_rgb(values[starts[chosen, None] + np.arange(3)])
    return colors
