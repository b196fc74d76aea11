"""Read one shape. In: an `Item` or a file; out: a validated `Shape`, or a DataError with file and reason in one line.

Frames. A mesh: the centre of the bounding box of its used vertices at the origin, the farthest vertex at distance 1, so
that a view holds all of it however its triangles are spread. A cloud: its mean at the origin (`pc_normalize`). Points
for networks are drawn and normalised by `sampling`, the same way for training and prediction. Shapes are z up: what is
y up is turned before all else.
"""

import functools
import hashlib
import stat
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import Axis
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.folders.trees import CLOUD_ENDINGS, MESH_ENDINGS, Kind
from pointcmt_cli.data.formats.cloud import read_cloud
from pointcmt_cli.data.formats.geometry import Geometry
from pointcmt_cli.data.formats.mesh import read_mesh
from pointcmt_cli.data.formats.ply import ply_header
from pointcmt_cli.data.formats.text import MAX_BYTES, MAX_FACES, MAX_POINTS, UnreadableError
from pointcmt_cli.data.geometry import face_areas, into_unit_sphere
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import DataError
from pointcmt_cli.splits import TEST
from pointcmt_cli.wording import one_line

_LONGEST = 200
"""Characters of a reason."""
_NO_EXTENT = 1e-10
"""Relative to the largest coordinate: what is left of a single place after rounding."""
_NO_AREA = 1e-6
"""In the unit sphere; far less than a pixel."""
_FEW = 32
_UP: dict[str, Axis] = {".glb": "y"}
"""glTF 2.0, section 3.4: +Y is up."""
_CHUNK_CACHE = 64 * 1024**2
"""Bytes; benchmark files are compressed in chunks of many shapes."""


def read(item: Item, colors: bool = False, up: Axis | None = None) -> tuple[Shape, str]:
    """The shape and the sha256 (hex) of its source bytes.

    With `colors` also those of its vertices or faces, where the file has them. `up` is the axis of the file that points
    up; None: y for .glb, as its specification says, else z.
    """
    try:
        if item.row is not None:
            points = _row(item.path, item.row)
            shape = _cloud(item.name, _upright(Geometry(points), up or "z"))
            return shape, hashlib.sha256(points.tobytes()).hexdigest()
        data = _bytes(item.path)
        ending = item.path.suffix.lower()
        with np.errstate(all="ignore"):  # what is not finite is found by looking
            is_mesh = item.kind == "mesh"
            found = (read_mesh if is_mesh else read_cloud)(data, ending, colors)
            found = _upright(found, up or _UP.get(ending, "z"))
            shape = (_mesh if is_mesh else _cloud)(item.name, found)
        return shape, hashlib.sha256(data).hexdigest()
    except UnreadableError as error:
        raise _fault(item.path, error) from error
    except MemoryError as error:
        raise DataError(f"{item.path}: too large for this machine's memory") from error


def source_hash(item: Item) -> str:
    """As `read` gives it, without parsing a file."""
    try:
        data = _bytes(item.path) if item.row is None else _row(item.path, item.row).tobytes()
        return hashlib.sha256(data).hexdigest()
    except UnreadableError as error:
        raise _fault(item.path, error) from error


def read_file(path: Path, colors: bool = False, up: Axis | None = None) -> Shape:
    """As `read`, a file of any kind, named by its stem; .ply is told apart by its header."""
    ending = path.suffix.lower()
    if ending == ".ply":
        try:
            kind: Kind = "mesh" if ply_header(_bytes(path)).is_mesh else "cloud"
        except UnreadableError as error:
            raise _fault(path, error) from error
    elif ending in MESH_ENDINGS:
        kind = "mesh"
    elif ending in CLOUD_ENDINGS:
        kind = "cloud"
    else:
        known = " ".join(sorted(MESH_ENDINGS | CLOUD_ENDINGS))
        raise DataError(f"{path}: the ending '{ending}' is not known (there are: {known})")
    return read(Item(path.stem, 0, TEST, kind, path), colors, up)[0]


