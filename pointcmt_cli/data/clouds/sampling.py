"""Points of a shape. In: a `Shape`; out: (count, 3) float32 in the unit sphere, the same bytes every time.

The random numbers depend on the shape's name alone, and are only ever drawn as uniform doubles (PCG64), the one stream
that numpy has kept stable: the same input gives the same points in every process and at every number of workers.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.geometry import face_areas, into_unit_sphere, sides
from pointcmt_cli.data.shape import Shape

Array = NDArray[np.float64]


def sample_points(shape: Shape, count: int) -> NDArray[np.float32]:
    """Draw points (count, 3): mean 0, the farthest at distance 1 (the field's `pc_normalize`).

    Meshes: uniformly by area. Clouds: a random subset of their points, or, where they have fewer, all of them once
    and then random repeats (`available` tells how many are none). Always in random order, so that the first few are a
    fair cloud too.
    """
    generator = _generator(shape.name)
    if shape.faces is None:
        points = _from_cloud(shape.vertices, count, generator)
    else:
        points = _from_mesh(shape.vertices, shape.faces, count, generator)
    return into_unit_sphere(points, points.mean(axis=0))[0]


def available(clouds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of each stored cloud (S, P, 3), how many points its source gave: P, or those before the repeats that fill it up.

    Found by looking, so of files of any age; a repeat is its point to the last bit.
    """
    return np.array([_available(cloud) for cloud in clouds], np.int64)


def is_filled(clouds: NDArray[np.float32]) -> bool:
    """Whether one of them ends in a repeat, which costs little to see."""
    return any(_ends_in_repeat(cloud) for cloud in clouds)


def _available(cloud: NDArray[np.float32]) -> int:
    if not _ends_in_repeat(cloud):
        return len(cloud)
    rows = np.ascontiguousarray(cloud).view(f"V{cloud.strides[0]}").ravel()
    _, first = np.unique(rows, return_index=True)
    return int(first.max()) + 1


def _ends_in_repeat(cloud: NDArray[np.float32]) -> bool:
    return bool((cloud[:-1] == cloud[-1]).all(axis=1).any())


def _generator(name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"points/{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _from_mesh(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    count: int,
    generator: np.random.Generator,
) -> Array:
    """Each point: a triangle by area, then a place in it by the folded unit square."""
    random = generator.random((count, 3))
    ends = np.cumsum(face_areas(vertices, faces))
    chosen = np.searchsorted(ends, random[:, 0] * ends[-1], side="right")
    corner, second, third = sides(vertices, faces[np.minimum(chosen, len(faces) - 1)])
    u, v = random[:, 1], random[:, 2]
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return np.ascontiguousarray((corner + u * second + v * third).T)


def _from_cloud(vertices: NDArray[np.float32], count: int, generator: np.random.Generator) -> Array:
    available = len(vertices)
    chosen = np.argsort(generator.random(available), kind="stable")[:count]
    if available < count:
        repeats = (generator.random(count - available) * available).astype(np.int64)
        chosen = np.concatenate([chosen, repeats])
    return vertices[chosen].astype(np.float64)
