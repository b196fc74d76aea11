"""Camera rigs: where the views of a shape are taken from. In: a rig's name or file; out: `Cameras`.

The shape sits at the origin in the unit sphere, z up. Cameras follow OpenGL: they look along their own -z, +y is up in
the image. Row 0 of an image is its top. All cameras of a rig are perspective, or all orthographic.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import Projection
from pointcmt_cli.data.cameras import from_file, named
from pointcmt_cli.errors import UsageError

FIELD_OF_VIEW = np.pi / 4
"""Vertical and horizontal, radians."""
MARGIN = 0.02
"""Of the unit sphere's radius, between the sphere and the image's border."""


def distance(field_of_view: float, margin: float) -> float:
    """From the origin to a camera that has the whole unit sphere inside its image, and `margin` around it."""
    return float((1 + margin) / np.sin(field_of_view / 2))


DISTANCE = distance(FIELD_OF_VIEW, MARGIN)


@dataclass(frozen=True)
class Cameras:
    """V cameras with square images, all perspective or all orthographic.

    >>> rig = cameras("mvcnn12", size=224)
    >>> rig.views, rig.matrices.shape  # world to pixels
    (12, (12, 3, 4))
    """

    name: str
    """The rig's, or the content of its file as JSON."""
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
    def projection(self) -> Projection:
        """What `orthographic` says, as a word."""
        return "orthographic" if self.orthographic else "perspective"

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

    def shape(self, color: bool) -> tuple[int, ...]:
        """Of one shape's images: (V, H, W), or (V, H, W, 3)."""
        return (self.views, self.size, self.size, *([3] if color else []))

    @property
    def world_to_camera(self) -> NDArray[np.float64]:
        """(V, 4, 4) inverse poses."""
        inverse = np.zeros_like(self.poses)
        inverse[:, :3, :3] = self.poses[:, :3, :3].transpose(0, 2, 1)
        inverse[:, :3, 3] = -np.einsum("vij,vj->vi", inverse[:, :3, :3], self.poses[:, :3, 3])
        inverse[:, 3, 3] = 1.0
        return inverse


def look_at(
    positions: NDArray[np.float64],
    targets: NDArray[np.float64] | None = None,
    ups: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Camera-to-world poses (V, 4, 4) at positions (V, 3), looking at targets (V, 3); None: at the origin.

    `ups` (V, 3) point up in the image, none of them along its line of sight; None: z, or y where one looks along z.
    """
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    for view, (pose, position) in enumerate(zip(poses, positions, strict=True)):
        back = position - (0 if targets is None else targets[view])
        back = back / np.linalg.norm(back)
        if ups is not None:
            up = ups[view]
        else:
            up = np.array([0.0, 1.0, 0.0]) if abs(back[2]) > 0.999 else np.array([0.0, 0.0, 1.0])
        right = np.cross(up, back)
        right /= np.linalg.norm(right)
        pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
        pose[:3, 3] = position
    return poses


def cameras(
    rig: str, size: int, projection: Projection | None = None, margin: float | None = None
) -> Cameras:
    """The rig of that name, or of that TOML or JSON file, with images of `size` x `size` pixels.

    `projection` None: perspective, or what the file says. `margin` None: MARGIN; it places the cameras whose distance
    nobody gives, and sets the image of orthographic ones.
    """
    if rig.lower().endswith(from_file.ENDINGS):
        return _from_file(from_file.read(Path(rig)), size, projection, margin)
    name = named.canonical(rig)
    room = MARGIN if margin is None else margin
    poses = look_at(named.directions(name) * distance(FIELD_OF_VIEW, room))
    half_height = 1 + room if projection == "orthographic" else None
    return Cameras(name, poses, size, half_height=half_height)


def _from_file(
    rig: from_file.RigFile, size: int, asked: Projection | None, margin: float | None
) -> Cameras:
    """A file's cameras; what the command line says must not contradict it, nor go to waste."""
    if asked and rig.projection and asked != rig.projection:
        raise UsageError(
            f"--projection {asked}: {rig.path} says {rig.projection}; change one of them"
        )
    projection = asked or rig.projection or "perspective"
    orthographic = projection == "orthographic"
    idle, value = (
        ("field_of_view", rig.field_of_view) if orthographic else ("half_height", rig.half_height)
    )
    if value is not None:
        raise UsageError(f"{rig.path}: {idle}: cannot be combined with {projection} cameras")
    placed_by_margin = any(camera.direction is not None for camera in rig.cameras)
    if orthographic:
        placed_by_margin = rig.half_height is None
    if margin is not None and not placed_by_margin:
        raise UsageError(f"--margin {margin:g}: {rig.path} says itself where every camera stands")
    room = MARGIN if margin is None else margin
    field_of_view = rig.field_of_view or float(FIELD_OF_VIEW)
    away = distance(field_of_view, room)
    poses = np.stack([_pose(camera, away) for camera in rig.cameras])
    half_height = (rig.half_height or 1 + room) if orthographic else None
    return Cameras(rig.text, poses, size, field_of_view, half_height)


def _pose(camera: from_file.Placed, away: float) -> NDArray[np.float64]:
    """(4, 4) of one camera; `away` is the distance of one that names none."""
    if camera.matrix is not None:
        return camera.matrix
    position = camera.direction * away if camera.direction is not None else camera.position
    assert position is not None
    target = None if camera.target is None else camera.target[None]
    up = None if camera.up is None else camera.up[None]
    pose: NDArray[np.float64] = look_at(position[None], target, up)[0]
    return pose
