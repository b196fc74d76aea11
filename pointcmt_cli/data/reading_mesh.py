"""Read a mesh file of any kind. In: bytes and the ending; out: vertices (V, 3) float64, faces (F, 3), as they stand.

.off has its own fast reader; the rest is trimesh's work, behind checks that the file can hold what its header promises.
Materials, textures and whatever lies in other files are never looked at.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pointcmt_cli.data.reading_glb import check_glb
from pointcmt_cli.data.reading_off import Mesh, read_off
from pointcmt_cli.data.reading_ply import check_ply
from pointcmt_cli.data.reading_text import MAX_FACES, MAX_POINTS, UnreadableError

_STL_HEADER, _STL_FACE = 84, 50


def read_mesh(data: bytes, ending: str) -> Mesh:
    """Vertices and triangles of .off, .obj, .ply, .stl or .glb."""
    if ending == ".off":
        return read_off(data)
    if ending in _CHECKS:
        _CHECKS[ending](data)
    return merge(load_scene(data, ending))


def load_scene(data: bytes, ending: str) -> Any:
    """trimesh's scene of a file; whatever goes wrong in there is an UnreadableError."""
    import trimesh

    options = {"skip_materials": True} if ending in (".obj", ".glb") else {}
    try:
        with _quiet():
            return trimesh.load_scene(
                io.BytesIO(data), file_type=ending[1:], process=False, **options
            )
    except Exception as error:  # trimesh raises whatever its parsers ran into
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UnreadableError(f"damaged, or not {ending} at all ({reason})") from error


def merge(scene: Any) -> Mesh:
    """All meshes of a scene at their places."""
    vertices, faces, total = [np.empty((0, 3))], [np.empty((0, 3), np.int64)], 0
    with _quiet():
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            mesh = scene.geometry[name]
            if len(getattr(mesh, "faces", ())) == 0:
                continue
            points = np.asarray(mesh.vertices, np.float64)
            if points.ndim != 2 or points.shape[1] != 3:
                raise UnreadableError("its vertices do not have 3 coordinates")
            vertices.append(points @ transform[:3, :3].T + transform[:3, 3])
            faces.append(_checked(np.asarray(mesh.faces), len(points)) + total)
            total += len(points)
            if total > MAX_POINTS or sum(map(len, faces)) > MAX_FACES:
                raise UnreadableError(
                    f"too large: more than {MAX_POINTS} vertices or {MAX_FACES} faces"
                )
    return np.concatenate(vertices), np.concatenate(faces)


def _checked(faces: Any, vertices: int) -> Any:
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise UnreadableError("its faces could not be cut into triangles")
    if faces.min() < 0 or faces.max() >= vertices:
        worst = faces.max() if faces.max() >= vertices else faces.min()
        raise UnreadableError(
            f"a face refers to vertex {worst}, but they are numbered 0 to {vertices - 1}"
        )
    return faces.astype(np.int64)


@contextmanager
def _quiet() -> Iterator[None]:
    """trimesh's log and numpy's warnings stay here: what matters is checked afterwards."""
    log = logging.getLogger("trimesh")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _check_stl(data: bytes) -> None:
    """A binary .stl has exactly the size that its count says; a text one has its last line."""
    faces = int.from_bytes(data[_STL_HEADER - 4 : _STL_HEADER], "little")
    if len(data) >= _STL_HEADER and len(data) == _STL_HEADER + _STL_FACE * faces:
        return
    if data.lstrip()[:5].lower() != b"solid":
        found = max(0, (len(data) - _STL_HEADER) // _STL_FACE)
        raise UnreadableError(
            f"truncated: its header promises {faces} faces, it has room for {found}"
        )
    if b"endsolid" not in data.lower():
        raise UnreadableError("truncated: it has no endsolid")


def _check_ply(data: bytes) -> None:
    if not check_ply(data).is_mesh:
        raise UnreadableError("has no faces")


_CHECKS: dict[str, Callable[[bytes], None]] = {
    ".glb": check_glb,
    ".ply": _check_ply,
    ".stl": _check_stl,
}
