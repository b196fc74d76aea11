"""A mesh's surface as points with its colours, for `points`. In: a mesh with colours; out: places and RGB.

Letters: N points, F faces.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Shape

STEPS = np.array([0.7548776662466927, 0.5698402909980532])
"""1 / g and 1 / g^2 with g^3 = g + 1: multiples of them, modulo 1, cover the unit square evenly from any first to any
last (the R2 sequence of Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018)."""


def colored_surface(
    shape: Shape, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]] | None:
    """Points (N, 3), mean 0 and the farthest at 1 as those of the data set, and their RGB (N, 3) in [0, 255].

    A face has its share of points by area, and they lie evenly in it: nothing is random. None: there is no surface.
    """
    assert shape.faces is not None
    corners = shape.vertices[shape.faces].astype(np.float64)  # (F, 3, 3)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    ends = np.cumsum(np.sqrt((np.cross(first, second) ** 2).sum(axis=1)))
    if not len(ends) or not ends[-1] > 0.0:
        return None
    number = np.arange(count)
    chosen = np.searchsorted(ends, (number + 0.5) / count * ends[-1], side="right")
    square = (0.5 + number[:, None] * STEPS) % 1.0
    u, v = np.where(square.sum(axis=1, keepdims=True) > 1.0, 1.0 - square, square).T
    shares = np.stack([1.0 - u - v, u, v], axis=1)[..., None]  # (N, 3, 1)
    places = (shares * corners[chosen]).sum(axis=1)
    places -= places.mean(axis=0)
    places /= np.sqrt((places**2).sum(axis=1).max()) or 1.0
    if shape.vertex_colors is not None:
        colors = (shares * shape.vertex_colors[shape.faces[chosen]]).sum(axis=1)
    else:
        assert shape.face_colors is not None
        colors = shape.face_colors[chosen].astype(np.float64)
    return places.astype(np.float32), colors
