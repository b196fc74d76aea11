"""Read a point-cloud file of any kind. In: bytes and the ending; out: points and colours as they stand.

.npy, .npz, .ply, .pcd, and .txt / .xyz with commas, semicolons or white space. Columns beyond x, y, z are left out, but
for colours where a header names them: six nameless columns may as well be normals.
"""

import io
import math
import re
import struct
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry, as_rgb
from pointcmt_cli.data.formats.mesh import load_scene
from pointcmt_cli.data.formats.pcd import read_pcd
from pointcmt_cli.data.formats.ply import check_ply
from pointcmt_cli.data.formats.ply_body import read_ply
from pointcmt_cli.data.formats.text import (
    MAX_BYTES,
    UnreadableError,
    check_promise,
    line_starts,
    numbers,
    plain_text,
)
from pointcmt_cli.wording import one_line

_KEYS = ("points", "point", "pc", "pos", "xyz", "coords", "vertices", "data")
_MOST_COLUMNS = 64
"""More than this is a transposed array."""
_NAMES = 1000
"""Characters of a line of names that are looked at."""
_MOST_RATIO, _FREE_BYTES = 200, 10_000_000
"""An archive member that unpacks to more times its size (and more bytes) is a bomb: coordinates hardly compress."""

_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""What zipfile raises on damaged archives."""


def read_cloud(data: bytes, ending: str, colors: bool = False) -> Geometry:
    """The cloud of a .npy, .npz, .ply, .pcd, .txt or .xyz file."""
    if ending == ".npy":
        return Geometry(_columns(_npy(data)))
    if ending == ".npz":
        return Geometry(_columns(_npz(data)))
    if ending == ".pcd":
        return read_pcd(data, colors)
    if ending == ".ply":
        return _ply(data, colors)
    return _text(data, colors)


def _npy(data: bytes) -> NDArray[Any]:
    """An array straight from the bytes: never a pickle, never more than is there."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "created on Python 2"
            shape, fortran, dtype = read(stream)
    except Exception as error:  # numpy evaluates the header as a literal: anything may come out
        raise UnreadableError("does not begin with a .npy header") from error
    if dtype.hasobject or dtype.kind not in "fiu":
        raise UnreadableError(f"holds {dtype}, not plain numbers")
    count, room = math.prod(shape), len(data) - stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize > room:
        raise UnreadableError(
            f"truncated: its header promises an array {shape}, which {room} bytes cannot hold"
        )
    values = np.frombuffer(data, dtype, count, stream.tell())
    return values.reshape(shape, order="F" if fortran else "C")


def _npz(data: bytes) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            key = _choose(list(members))
            if members[key].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnreadableError(f"'{key}' is packed in a way that numpy never writes")
            size, packed = members[key].file_size, members[key].compress_size
            if size > MAX_BYTES or size > _MOST_RATIO * packed + _FREE_BYTES:
                raise UnreadableError(f"too large: '{key}' unpacks from {packed} to {size} bytes")
            with archive.open(members[key]) as member:
                return _npy(member.read(size))
    except UnreadableError:
        raise
    except _ZIP_ERRORS as error:
        raise UnreadableError(f"damaged, or not .npz at all ({one_line(error)})") from error


def _choose(keys: list[str]) -> str:
    """The array that holds the points: the only one, or the one with a usual name."""
    usual = [key for key in _KEYS if key in keys]
    candidates = keys if len(keys) == 1 else usual
    if len(candidates) != 1:
        raise UnreadableError(
            f"holds the arrays {', '.join(sorted(keys)) or '(none)'}: name the one with the points 'points'"
        )
    return candidates[0]


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 2 or not 3 <= values.shape[1] <= _MOST_COLUMNS:
        raise UnreadableError(
            f"holds an array {values.shape} where (N, 3) or (N, 3 and more) is expected"
        )
    check_promise(len(values), 0, 0, 0)
    return values[:, :3]


def _ply(data: bytes, colors: bool) -> Geometry:
    header = check_ply(data)
    found = read_ply(data, header, colors)
    if found is not None and found.faces is None:
        return found
    clouds = list(load_scene(data, ".ply").geometry.values())
    expected = header.counts.get("vertex", 0)
    points = np.asarray(clouds[0].vertices) if len(clouds) == 1 else np.empty(0)
    if points.shape != (expected, 3):
        raise UnreadableError(f"damaged: the {expected} vertices of its header could not be read")
    return Geometry(points)


def _text(data: bytes, colors: bool) -> Geometry:
    """One point a line; a line of names before them, and then a line with their number, may stand at the top."""
    place = _color_place(data.lstrip()) if colors else None
    data = plain_text(data)
    if b"//" in data:
        data = re.sub(rb"//[^\n]*", b"", data)
    if b"," in data or b";" in data:
        data = data.translate(bytes.maketrans(b",;", b"  "))
    first, _, rest = data.lstrip().partition(b"\n")
    if re.match(rb"\s*[A-Za-z_\"]", first) and not re.match(rb"\s*(nan|inf)", first, re.IGNORECASE):
        data = rest
    values, starts = numbers(data), line_starts(data)
    lengths = np.diff(starts)
    if len(lengths) > 1 and lengths[0] == 1 and values[0] == len(lengths) - 1:
        values, lengths = values[1:], lengths[1:]
    if len(lengths) == 0:
        raise UnreadableError("holds no points")
    odd = np.flatnonzero(lengths != lengths[0])
    if len(odd):
        raise UnreadableError(
            f"its points have {lengths[0]} columns, but number {int(odd[0]) + 1} has {lengths[odd[0]]}"
        )
    rows = values.reshape(len(lengths), -1)
    if place is None or place + 3 > rows.shape[1]:
        return Geometry(_columns(rows))
    return Geometry(_columns(rows), vertex_colors=as_rgb(rows[:, place : place + 3]))


def _color_place(data: bytes) -> int | None:
    """The column of red, where the first line names all columns ("//X Y Z R G B", "x,y,z,red,green,blue")."""
    first = data[:_NAMES].splitlines()[:1]
    names = re.findall(rb"[a-z_]\w*", first[0].lower()) if first else []
    for triple in ([b"r", b"g", b"b"], [b"red", b"green", b"blue"]):
        for place in range(3, len(names) - 2):
            if names[place : place + 3] == triple:
                return place
    return None
