"""A user's rig. In: a TOML or JSON file; out: a `RigFile`, or a UsageError that names the file, the camera and the key.

The file is a table with a list `cameras`. Each camera is one of
- `position` = [x, y, z], and if wanted `target` (the origin) and `up` (z; y when looking along z),
- `azimuth` and `elevation` in degrees (from +x towards +y; above the ground), and if wanted `distance`,
- `matrix`, 4 rows of 4: camera-to-world, rigid, OpenGL's axes (looks along its -z, its +y is up in the image).
Beside the list, for all cameras: `projection` = "perspective" or "orthographic", `field_of_view` in degrees of
perspective cameras, `half_height` of orthographic ones. Lengths are in the shape's frame: unit sphere, z up.
"""

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import Projection
from pointcmt_cli.data.cameras.named import MOST_VIEWS, direction
from pointcmt_cli.errors import UsageError

ENDINGS = (".toml", ".json")
FILE_KEYS = ("cameras", "projection", "field_of_view", "half_height")
CAMERA_KEYS = ("position", "target", "up", "azimuth", "elevation", "distance", "matrix")
KINDS = {
    "position": ("position", "target", "up"),
    "azimuth": ("azimuth", "elevation", "distance"),
    "elevation": ("azimuth", "elevation", "distance"),
    "matrix": ("matrix",),
}
"""Which keys go with the one that says how a camera is given."""
RIGID = 1e-3
"""How far a turn may be from a rotation: what is left of matrices that were printed with few digits."""
SMALLEST, LARGEST = 1e-6, 1e6
"""Lengths that can be meant beside a unit sphere."""


@dataclass(frozen=True)
class Placed:
    """One camera as the file gives it."""

    position: NDArray[np.float64] | None = None
    """(3,)"""
    target: NDArray[np.float64] | None = None
    up: NDArray[np.float64] | None = None
    direction: NDArray[np.float64] | None = None
    """(3,) unit; the distance is the rig's own."""
    matrix: NDArray[np.float64] | None = None
    """(4, 4)"""


@dataclass(frozen=True)
class RigFile:
    """What a rig file says."""

    path: Path
    text: str
    """Its content as JSON, on one line."""
    cameras: list[Placed]
    projection: Projection | None
    field_of_view: float | None
    """Radians."""
    half_height: float | None


class _WrongError(Exception):
    """What is wrong, without the file's name."""


def read(path: Path) -> RigFile:
    """Read and check a whole rig file."""
    try:
        content = _content(path)
        _known("", content, FILE_KEYS)
        projection = content.get("projection")
        if projection not in (None, "perspective", "orthographic"):
            raise _WrongError(f"projection: {projection!r} is not perspective or orthographic")
        cameras = content.get("cameras")
        if not isinstance(cameras, list) or not 0 < len(cameras) <= MOST_VIEWS:
            raise _WrongError(f"cameras: a list of 1 to {MOST_VIEWS} cameras is needed")
        angle = _optional(content, "", "field_of_view", _angle)
        half_height = _optional(content, "", "half_height", _length)
        placed = [_camera(number, each) for number, each in enumerate(cameras, start=1)]
        text = json.dumps(content, sort_keys=True)
        return RigFile(path, text, placed, projection, angle, half_height)
    except _WrongError as error:
        raise UsageError(f"{path}: {error}") from error


def _content(path: Path) -> dict[str, Any]:
    form = path.suffix[1:].upper()
    try:
        if path.is_fifo():  # which would be waited for
            raise _WrongError("is a pipe, not a file")
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if form == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise _WrongError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _WrongError(f"is not {form}: {error}") from error
    if not isinstance(content, dict):
        raise _WrongError("a table with a list 'cameras' is needed")
    return content


