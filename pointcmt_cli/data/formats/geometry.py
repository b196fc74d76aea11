"""What a file says before it is a `Shape`: vertices, triangles and colours as they stand; what the mesh readers share.

Colours become RGB uint8 here, whichever way a format writes them: 0 to 1, 0 to 255 or 0 to 65535.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.text import UnreadableError

GRAY = 200
"""Of what has no colour in a file where others have one."""


@dataclass(frozen=True)
class Geometry:
    """Not normalised, not checked beyond the indices."""

    vertices: NDArray[Any]
    """(N, 3)."""
    faces: NDArray[np.int64] | None = None
    """(F, 3), every index valid; None for a cloud."""
    vertex_colors: NDArray[np.uint8] | None = None
    """(N, 3) RGB."""
    face_colors: NDArray[np.uint8] | None = None
    """(F, 3) RGB; never together with `vertex_colors`."""


def checked_faces(faces: NDArray[Any], vertices: int) -> NDArray[np.int64]:
    """Indices (F, 3), or (F, k) of polygons, as int64 when each is a whole number below `vertices`."""
    indices = faces.astype(
        np.int64
    )  # what is no integer, or not finite, differs from what it becomes
    wrong = (indices != faces) | (indices < 0) | (indices >= vertices)
    if wrong.any():
        first = float(faces[wrong][0])
        shown = f"{first:.0f}" if first.is_integer() and abs(first) < 1e15 else f"{first:g}"
        raise UnreadableError(
            f"a face refers to vertex {shown}, but they are numbered 0 to {vertices - 1}"
        )
    return indices


def fans(polygons: list[tuple[NDArray[np.int64], NDArray[Any]]], vertices: int) -> Any:
    """Triangles (F, 3) of polygons, and for each the polygon (F,) that it is cut from; points and edges give none.

    In: for each number k of corners the polygons' numbers (P,) and their indices (P, k). Sorted as they come in, and
    within one k first all first triangles, then all second ones.
    """
    triangles, owners = [np.empty((0, 3), np.int64)], [np.empty(0, np.int64)]
    for numbers, corners in polygons:
        if corners.shape[1] > 2:
            indices = checked_faces(corners, vertices).T
            first = np.broadcast_to(indices[0], indices[2:].shape)
            parts = np.stack([first, indices[1:-1], indices[2:]], axis=2)  # (k - 2, P, 3)
            triangles.append(parts.reshape(-1, 3))
            owners.append(np.tile(numbers, len(parts)))
    return np.concatenate(triangles), np.concatenate(owners)


def as_rgb(values: NDArray[Any], whole: bool = False) -> NDArray[np.uint8]:
    """Colours (N, 3) uint8 of columns (N, 3 and more): 0 to 1, unless `whole` says that they are integers, 0 to 255, or
    0 to 65535.
    """
    colors = values[:, :3].astype(np.float64)
    if not (np.isfinite(colors).all() and colors.min(initial=0) >= 0):
        raise UnreadableError("a colour is negative or not a number")
    most = colors.max(initial=0)
    if most > 65535:
        raise UnreadableError(f"has a colour of {most:g}, which is more than 65535")
    scale = 255.0 if most <= 1 and not whole else 1.0 if most <= 255 else 1 / 257
    return (colors * scale).round().astype(np.uint8)


def join(parts: list[Geometry]) -> Geometry:
    """One mesh of several; colours of faces stay only where it is one."""
    if len(parts) == 1:
        return parts[0]
    colors = None
    if any(part.vertex_colors is not None for part in parts):
        colors = np.concatenate([_or_gray(part) for part in parts])
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)]).tolist()
    faces = [np.empty((0, 3), np.int64)]
    for part, start in zip(parts, starts, strict=False):
        if part.faces is not None:
            faces.append(part.faces + start)
    vertices = np.concatenate([np.empty((0, 3)), *(part.vertices for part in parts)])
    return Geometry(vertices, np.concatenate(faces), colors)


def _or_gray(part: Geometry) -> NDArray[np.uint8]:
    if part.vertex_colors is None:
        return np.full((len(part.vertices), 3), GRAY, np.uint8)
    return part.vertex_colors
