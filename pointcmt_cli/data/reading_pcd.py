"""Read .pcd, the format of the Point Cloud Library. In: bytes; out: points (N, 3).

The header's FIELDS, SIZE, TYPE and COUNT say how a point is stored; DATA is ascii, binary, or binary_compressed (LZF,
field by field).
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.reading_text import (
    MAX_BYTES,
    MAX_POINTS,
    UnreadableError,
    line_starts,
    numbers,
)

_HEADER_BYTES = 65536
_CODES = {"F": "f", "I": "i", "U": "u"}


def read_pcd(data: bytes) -> NDArray[Any]:
    """Points of a .pcd file of any DATA kind."""
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
    if kind == "ascii":
        return _ascii(body, points, counts, places)
    if kind not in ("binary", "binary_compressed"):
        raise UnreadableError(f"has DATA {kind}; known are ascii, binary and binary_compressed")
    if points * layout.itemsize > (len(body) if kind == "binary" else MAX_BYTES):
        raise UnreadableError(f"truncated: {points} points need {points * layout.itemsize} bytes")
    if kind == "binary":
        rows = np.frombuffer(body, layout, points)
        return np.stack([rows[str(place)][:, 0] for place in places], axis=1).astype(np.float64)
    return _compressed(body, points, layout, places)


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


def _ascii(body: bytes, points: int, counts: list[int], places: list[int]) -> NDArray[np.float64]:
    values, lines = numbers(body), len(line_starts(body)) - 1
    if lines != points or len(values) != points * sum(counts):
        raise UnreadableError(
            f"its header promises {points} points of {sum(counts)} numbers, "
            f"but {len(values)} numbers in {lines} lines follow"
        )
    columns = [sum(counts[:place]) for place in places]
    return values.reshape(points, sum(counts))[:, columns]


def _compressed(body: bytes, points: int, layout: Any, places: list[int]) -> NDArray[np.float64]:
    """Field after field, each for all points, packed by LZF."""
    if len(body) < 8:
        raise UnreadableError("truncated: its compressed data is missing")
    packed, size = struct.unpack_from("<II", body)
    if size != points * layout.itemsize or packed > len(body) - 8:
        raise UnreadableError(f"truncated: {points} points need {points * layout.itemsize} bytes")
    plain = _lzf(body[8 : 8 + packed], size)
    axes = []
    for place in places:
        code, offset = layout.fields[str(place)]
        width = code.shape[0]
        column = np.frombuffer(plain, code.base, points * width, offset * points)
        axes.append(column.reshape(points, width)[:, 0])
    return np.stack(axes, axis=1).astype(np.float64)


def _lzf(packed: bytes, size: int) -> bytes:
    """LZF: runs of literal bytes, and copies (length, distance) from what was written before."""
    plain = bytearray()
    position = 0
    try:
        while position < len(packed) and len(plain) <= size:
            control = packed[position]
            position += 1
            if control < 32:
                plain += packed[position : position + control + 1]
                position += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[position]
                position += 1
            start = len(plain) - ((control & 31) << 8) - packed[position] - 1
            position += 1
            length += 2
            if start < 0:
                raise IndexError(start)
            pattern = plain[start : start + length]
            plain += (pattern * (length // len(pattern) + 1))[:length]
    except IndexError as error:
        raise UnreadableError("its compressed data is damaged") from error
    if len(plain) != size:
        raise UnreadableError(
            f"its compressed data unpacks to {len(plain)} bytes instead of {size}"
        )
    return bytes(plain)
