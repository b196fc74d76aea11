"""The header of a .ply. In: the first bytes; out: what it promises, and so whether it is a mesh or a cloud."""

from dataclasses import dataclass

from pointcmt_cli.data.reading_text import UnreadableError, check_promise

HEADER_BYTES = 65536
"""A longer header is not believed."""
_SIZES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "float", "int32", "uint32", "float32"), 4),
    **dict.fromkeys(("double", "float64", "int64", "uint64"), 8),
}


@dataclass(frozen=True)
class PlyHeader:
    """What a .ply says of itself."""

    ascii: bool
    size: int
    """Bytes of the header."""
    counts: dict[str, int]
    """Rows of each element."""
    least: int
    """Bytes that the promised rows take at the very least."""

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
    text = ["format", "ascii"] in [line[:2] for line in lines]
    counts: dict[str, int] = {}
    widths: dict[str, int] = {}
    name = ""
    try:
        for line in lines:
            if line[:1] == ["element"]:
                name = line[1]
                counts[name], widths[name] = _count(line[2]), 0
            elif line[:1] == ["property"]:
                widths[name] += 2 if text else _SIZES[line[2] if line[1] == "list" else line[1]]
    except (IndexError, ValueError, KeyError) as error:
        raise UnreadableError(
            f"its header has a line that makes no sense: '{' '.join(line)[:80]}'"
        ) from error
    return PlyHeader(text, end, counts, sum(counts[name] * widths[name] for name in counts))


def check_ply(data: bytes) -> PlyHeader:
    """The header, when the file can hold what it promises."""
    header = ply_header(data)
    others = [count for name, count in header.counts.items() if name != "vertex"]
    room = len(data) - header.size + header.ascii  # a last line need not end
    check_promise(header.counts.get("vertex", 0), max(others, default=0), header.least, room)
    if header.ascii:
        lines = sum(1 for line in data[header.size :].splitlines() if line.strip())
        if lines < sum(header.counts.values()):
            raise UnreadableError(
                f"truncated: its header promises {sum(header.counts.values())} lines, it holds {lines}"
            )
    return header


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 18):
        raise ValueError(text)
    return int(text)
