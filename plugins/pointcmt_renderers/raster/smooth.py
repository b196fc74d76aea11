"""Smooth normals of a mesh's corners, for `raster`. In: places and faces; out: one normal for each corner of a face.

Meshes from CAD rarely share vertices between faces, nor agree on which side is out. So corners at the very same place
count as one vertex, and a neighbour's normal is turned to this face's side before it is added. Neighbours that meet at
more than CREASE stay apart: a box keeps its edges.

Letters: N vertices, F faces.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import compiled

CREASE = np.radians(40)
"""The angle between faces from which an edge is sharp; 30 is Blender's default, and leaves 12-sided pipes faceted."""
MANY = 256
"""Where more faces than this meet, each keeps its own normal: the time would grow with their number squared."""


def corner_normals(
    places: NDArray[np.float32], faces: NDArray[np.uint32], planes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(F, 3, 3), by face and not by number, unit normals on the side of the face's own.

    `places` are (3, N), `planes` (4, 1 + F) those of `face_planes`. Weighted by the face's angle at the corner
    (Thürmer and Wüthrich, Journal of Graphics Tools 1998), which does not depend on how a surface is cut in triangles.
    """
    order = np.lexsort(places)
    starts = np.any(np.diff(places[:, order], axis=1, prepend=np.nan) != 0, axis=0)
    vertices = np.empty(places.shape[1], np.int64)
    vertices[order] = np.cumsum(starts) - 1
    welded = vertices[faces].ravel()
    corners = np.argsort(welded, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(welded))]).astype(np.int64)
    own = np.ascontiguousarray(planes[:3, :0:-1].T)
    normals = np.empty((len(faces), 3, 3), np.float32)
    sum_neighbours(places, faces, own, corners, bounds, float(np.cos(CREASE)), normals)
    return normals


@compiled(error_model="numpy")
def angle(places: NDArray[np.float32], a: int, b: int, c: int) -> float:
    """Between the edges from place a to b and to c, in radians; 0 where one has no length."""
    ux, vx = np.float64(places[0, b]) - places[0, a], np.float64(places[0, c]) - places[0, a]
    uy, vy = np.float64(places[1, b]) - places[1, a], np.float64(places[1, c]) - places[1, a]
    uz, vz = np.float64(places[2, b]) - places[2, a], np.float64(places[2, c]) - places[2, a]
    lengths = np.sqrt((ux * ux + uy * uy + uz * uz) * (vx * vx + vy * vy + vz * vz))
    if lengths == 0.0:
        return 0.0
    return float(np.arccos(min(max((ux * vx + uy * vy + uz * vz) / lengths, -1.0), 1.0)))


@compiled(error_model="numpy")
def sum_neighbours(
    places: NDArray[np.float32],
    faces: NDArray[np.uint32],
    own: NDArray[np.float32],
    corners: NDArray[np.int64],
    bounds: NDArray[np.int64],
    crease: float,
    normals: NDArray[np.float32],
) -> None:
    """Fill `normals` (F, 3, 3) from the faces' `own` (F, 3).

    `corners` lists face * 3 + corner vertex by vertex, and those of vertex v from bounds[v] to bounds[v + 1].
    """
    angles = np.empty((faces.shape[0], 3))
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        angles[face, 0] = angle(places, a, b, c)
        angles[face, 1] = angle(places, b, c, a)
        angles[face, 2] = angle(places, c, a, b)
    for vertex in range(bounds.shape[0] - 1):
        first, last = bounds[vertex], bounds[vertex + 1]
        for index in range(first, last):
            face, corner = corners[index] // 3, corners[index] % 3
            x, y, z = own[face, 0], own[face, 1], own[face, 2]
            sx, sy, sz = 0.0, 0.0, 0.0
            for other in range(first, last if last - first <= MANY else first):
                neighbour = corners[other] // 3
                u, v, w = own[neighbour, 0], own[neighbour, 1], own[neighbour, 2]
                cosine = x * u + y * v + z * w
                if abs(cosine) >= crease:
                    weight = angles[neighbour, corners[other] % 3]
                    weight = -weight if cosine < 0.0 else weight
                    sx, sy, sz = sx + weight * u, sy + weight * v, sz + weight * w
            length = np.sqrt(sx * sx + sy * sy + sz * sz)
            bent = length > 0.0
            normals[face, corner, 0] = sx / length if bent else x
            normals[face, corner, 1] = sy / length if bent else y
            normals[face, corner, 2] = sz / length if bent else z
