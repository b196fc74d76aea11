"""Camera rigs: where the views of a shape are taken from. In: a rig's name; out: camera-to-world poses.

The shape sits at the origin in the unit sphere, z up. Cameras follow OpenGL: they look along their own -z, +y is up in
the image. Row 0 of an image is its top.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.errors import UsageError

FIELD_OF_VIEW = np.pi / 4
"""Vertical and horizontal, radians."""
DISTANCE = 1.02 / np.sin(FIELD_OF_VIEW / 2)
"""From the origin, so that the whole unit sphere is inside the image with 2 % of margin."""


@dataclass(frozen=True)
class Cameras:
    """V cameras with square images, all perspective or all orthographic."""

    name: str
    poses: NDArray[np.float64]
    """(V, 4, 4) camera-to-world, rigid."""
    size: int
    """Height and width in pixels."""
    field_of_view: float = float(FIELD_OF_VIEW)
    """Of perspective cameras: vertical and horizontal, radians."""
    half_height: float | None = None
    """Of orthographic cameras: from the image's middle to its border, in the shape's units; None: perspective."""

    @property
    def views(self) -> int:
        """V."""
        return len(self.poses)

    @property
    def orthographic(self) -> bool:
        """Whether lines of sight are parallel."""
        return self.half_height is not None

    @property
    def scale(self) -> float:
        """Focal length in pixels of perspective cameras; pixels per unit of orthographic ones."""
        if self.half_height is not None:
            return 0.5 * self.size / self.half_height
        return float(0.5 * self.size / np.tan(0.5 * self.field_of_view))

    @property
    def matrices(self) -> NDArray[np.float64]:
        """(V, 3, 4): (x, y, z, 1) -> (column * w, row * w, w), in pixels from the image's upper left corner."""
        x, y, z, one = self.world_to_camera.transpose(1, 0, 2)
        w = one if self.orthographic else -z
        middle = 0.5 * self.size
        return np.stack([self.scale * x + middle * w, -self.scale * y + middle * w, w], axis=1)

    @property
    def world_to_camera(self) -> NDArray[np.float64]:
        """(V, 4, 4) inverse poses."""
        inverse = np.zeros_like(self.poses)
        inverse[:, :3, :3] = self.poses[:, :3, :3].transpose(0, 2, 1)
        inverse[:, :3, 3] = -np.einsum("vij,vj->vi", inverse[:, :3, :3], self.poses[:, :3, 3])
        inverse[:, 3, 3] = 1.0
        return inverse


def look_at(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Camera-to-world poses (V, 4, 4) at positions (V, 3), looking at the origin, z up (y up when above a pole)."""
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    for pose, position in zip(poses, positions, strict=True):
        back = position / np.linalg.norm(position)
        up = np.array([0.0, 1.0, 0.0]) if abs(back[2]) > 0.999 else np.array([0.0, 0.0, 1.0])
        right = np.cross(up, back)
        right /= np.linalg.norm(right)
        pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
        pose[:3, 3] = position
    return poses


def circle(views: int, elevation: float) -> NDArray[np.float64]:
    """Unit directions (V, 3), evenly spaced around z at an elevation in radians."""
    azimuth = 2 * np.pi * np.arange(views) / views
    return np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.full(views, np.sin(elevation)),
        ],
        axis=1,
    )


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


def cameras(name: str, size: int) -> Cameras:
    """The rig of that name with images of `size` x `size` pixels."""
    if name not in RIGS:
        raise UsageError(f"no rig named '{name}' (there are: {', '.join(RIGS)})")
    return Cameras(name, look_at(RIGS[name]() * DISTANCE), size)
