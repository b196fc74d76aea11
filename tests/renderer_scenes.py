"""Scenes that the renderers' tests share: shapes out of lists, cameras out of directions."""

from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from pointcmt_cli.data.rigs import DISTANCE, Cameras, look_at
from pointcmt_cli.data.shape import Shape

SQUARE = [[0, 1, 2], [0, 2, 3]]


def shape(vertices: Any, faces: Any = None, name: str = "test/shape") -> Shape:
    faces = None if faces is None else np.asarray(faces, np.int32).reshape(-1, 3)
    return Shape(name, np.asarray(vertices, np.float32), faces)


def mesh(solid: trimesh.Trimesh) -> Shape:
    return shape(solid.vertices, solid.faces)


def from_direction(direction: Any, size: int = 64, distance: float = float(DISTANCE)) -> Cameras:
    there = np.asarray(direction, np.float64)
    return Cameras("one", look_at(there[None] / np.linalg.norm(there) * distance), size)


def focal(rig: Cameras) -> float:
    return 0.5 * rig.size / np.tan(0.5 * rig.field_of_view)


def square(z: float, half: float = 0.5) -> NDArray[np.float64]:
    return np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
