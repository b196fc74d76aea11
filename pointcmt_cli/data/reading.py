"""Read one shape. In: an `Item` or a file; out: a validated `Shape`, or a DataError with file and reason."""

from pathlib import Path

from pointcmt_cli.data.shape import Shape
from pointcmt_cli.data.sources import Item
from pointcmt_cli.errors import DataError


def read(item: Item) -> tuple[Shape, str]:
    """The shape and the sha256 (hex) of its source bytes."""
    raise DataError(f"{item.path}: cannot be read")


def read_file(path: Path) -> Shape:
    """A mesh or cloud file for `predict`; its kind is found from the ending and, for .ply, the header."""
    raise DataError(f"{path}: cannot be read")
