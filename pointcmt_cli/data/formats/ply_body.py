"""Read what follows the header of a .ply, text or binary. In: bytes and header; out: the mesh or cloud, or None.

Every element may have columns of numbers and one list; lists of different lengths are polygons, cut into fans. None
for what is not known here (several lists, triangle strips, damage): that is for trimesh.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry, as_rgb, fans
from pointcmt_cli.data.formats.ply import Element, PlyHeader, Property
from pointcmt_cli.data.formats.text import line_starts, numbers

_RGB = [("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b")]


@dataclass(frozen=True)
class Table:
    """The rows of one element."""

    element: Element
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Each (rows,)."""
    lists: list[tuple[NDArray[np.int64], NDArray[Any]]] = field(default_factory=list)
    """For each length k of the list: the numbers of the rows (R,), and the entries (R, k)."""

    def colors(self) -> NDArray[np.uint8] | None:
        """(rows, 3), where they have names that are met."""
        for names in _RGB:
            if all(name in self.columns for name in names):
                codes = [each.code for each in self.element.properties if each.name in names]
                whole = all(code[0] in "iu" for code in codes)
                return as_rgb(np.stack([self.columns[name] for name in names], axis=1), whole)
        return None


def read_ply(data: bytes, header: PlyHeader, colors: bool = False) -> Geometry | None:
    """The mesh, or the cloud where there are no faces."""
    if "tristrips" in header.counts:
        return None
    try:
        tables = {table.element.name: table for table in _tables(data, header)}
        vertex, face = tables["vertex"], tables.get("face")
        vertices = np.stack([vertex.columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    except (_UnknownError, KeyError, ValueError):
        return None
    vertex_colors = vertex.colors() if colors else None
    if face is None or face.element.count == 0:
        return Geometry(vertices, None, vertex_colors)
    triangles, owners = fans(face.lists, len(vertices))
    face_colors = face.colors() if colors and vertex_colors is None else None
    return Geometry(
        vertices, triangles, vertex_colors, None if face_colors is None else face_colors[owners]
    )


class _UnknownError(Exception):
    """Not read here."""


def _tables(data: bytes, header: PlyHeader) -> Iterator[Table]:
    for element in header.elements:
        names = [each.name for each in element.properties]
        if sum(each.counter is not None for each in element.properties) > 1:
            raise _UnknownError
        if len(set(names)) < len(names) or not names:
            raise _UnknownError
    yield from _binary(data, header) if header.order else _text(data[header.size :], header)


def _text(body: bytes, header: PlyHeader) -> Iterator[Table]:
    """One line is one row."""
    values, starts = numbers(body), line_starts(body)
    if len(starts) - 1 != sum(header.counts.values()):
        raise _UnknownError
    line = 0
    for element in header.elements:
        yield _lines(element, values, starts[line : line + element.count + 1])
        line += element.count


def _lines(element: Element, values: NDArray[np.float64], starts: NDArray[np.int64]) -> Table:
    """The rows whose lines begin at `starts`; the last of them is the end."""
    table = Table(element)
    starts, lengths = starts[:-1], np.diff(starts)
    extra = np.zeros(element.count, np.int64)  # entries of the list
    for place, each in enumerate(element.properties):
        if (place >= lengths - extra).any():
            raise _UnknownError
        column = values[starts + place + extra]
        if each.counter is None:
            table.columns[each.name] = column.astype(each.code) if each.code[0] == "f" else column
            continue
        extra = column.astype(np.int64)
        if not ((extra == column) & (extra >= 0) & (place + extra < lengths)).all():
            raise _UnknownError
        for count in np.unique(extra):
            rows = np.flatnonzero(extra == count)
            table.lists.append((rows, values[starts[rows, None] + place + 1 + np.arange(count)]))
    if (lengths != len(element.properties) + extra).any():
        raise _UnknownError
    return table


def _binary(data: bytes, header: PlyHeader) -> Iterator[Table]:
    place = header.size
    for element in header.elements:
        table, place = _rows(data, place, element, header.order)
        yield table
    if place != len(data):
        raise _UnknownError


def _rows(data: bytes, place: int, element: Element, order: str) -> tuple[Table, int]:
    """The table that begins at `place`, and where it ends; in one piece where all lists are as long as the first."""
    listed = next((each for each in element.properties if each.counter), None)
    before = 0
    length = 0
    if listed and element.count:
        before = sum(each.size for each in element.properties[: element.properties.index(listed)])
        length = _number(data, place + before, listed, order)
    layout = _layout(element, length, order)
    end = place + layout.itemsize * element.count
    if end <= len(data):
        rows = np.frombuffer(data, layout, element.count, place)
        if listed is None or (rows["length of the list"] == length).all():
            table = Table(element, {name: rows[name] for name in layout.names or ()})
            if listed:
                table.lists.append((np.arange(element.count), rows[listed.name]))
            return table, end
    if listed is None:
        raise _UnknownError
    return _ragged(data, place, element, order, listed, before)


def _ragged(
    data: bytes, place: int, element: Element, order: str, listed: Property, before: int
) -> tuple[Table, int]:
    """Lists of different lengths: one walk over the rows, then a gather for each length."""
    fixed = _layout(element, 0, order).itemsize
    size = int(listed.code[1])
    starts, lengths = [], []
    for _ in range(element.count):
        length = _number(data, place + before, listed, order)
        starts.append(place)
        lengths.append(length)
        place += fixed + length * size
    if place > len(data):
        raise _UnknownError
    table = Table(element)
    begins, counts = np.array(starts), np.array(lengths)
    content = np.frombuffer(data, np.uint8)
    columns: dict[str, NDArray[Any]] = {}
    for count in np.unique(counts):
        layout = _layout(element, int(count), order)
        rows = np.flatnonzero(counts == count)
        windows = np.lib.stride_tricks.sliding_window_view(content, layout.itemsize)
        found = windows[begins[rows]].view(layout)[:, 0]
        table.lists.append((rows, found[listed.name]))
        for each in element.properties:
            if each is not listed:
                column = columns.setdefault(each.name, np.empty(element.count, each.code))
                column[rows] = found[each.name]
    table.columns.update(columns)
    return table, place


def _layout(element: Element, length: int, order: str) -> np.dtype[Any]:
    """One row whose list has `length` entries."""
    fields: list[Any] = []
    for each in element.properties:
        if each.counter:
            fields.append(("length of the list", order + each.counter))
            fields.append((each.name, order + each.code, (length,)))
        else:
            fields.append((each.name, order + each.code))
    return np.dtype(fields)


def _number(data: bytes, place: int, listed: Property, order: str) -> int:
    """The length of a list."""
    code = np.dtype(order + (listed.counter or ""))
    if code.kind not in "iu" or place + code.itemsize > len(data):
        raise _UnknownError
    length = int.from_bytes(
        data[place : place + code.itemsize],
        "little" if order == "<" else "big",
        signed=code.kind == "i",
    )
    if not 0 <= length <= len(data):
        raise _UnknownError
    return length