def _fault(path: Path, error: UnreadableError) -> DataError:
    """One line that can be printed, whatever nonsense a damaged file is quoted with."""
    reason = textwrap.shorten(str(error), _LONGEST, placeholder=" ...")
    shown = (
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in reason
    )
    return DataError(f"{path}: {''.join(shown)}")


def _bytes(path: Path) -> bytes:
    """The whole of a regular file: opening a pipe would wait for ever."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableError("is a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file")
        if status.st_size == 0:
            raise UnreadableError("is empty")
        if status.st_size > MAX_BYTES:
            raise UnreadableError(f"too large: {status.st_size} bytes (at most {MAX_BYTES})")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from error


def _upright(found: Geometry, up: Axis) -> Geometry:
    """Turned about the x axis so that `up` becomes z: y up is (x, y, z) -> (x, -z, y)."""
    if up == "z":
        return found
    x, y, z = found.vertices.astype(np.float64).T
    return replace(found, vertices=np.stack([x, -z, y], axis=1))


def _mesh(name: str, found: Geometry) -> Shape:
    """Vertices that no face uses are dropped, with their colours: a stray one would shrink the rest."""
    vertices, faces, colors = found.vertices, found.faces, found.vertex_colors
    if faces is None or len(faces) == 0:
        raise UnreadableError("has no faces")
    if len(vertices) > MAX_POINTS or len(faces) > MAX_FACES:
        raise UnreadableError(f"too large: {len(vertices)} vertices and {len(faces)} faces")
    scaled = _finite(vertices)
    used = np.zeros(len(scaled), bool)
    used[faces] = True
    if not used.all():
        faces = (np.cumsum(used) - 1)[faces]
        scaled = scaled[used]
        colors = None if colors is None else colors[used]
    points, radius = into_unit_sphere(scaled, _middle(scaled))
    corners = faces.astype(np.int32)
    if radius < _NO_EXTENT or not _has_area(points, corners):
        raise UnreadableError("its faces have no area")
    return Shape(name, points, corners, colors, found.face_colors)


def _middle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the bounding box; column by column, which is five times as fast as over the first axis."""
    columns = np.ascontiguousarray(points.T)
    middle: NDArray[np.float64] = (columns.min(axis=1) + columns.max(axis=1)) / 2
    return middle


def _has_area(points: NDArray[np.float32], faces: NDArray[np.int32]) -> bool:
    """A few faces suffice, as a rule."""
    few = faces[:_FEW]
    return bool(
        face_areas(points, few).sum() >= _NO_AREA or face_areas(points, faces).sum() >= _NO_AREA
    )


def _cloud(name: str, found: Geometry) -> Shape:
    if len(found.vertices) == 0:
        raise UnreadableError("holds no points")
    scaled = _finite(found.vertices.astype(np.float64))
    normal, radius = into_unit_sphere(scaled, scaled.mean(axis=0))
    if radius < _NO_EXTENT:
        raise UnreadableError("all its points lie in one place")
    return Shape(name, normal, vertex_colors=found.vertex_colors)


def _finite(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divided by the largest coordinate, so that squares of very large or small numbers stay finite."""
    largest = float(np.maximum(points.max(), -points.min()))  # nan where one is nan
    if not np.isfinite(largest):
        wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
        raise UnreadableError(
            f"point {wrong[0]} is not finite ({len(wrong)} of {len(points)} are not)"
        )
    return points / largest if largest > 0 else points


def _row(path: Path, row: int) -> NDArray[Any]:
    """Points (N, 3) of one shape in a benchmark file."""
    try:
        status = path.stat()
        return np.asarray(_dataset(path, status.st_mtime_ns, status.st_size)[row][:, :3])
    except (OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
        raise UnreadableError(f"row {row} cannot be read ({one_line(error)})") from error


@functools.lru_cache(maxsize=2)
def _dataset(path: Path, modified: int, size: int) -> Any:
    """`data` of an open HDF5 file, kept open in this process; another time or size of the file opens it anew."""
    import h5py

    return h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE)["data"]