def _camera(number: int, given: Any) -> Placed:
    where = f"camera {number}"
    if not isinstance(given, dict):
        raise _WrongError(
            f"{where}: a table with position, azimuth and elevation, or matrix is needed"
        )
    _known(f"{where}: ", given, CAMERA_KEYS)
    kind = next((key for key in KINDS if key in given), None)
    if kind is None:
        raise _WrongError(f"{where}: position, azimuth and elevation, or matrix is needed")
    if extra := [key for key in given if key not in KINDS[kind]]:
        raise _WrongError(f"{where}: {extra[0]}: cannot be combined with {kind}")
    if kind == "matrix":
        return Placed(matrix=_rigid(f"{where}: matrix", given["matrix"]))
    if kind == "position":
        return _looking(where, given)
    if lacking := [key for key in ("azimuth", "elevation") if key not in given]:
        raise _WrongError(f"{where}: {lacking[0]}: is needed beside {kind}")
    azimuth, elevation = (_number(f"{where}: {key}", given[key]) for key in KINDS[kind][:2])
    if abs(elevation) > 90:
        raise _WrongError(f"{where}: elevation: {elevation:g} is not from -90 to 90 degrees")
    there = direction(math.radians(azimuth), math.radians(elevation))
    distance = _optional(given, f"{where}: ", "distance", _length)
    return Placed(direction=there) if distance is None else Placed(position=there * distance)


def _looking(where: str, given: Mapping[str, Any]) -> Placed:
    position = _vector(f"{where}: position", given["position"])
    target = _optional(given, f"{where}: ", "target", _vector)
    up = _optional(given, f"{where}: ", "up", _vector)
    line = position - (np.zeros(3) if target is None else target)
    if np.linalg.norm(line) < SMALLEST:
        raise _WrongError(f"{where}: position: is at the target")
    if up is not None and np.linalg.norm(np.cross(up, line)) <= 1e-6 * float(
        np.linalg.norm(up) * np.linalg.norm(line)
    ):
        raise _WrongError(f"{where}: up: is zero, or along the line of sight")
    return Placed(position=position, target=target, up=up)


def _rigid(where: str, value: Any) -> NDArray[np.float64]:
    """The nearest rigid pose to what was typed."""
    if not isinstance(value, list) or len(value) != 4:
        raise _WrongError(f"{where}: 4 rows of 4 numbers are needed")
    matrix = np.array([_numbers(where, row, 4) for row in value])
    left, sizes, right = np.linalg.svd(matrix[:3, :3])
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > RIGID:
        raise _WrongError(f"{where}: is not rigid: its last row is not 0 0 0 1")
    if np.abs(sizes - 1).max() > RIGID:
        raise _WrongError(
            f"{where}: is not rigid: it stretches by {sizes[np.abs(sizes - 1).argmax()]:.4g}"
        )
    if np.linalg.det(matrix[:3, :3]) < 0:
        raise _WrongError(f"{where}: is not rigid: it mirrors")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = left @ right, matrix[:3, 3]
    return pose


def _known(where: str, given: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in given:
        if key not in keys:
            raise _WrongError(f"{where}no such key '{key}' (there are: {', '.join(keys)})")


def _optional(
    given: Mapping[str, Any], where: str, key: str, read: Callable[[str, Any], Any]
) -> Any:
    return read(f"{where}{key}", given[key]) if key in given else None


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongError(f"{where}: {value!r:.40} is not a number")
    if not abs(value) <= LARGEST:
        raise _WrongError(f"{where}: {value!r:.40} is not a number that can be meant")
    return float(value)


def _numbers(where: str, value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise _WrongError(f"{where}: {value!r:.40} is not a list of {count} numbers")
    return [_number(where, each) for each in value]


def _vector(where: str, value: Any) -> NDArray[np.float64]:
    return np.array(_numbers(where, value, 3))


def _length(where: str, value: Any) -> float:
    length = _number(where, value)
    if length < SMALLEST:
        raise _WrongError(f"{where}: {length:g} is not a length above zero")
    return length


def _angle(where: str, value: Any) -> float:
    degrees = _number(where, value)
    if not 1 <= degrees <= 170:
        raise _WrongError(f"{where}: {degrees:g} is not an angle from 1 to 170 degrees")
    return math.radians(degrees)
