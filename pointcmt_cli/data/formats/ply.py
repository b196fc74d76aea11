"""The header of a .ply. In: the first bytes; out: what it promises, and so whether it is a mesh or a cloud."""

from dataclasses import dataclass, field

from pointcmt_cli.data.formats.text import UnreadableError, check_promise, line_starts

HEADER_BYTES = 65536
"""A longer header is not believed."""
_CODES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"},
}
"""numpy's names of the types, without byte order."""
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class Property:
    """One column of an element."""

    name: str
    code: str
    """Its type, as numpy names it."""
    counter: str | None = None
    """Of a list: the type of the number that says how long it is."""

    @property
    def size(self) -> int:
        """Bytes that it takes at the very least."""
        return int((self.counter or self.code)[1])


@dataclass(frozen=True)
class Element:
    """One table of a .ply."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass(frozen=True)
class PlyHeader:
    """What a .ply says of itself."""

    order: str
    """`<` or `>` of a binary file, empty of a text."""
    size: int
    """Bytes of the header."""
    elements: list[Element]
    """In the order of the file."""

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each element."""
        return {element.name: element.count for element in self.elements}

    @property
    def least(self) -> int:
        """Bytes that the promised rows take at the very least."""
        return sum(
            element.count * sum(each.size if self.order else 2 for each in element.properties)
            for element in self.elements
        )

    @property
    def is_mesh(self) -> bool:
        """It has faces."""
        return self.counts.get("face", 0) > 0 or self.counts.get("tristrips", 0) > 0


def ply_header(data: bytes) -> PlyHeader:
    """Parse the header at the beginning of `data`."""
    if not data.startswith((b"ply\n", b"ply\r")):
        raise UnreadableError("does not begin with ply")
    found = data.find(b"end_header", 0, HEADER_BYTES)
    end = data.find(b"\n", found) + 1
    if found < 0 or end == 0:
        raise UnreadableError("truncated: its header has no end")
    lines = [line.split() for line in data[:found].decode("ascii", "replace").splitlines()]
    format_ = next((line[1] for line in lines if line[:1] == ["format"] and line[1:]), "")
    elements: list[Element] = []
    try:
        for line in lines:
            if line[:1] == ["element"]:
                elements.append(Element(line[1], _count(line[2])))
            elif line[:2] == ["property", "list"]:
                each = Property(line[4], _CODES[line[3]], _CODES[line[2]])
                elements[-1].properties.append(each)
            elif line[:1] == ["property"]:
                elements[-1].properties.append(Property(line[2], _CODES[line[1]]))
    except (IndexError, ValueError, KeyError) as error:
        raise UnreadableError(
            f"its header has a line that makes no sense: '{' '.join(line)[:80]}'"
        ) from error
    if format_ not in _ORDERS:
        raise UnreadableError(f"its header has no known format: '{format_[:80]}'")
    return PlyHeader(_ORDERS[format_], end, elements)


def check_ply(data: bytes) -> PlyHeader:
    """The header, when the file can hold what it promises."""
    header = ply_header(data)
    others = [count for name, count in header.counts.items() if name != "vertex"]
    room = len(data) - header.size + (not header.order)  # a last line need not end
    check_promise(header.counts.get("vertex", 0), max(others, default=0), header.least, room)
    if not header.order:
        lines = len(line_starts(data[header.size :])) - 1
        if lines < sum(header.counts.values()):
            raise UnreadableError(
                f"truncated: its header promises {sum(header.counts.values())} lines, it holds {lines}"
            )
    return header


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 18):
        raise ValueError(text)
    return int(text)
