"""What the renderers' tests share: shapes out of lists, cameras out of directions, and a slow ray caster."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from pointcmt_cli.data.cameras.rigs import DISTANCE, Cameras, look_at
from pointcmt_cli.data.shape import Shape

SQUARE = [[0, 1, 2], [0, 2, 3]]
NOTHING = -1


def shape(vertices: Any, faces: Any = None, name: str = "test/shape") -> Shape:
    faces = None if faces is None else np.asarray(faces, np.int32).reshape(-1, 3)
    return Shape(name, np.asarray(vertices, np.float32), faces)


def mesh(solid: trimesh.Trimesh) -> Shape:
    return shape(solid.vertices, solid.faces)


def from_direction(
    direction: Any,
    size: int = 64,
    distance: float = float(DISTANCE),
    half_height: float | None = None,
) -> Cameras:
    there = np.asarray(direction, np.float64)
    pose = look_at(there[None] / np.linalg.norm(there) * distance)
    return Cameras("one", pose, size, half_height=half_height)


def focal(rig: Cameras) -> float:
    return 0.5 * rig.size / np.tan(0.5 * rig.field_of_view)


def square(z: float, half: float = 0.5) -> NDArray[np.float64]:
    return np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])


def triangles(seed: int, count: int = 20) -> Shape:
    """Random ones with shared corners, in the unit sphere."""
    random = np.random.default_rng(seed)
    faces = random.permuted(np.tile(np.arange(30), (count, 1)), axis=1)[:, :3]
    return shape(random.uniform(-0.57, 0.57, (30, 3)), faces)


def rays(rig: Cameras) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts and directions (H, W, 3), of length 1 along the line of sight, in the first view."""
    steps = (np.arange(rig.size) + 0.5 - 0.5 * rig.size) / rig.scale
    right, up = np.meshgrid(steps, -steps)
    nothing, one = np.zeros_like(right), np.ones_like(right)
    start, along = np.stack([nothing] * 3, -1), np.stack([right, up, -one], -1)
    if rig.orthographic:
        start, along = np.stack([right, up, nothing], -1), np.stack([nothing, nothing, -one], -1)
    turn = rig.poses[0, :3, :3].T
    return start @ turn + rig.poses[0, :3, 3], along @ turn


@dataclass(frozen=True)
class Hits:
    """What the rays of one view meet."""

    seen: NDArray[np.int64]
    """(H, W) the nearest face, or NOTHING."""
    depth: NDArray[np.float64]
    """(H, W) along the line of sight, or infinite."""
    shares: NDArray[np.float64]
    """(H, W, 3) of the face's corners at the place that is met."""
    doubtful: NDArray[np.bool_]
    """(H, W) where rounding may decide."""


def ray_cast(drawn: Shape, rig: Cameras, near: float = 1e-3) -> Hits:
    """Every ray against every face."""
    assert drawn.faces is not None
    start, along = rays(rig)
    depth = np.full(along.shape[:2], np.inf)
    seen = np.full(along.shape[:2], NOTHING)
    shares = np.zeros(along.shape)
    doubtful = np.zeros(along.shape[:2], bool)
    for number, (a, b, c) in enumerate(drawn.vertices[drawn.faces].astype(np.float64)):
        system = np.stack(
            [np.broadcast_to(b - a, along.shape), np.broadcast_to(c - a, along.shape), -along], -1
        )
        second, third, distance = np.moveaxis(
            np.linalg.solve(system, (start - a)[..., None])[..., 0], -1, 0
        )
        share = np.stack([1 - second - third, second, third], -1)
        hit = (share >= 0).all(-1) & (distance > near)
        doubtful |= np.abs(share.min(-1)) < 1e-3
        doubtful |= hit & (np.abs(distance - depth) < 1e-4)
        nearer = hit & (distance < depth)
        depth[nearer], seen[nearer], shares[nearer] = distance[nearer], number, share[nearer]
    return Hits(seen, depth, shares, doubtful)


def face_normals(drawn: Shape) -> NDArray[np.float64]:
    """(F, 3) of length 1."""
    corners = drawn.vertices[drawn.faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))
