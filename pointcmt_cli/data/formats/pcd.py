"""Read .pcd, the format of the Point Cloud Library. In: bytes; out: points and colours as they stand.

The header's FIELDS, SIZE, TYPE and COUNT say how a point is stored; DATA is ascii, binary, or binary_compressed (LZF,
field by field). A colour is a field `rgb` or `rgba`, three bytes in one number, which may be a float by name only, or
fields r, g and b.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry, as_rgb
from pointcmt_cli.data.formats.text import (
    MAX_BYTES,
    MAX_POINTS,
    UnreadableError,
    line_starts,
    numbers,
)

_HEADER_BYTES = 65536
_CODES = {"F": "f", "I": "i", "U": "u"}
_MOST_RATIO = 88
"""A copy of 264 bytes takes 3 in LZF."""

Column = Callable[[int], NDArray[Any]]
"""The values (N,) of a field by its place."""


def read_pcd(data: bytes, colors: bool = False) -> Geometry:
    """The cloud of a .pcd file of any DATA kind."""
    header, body = _header(data)
    try:
        fields, kind = header["FIELDS"], header["DATA"][0].lower()
        counts = [int(each) for each in header.get("COUNT", ["1"] * len(fields))]
        types = [
            f"<{_CODES[code]}{int(size)}"
            for code, size in zip(header["TYPE"], header["SIZE"], strict=True)
        ]
        layout = np.dtype(
            [
                (f"{index}", code, (count,))
                for index, (code, count) in enumerate(zip(types, counts, strict=True))
            ]
        )
        points = int(header["POINTS"][0] if "POINTS" in header else header["WIDTH"][0])
        places = [fields.index(axis) for axis in "xyz"]
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UnreadableError(
            "its .pcd header is damaged, or it has no fields x, y and z"
        ) from error
    if not 0 <= points <= MAX_POINTS or min(counts) < 1:
        raise UnreadableError(f"its header promises {points} points (at most {MAX_POINTS})")
    if kind not in _KINDS:
        raise UnreadableError(f"has DATA {kind}; known are ascii, binary and binary_compressed")
    column = _KINDS[kind](body, points, layout, counts)
    vertices = np.stack([column(place) for place in places], axis=1).astype(np.float64)
    return Geometry(vertices, None, _colors(column, fields, types) if colors else None)


def _colors(column: Column, fields: list[str], types: list[str]) -> NDArray[np.uint8] | None:
    if all(name in fields for name in "rgb"):
        return as_rgb(np.stack([column(fields.index(name)) for name in "rgb"], axis=1))
    place = next((fields.index(name) for name in ("rgb", "rgba") if name in fields), None)
    if place is None or types[place][2:] != "4":
        return None
    bits = column(place).astype(types[place]).view("<u4")
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)


def _header(data: bytes) -> tuple[dict[str, list[str]], bytes]:
    """Keyword -> values, and what follows the DATA line."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start, _HEADER_BYTES)
        if end < 0:
            raise UnreadableError("truncated, or not .pcd at all: it has no DATA line")
        words = data[start:end].decode("ascii", "replace").split()
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
        start = end + 1
    return header, data[start:]


def _ascii(body: bytes, points: int, layout: np.dtype[Any], counts: list[int]) -> Column:
    values, lines = numbers(body), len(line_starts(body)) - 1
    if lines != points or len(values) != points * sum(counts):
        raise UnreadableError(
            f"its header promises {points} points of {sum(counts)} numbers, "
            f"but {len(values)} numbers in {lines} lines follow"
        )
    rows = values.reshape(points, sum(counts))
    return lambda place: rows[:, sum(counts[:place])]


def _binary(body: bytes, points: int, layout: np.dtype[Any], counts: list[int]) -> Column:
    _check_room(points * layout.itemsize, len(body), points)
    rows = np.frombuffer(body, layout, points)
    return lambda place: rows[str(place)][:, 0]


def _compressed(body: bytes, points: int, layout: np.dtype[Any], counts: list[int]) -> Column:
    """Field after field, each for all points, packed by LZF."""
    from pointcmt_cli.data.formats.bytes_numba import unpack_lzf

    if len(body) < 8:
        raise UnreadableError("truncated: its compressed data is missing")
    packed, size = struct.unpack_from("<II", body)
    needed = points * layout.itemsize
    _check_room(needed, min(size, MAX_BYTES, _MOST_RATIO * packed), points)
    if size != needed or packed > len(body) - 8:
        raise UnreadableError(f"truncated: {points} points need {needed} bytes")
    plain = np.empty(size, np.uint8)
    written = unpack_lzf(np.frombuffer(body, np.uint8, packed, 8), plain)
    if written < 0:
        raise UnreadableError("its compressed data is damaged")
    if written != size:
        raise UnreadableError(f"its compressed data unpacks to {written} bytes instead of {size}")

    def column(place: int) -> NDArray[Any]:
        offset = sum(layout[before].itemsize for before in range(place)) * points
        field = np.frombuffer(plain, layout[place].base, points * counts[place], offset)
        return field.reshape(points, counts[place])[:, 0]

    return column


def _check_room(needed: int, room: int, points: int) -> None:
    if needed > room:
        raise UnreadableError(f"truncated: {points} points need {needed} bytes")


_KINDS = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}
