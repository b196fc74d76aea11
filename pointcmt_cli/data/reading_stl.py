"""Read .stl. In: bytes; out: three vertices for each triangle, as the format has them, or None for a text file.

Corners at one place stay apart, as trimesh leaves them when it is not asked to merge them. Colours are left out: the
format has none, only bits that programs use in different ways.
"""

import numpy as np

from pointcmt_cli.data.reading_geometry import Geometry
from pointcmt_cli.data.reading_text import UnreadableError, check_promise

_HEADER = 84
_RECORD = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def check_stl(data: bytes) -> None:
    """A binary .stl has exactly the size that its count says; a text one has its last line."""
    if _is_binary(data):
        return
    if data.lstrip()[:5].lower() != b"solid":
        found = max(0, (len(data) - _HEADER) // _RECORD.itemsize)
        raise UnreadableError(
            f"truncated: its header promises {_faces(data)} faces, it has room for {found}"
        )
    if b"endsolid" not in data.lower():
        raise UnreadableError("truncated: it has no endsolid")


def read_stl(data: bytes) -> Geometry | None:
    """Triangles of a binary .stl."""
    if not _is_binary(data):
        return None
    count = _faces(data)
    check_promise(3 * count, count, 0, 0)
    records = np.frombuffer(data, _RECORD, count, _HEADER)
    vertices = records["corners"].reshape(-1, 3).astype(np.float64)
    return Geometry(vertices, np.arange(3 * count).reshape(-1, 3))


def _faces(data: bytes) -> int:
    return int.from_bytes(data[_HEADER - 4 : _HEADER], "little")


def _is_binary(data: bytes) -> bool:
    return len(data) >= _HEADER and len(data) == _HEADER + _RECORD.itemsize * _faces(data)
