"""Where a shape is brought to and how each camera sees it there, for `raster`. In: a rig; out: matrices and limits.

Vertices are brought into the unit sphere unless they fill it already: depths, limits and rounding are then the same
for every size of shape. Letters: N vertices, V views.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Shape
from pointcmt_renderers.raster.kernels import farthest

NEAR = 1e-3
"""Nothing is drawn nearer to a camera than this share of the shape's radius."""
ROOM = 0.25
"""Pixels that a vertex may lie outside the image unclipped: no centre is nearer to the border than half a pixel."""


@dataclass(frozen=True)
class Frame:
    """Where the shape's unit sphere is: place = (vertex - centre) / unit."""

    places: NDArray[np.float32]
    """(3, N), no farther than `radius` from 0."""
    centre: NDArray[np.float64]
    """(3,) in the shape's units."""
    unit: float
    """In the shape's units."""
    radius: float


def frame(shape: Shape) -> Frame:
    """The shape as it is where its radius is about 1, as a Shape's is; else in the unit sphere around its box."""
    vertices, centre, unit = np.asarray(shape.vertices, np.float32), np.zeros(3), 1.0
    squared, total = farthest(vertices, centre)
    if not np.isfinite(total):
        raise PointCMTError(
            f"{shape.name}: a vertex is not finite; repair the mesh before drawing it"
        )
    if not 0.25 <= squared <= 4.0 and len(vertices):
        corners = np.stack([vertices.min(0), vertices.max(0)]).astype(np.float64)
        centre = corners.mean(0)
        unit = float(np.sqrt(farthest(vertices, centre)[0])) or 1.0
        vertices = ((vertices - centre) / unit).astype(np.float32)
        squared = 1.0
    return Frame(np.ascontiguousarray(vertices.T), centre, unit, float(np.sqrt(squared)))


@dataclass(frozen=True)
class Lenses:
    """V cameras in a shape's frame. Depth is along the line of sight, nearness linear on the screen: 1 to 0."""

    matrices: NDArray[np.float64]
    """(V, 4, 4): a place and 1 -> column * w, row * w, nearness * w, w."""
    eyes: NDArray[np.float32]
    """(V, 4) where each view is seen from: a point and 1, or a direction and 0."""
    away: NDArray[np.float64]
    """(V,) depth of the frame's middle."""
    nearest: NDArray[np.float64]
    """(V,) depth of nearness 1."""
    farthest: NDArray[np.float64]
    """(V,) depth of nearness 0."""
    contained: NDArray[np.bool_]
    """(V,) whether no vertex needs clipping."""
    orthographic: bool

    def depths(self, view: int, nearness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of nearness in a view."""
        nearest, farthest = self.nearest[view], self.farthest[view]
        if self.orthographic:
            return np.asarray(farthest - nearness * (farthest - nearest))
        return np.asarray(farthest / (1 + nearness * (farthest - nearest) / nearest))


def lenses(cameras: Cameras, frame: Frame) -> Lenses:
    """The cameras of a rig as the shape's frame sees them."""
    image, local = cameras.matrices, cameras.world_to_camera[:, :3]
    for rows in (image, local):  # (x, 1) = (unit * place + centre, 1), and all divided by the unit
        rows[:, :, 3] = (rows[:, :, 3] + rows[:, :, :3] @ frame.centre) / frame.unit
    away, w = -local[:, 2], image[:, 2]
    reach = 1.001 * frame.radius
    nearest = np.maximum(away[:, 3] - reach, NEAR)
    furthest = np.maximum(away[:, 3] + reach, nearest + NEAR)
    slope = 1 / (furthest - nearest)
    slope *= 1 / frame.unit if cameras.orthographic else nearest
    near = -away * slope[:, None]
    near[:, 3] += furthest * slope
    eyes = np.zeros((cameras.views, 4))
    if cameras.orthographic:
        eyes[:, :3] = cameras.poses[:, :3, 2]
    else:
        eyes[:, :3] = (cameras.poses[:, :3, 3] - frame.centre) / frame.unit
        eyes[:, 3] = 1.0
    half = (0.5 * cameras.size + ROOM) / cameras.scale
    if cameras.orthographic:
        room = half / frame.unit - frame.radius
    else:
        room = half * away[:, 3] - frame.radius * np.sqrt(1 + half * half)
    beside = np.abs(local[:, :2, 3]).max(1)
    return Lenses(
        np.stack([image[:, 0], image[:, 1], near, w], axis=1),
        eyes.astype(np.float32),
        away[:, 3],
        nearest,
        furthest,
        (beside <= room) & (away[:, 3] - frame.radius >= NEAR),
        cameras.orthographic,
    )
