"""Rigs by name: the unit directions in which the cameras stand. In: a rig's name; out: directions (V, 3).

`circle:N@ELEVATION` and `sphere:N` are families; N is the number of views.
"""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.errors import UsageError

ELEVATION = 30.0
"""Degrees, of a `circle:N` that names none: MVCNN's."""
MOST_VIEWS = 1000
KNOWN = (
    "mvcnn12, dodecahedron20, orthogonal6, circle:N@ELEVATION, sphere:N, or a .toml or .json file"
)


def canonical(name: str) -> str:
    """One spelling for each rig: `circle:8` is `circle:8@30`."""
    family, _, rest = name.partition(":")
    if family == "circle" and rest:
        count, _, elevation = rest.partition("@")
        return f"circle:{_views(name, count)}@{_elevation(name, elevation):g}"
    if family == "sphere" and rest:
        return f"sphere:{_views(name, rest)}"
    if name not in RIGS:
        raise UsageError(f"no rig named '{name}' (there are: {KNOWN})")
    return name


def directions(name: str) -> NDArray[np.float64]:
    """Unit vectors (V, 3) from the origin to the cameras of the rig with that canonical name."""
    family, _, rest = name.partition(":")
    if family == "circle":
        count, _, elevation = rest.partition("@")
        return circle(int(count), np.radians(float(elevation)))
    if family == "sphere":
        return sphere(int(rest))
    return RIGS[name]()


def direction(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """(3,) from angles in radians: azimuth from +x towards +y, elevation above the ground."""
    ground = np.cos(elevation)
    return np.array([ground * np.cos(azimuth), ground * np.sin(azimuth), np.sin(elevation)])


def circle(views: int, elevation: float) -> NDArray[np.float64]:
    """(V, 3), evenly spaced around z at an elevation in radians, the first one over +x."""
    return np.array([direction(2 * np.pi * view / views, elevation) for view in range(views)])


def sphere(views: int) -> NDArray[np.float64]:
    """(V, 3), spread evenly over the sphere from its top to its bottom: a Fibonacci lattice, each point a golden angle
    around from the one before and in the middle of its ring of equal area (Gonzalez, Math. Geosciences 42, 2010).
    """
    number = np.arange(views)
    height = 1 - (2 * number + 1) / views
    azimuth = number * np.pi * (3 - 5**0.5)
    ground = np.sqrt(1 - height**2)
    return np.stack([ground * np.cos(azimuth), ground * np.sin(azimuth), height], axis=1)


def _mvcnn12() -> NDArray[np.float64]:
    """MVCNN (Su et al., ICCV 2015, section 3.1): 12 cameras every 30 degrees, 30 degrees above the ground."""
    return circle(12, np.pi / 6)


def _dodecahedron20() -> NDArray[np.float64]:
    """RotationNet (Kanezaki et al., CVPR 2018, case ii): the 20 corners of a dodecahedron."""
    golden = (1 + 5**0.5) / 2
    signs = [-1.0, 1.0]
    corners = [(x, y, z) for x in signs for y in signs for z in signs]
    corners += [(0.0, a / golden, b * golden) for a in signs for b in signs]
    corners += [(a / golden, b * golden, 0.0) for a in signs for b in signs]
    corners += [(b * golden, 0.0, a / golden) for a in signs for b in signs]
    return np.array(corners, np.float64) / 3**0.5


def _orthogonal6() -> NDArray[np.float64]:
    """SimpleView (Goyal et al., ICML 2021, section 4): along both directions of every axis."""
    return np.concatenate([np.eye(3), -np.eye(3)])


RIGS: dict[str, Callable[[], NDArray[np.float64]]] = {
    "mvcnn12": _mvcnn12,
    "dodecahedron20": _dodecahedron20,
    "orthogonal6": _orthogonal6,
}


def _views(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_VIEWS:
        raise UsageError(f"rig '{name}': '{text}' is not a number of views from 1 to {MOST_VIEWS}")
    return int(text)


def _elevation(name: str, text: str) -> float:
    if not text and not name.endswith("@"):
        return ELEVATION
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", text) or abs(float(text)) > 90:
        raise UsageError(f"rig '{name}': '{text}' is not an elevation from -90 to 90 degrees")
    return float(text)
