"""What `points` draws and how, before any engine sees it. In: a shape, cameras, options; out: plain arrays.

Letters: N points, V views.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pointcmt_cli.api import Cameras, Shape
from pointcmt_renderers.points.surface import colored_surface

Shading = Literal["depth", "lambert", "silhouette"]
POINTS = 2048
"""Of a mesh with colours and without points."""


@dataclass(frozen=True)
class Look:
    """The options that decide on a point's gray and on how it is spread, for one image size."""

    shading: Shading
    levels: tuple[float, float]
    """In [0, 1]: near and far of the unit sphere for depth; ambient and diffuse for lambert."""
    light: NDArray[np.float64]
    """(3,) the unit direction towards it in camera axes."""
    neighbours: int
    color: bool
    side: int
    """Of a point's square, in pixels."""
    sharpness: float

    @property
    def power(self) -> tuple[int, float]:
        """`sharpness` as a whole number, which every machine raises to alike, and the rest."""
        whole = int(self.sharpness)
        return whole, self.sharpness - whole


@dataclass(frozen=True)
class Scene:
    """A cloud and the cameras around it."""

    cloud: NDArray[np.float32]
    """(N, 3)"""
    normals: NDArray[np.float64] | None
    """(N, 3) unit vectors of either sign; None where the shading needs none."""
    colors: NDArray[np.float64] | None
    """(3, N) RGB in [0, 1], where there are any and they are drawn."""
    matrices: NDArray[np.float64]
    """(V, 3, 4): (x, y, z, 1) -> column * w, row * w, depth; w is 1 for parallel lines of sight, else depth."""
    parallel: bool
    nearest: NDArray[np.float64]
    """(V,) depth at which the unit sphere begins."""
    sights: NDArray[np.float64]
    """(V, 4) the camera's place and 1, or for parallel lines of sight the direction towards it and 0."""
    lights: NDArray[np.float64]
    """(V, 3) unit directions towards the light."""


def scene(shape: Shape, cameras: Cameras, look: Look) -> Scene:
    """See `_cloud_of` for what is drawn."""
    cloud, colors = _cloud_of(shape, look.color)
    poses, matrices = cameras.poses, cameras.matrices
    if cameras.orthographic:
        matrices[:, 2] = -cameras.world_to_camera[:, 2]
    toward = poses[:, :3, 2] if cameras.orthographic else poses[:, :3, 3]
    last = np.full((cameras.views, 1), 0.0 if cameras.orthographic else 1.0)
    return Scene(
        cloud=cloud,
        normals=estimated_normals(cloud, look.neighbours) if look.shading == "lambert" else None,
        colors=None if colors is None else np.ascontiguousarray(colors.T / 255.0),
        matrices=matrices,
        parallel=cameras.orthographic,
        nearest=matrices[:, 2, 3] - 1.0,
        sights=np.concatenate([toward, last], axis=1),
        lights=poses[:, :3, :3] @ look.light,
    )


def _cloud_of(
    shape: Shape, color: bool
) -> tuple[NDArray[np.float32], NDArray[np.floating[Any] | np.uint8] | None]:
    """Points (N, 3), and RGB (N, 3) in [0, 255] where they are wanted and the shape has some.

    A cloud whole. A mesh by its points, or by its vertices where it has none; in colour by as many points of its
    surface (POINTS where it has none), framed alike: its own points no longer tell which faces they came from.
    """
    if color and shape.faces is not None and _has_colors(shape):
        found = colored_surface(shape, POINTS if shape.points is None else len(shape.points))
        if found is not None:
            return found
    colors = shape.vertex_colors if color else None
    whole = colors is not None or shape.faces is None or shape.points is None
    return np.ascontiguousarray(shape.vertices if whole else shape.points, np.float32), colors


def _has_colors(shape: Shape) -> bool:
    return shape.vertex_colors is not None or shape.face_colors is not None


def estimated_normals(cloud: NDArray[np.float32], neighbours: int) -> NDArray[np.float64]:
    """(N, 3) unit normals of either sign: of the plane nearest to a point's `neighbours` nearest, itself included.

    After Hoppe et al. (SIGGRAPH 1992, section 3.2): the eigenvector of the least eigenvalue of their covariance. Which
    side is meant is left to the camera: a scan is seen from outside.
    """
    places = cloud.astype(np.float64)
    count = min(neighbours, len(cloud))
    _, near = cKDTree(places).query(places, count)
    around = places[near.reshape(len(cloud), count)]  # (N, k, 3)
    around -= around.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    return np.ascontiguousarray(vectors[:, :, 0])
