"""Read .stl, binary or text. In: bytes; out: three vertices for each triangle, as the format has them.

Corners at one place stay apart, as trimesh leaves them when it is not asked to merge them. Colours are left out: the
format has none, only bits that programs use in different ways.
"""

import re

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry
from pointcmt_cli.data.formats.text import UnreadableError, check_promise, line_starts, numbers

_HEADER = 84
_RECORD = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"vertex[ \t]+([^\r\n]*)")


def read_stl(data: bytes) -> Geometry:
    """Triangles of a .stl; a binary one has exactly the size that its count says, a text one has its last line."""
    faces = int.from_bytes(data[_HEADER - 4 : _HEADER], "little")
    if len(data) >= _HEADER and len(data) == _HEADER + _RECORD.itemsize * faces:
        check_promise(3 * faces, faces, 0, 0)
        records = np.frombuffer(data, _RECORD, faces, _HEADER)
        corners = records["corners"].reshape(-1, 3).astype(np.float64)
    elif data.lstrip()[:5].lower() == b"solid":
        corners = _text(data)
    else:
        found = max(0, (len(data) - _HEADER) // _RECORD.itemsize)
        raise UnreadableError(
            f"{'truncated' if found < faces else 'damaged'}: "
            f"its header promises {faces} faces, it has room for {found}"
        )
    return Geometry(corners, np.arange(len(corners)).reshape(-1, 3))


def _text(data: bytes) -> NDArray[np.float64]:
    """Corners (3F, 3) of the facets of all solids."""
    data = data.lower()
    if b"endsolid" not in data:
        raise UnreadableError("truncated: it has no endsolid")
    lines = b"\n".join(_VERTEX.findall(data))
    facets = data.count(b"endfacet")
    values, starts = numbers(lines), line_starts(lines)
    if len(starts) - 1 != 3 * facets or (np.diff(starts) != 3).any():
        raise UnreadableError(
            f"its {facets} facets do not have 3 vertices of 3 numbers each "
            f"({len(starts) - 1} vertices, {len(values)} numbers)"
        )
    return values.reshape(-1, 3)
