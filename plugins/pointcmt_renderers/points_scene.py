"""What `points` draws and how, before any engine sees it. In: a shape, cameras, options; out: plain arrays.

Letters: N points, V views.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pointcmt_cli.api import Cameras, Shape

Shading = Literal["depth", "lambert", "silhouette"]


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
    """A cloud whole, a mesh by its points; by its vertices where it has none or they have the colours."""
    colored = look.color and shape.vertex_colors is not None
    whole = colored or shape.faces is None or shape.points is None
    cloud = np.ascontiguousarray(shape.vertices if whole else shape.points, np.float32)
    poses, matrices = cameras.poses, cameras.matrices
    if cameras.orthographic:
        matrices[:, 2] = -cameras.world_to_camera[:, 2]
    toward = poses[:, :3, 2] if cameras.orthographic else poses[:, :3, 3]
    last = np.full((cameras.views, 1), 0.0 if cameras.orthographic else 1.0)
    return Scene(
        cloud=cloud,
        normals=estimated_normals(cloud, look.neighbours) if look.shading == "lambert" else None,
        colors=_shares(shape.vertex_colors) if colored else None,
        matrices=matrices,
        parallel=cameras.orthographic,
        nearest=matrices[:, 2, 3] - 1.0,
        sights=np.concatenate([toward, last], axis=1),
        lights=poses[:, :3, :3] @ look.light,
    )


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


def _shares(colors: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    assert colors is not None
    return np.ascontiguousarray(colors.T / 255.0)
