"""Read a mesh file of any kind. In: bytes and the ending; out: vertices, triangles and colours as they stand.

.off, .ply, .stl and .glb have fast readers of their own. What these do not know, and .obj, is trimesh's work,
behind checks that the file can hold what its header promises. What lies in other files is never looked at.
"""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry, checked_faces, join
from pointcmt_cli.data.formats.glb import read_glb
from pointcmt_cli.data.formats.off import UnknownHeaderError, read_off
from pointcmt_cli.data.formats.ply import check_ply
from pointcmt_cli.data.formats.ply_body import read_ply
from pointcmt_cli.data.formats.stl import read_stl
from pointcmt_cli.data.formats.text import MAX_FACES, MAX_POINTS, UnreadableError, plain_text
from pointcmt_cli.wording import one_line

_MOST_BYTES = 150_000_000
"""Of what trimesh reads: it takes ten times as much memory."""
_MOST_GUESSED = 5_000_000
"""Of an .off with an unknown header: each of its comments takes trimesh microseconds."""


def read_mesh(data: bytes, ending: str, colors: bool = False) -> Geometry:
    """The mesh of an .off, .obj, .ply, .stl or .glb file."""
    found = None
    if ending == ".off":
        return _off(data, colors)
    if ending == ".ply":
        header = check_ply(data)
        if not header.is_mesh:
            raise UnreadableError("has no faces")
        found = read_ply(data, header, colors)
    elif ending == ".stl":
        return read_stl(data)
    elif ending == ".glb":
        found = read_glb(data, colors)
    elif ending == ".obj":  # trimesh takes quadratic time in the number of material groups
        data = re.sub(rb"(?m)^[ \t]*(usemtl|mtllib)\b[^\r\n]*", b"", data)
    return found or merge(load_scene(data, ending), colors)


def _off(data: bytes, colors: bool) -> Geometry:
    """An unknown header may be one that trimesh knows: it looks for OFF anywhere."""
    try:
        return read_off(data, colors)
    except UnknownHeaderError as error:
        try:
            if len(data) > _MOST_GUESSED:
                raise
            return merge(load_scene(plain_text(data), ".off"))
        except UnreadableError:
            raise error from None


def load_scene(data: bytes, ending: str) -> Any:
    """trimesh's scene of a file; whatever goes wrong in there is an UnreadableError."""
    import trimesh

    if len(data) > _MOST_BYTES:
        raise UnreadableError(
            f"too large for {ending}: {len(data)} bytes (at most {_MOST_BYTES}); save it as binary .ply"
        )
    options = {"skip_materials": True} if ending in (".obj", ".glb", ".ply") else {}
    try:
        with _quiet():
            return trimesh.load_scene(
                io.BytesIO(data), file_type=ending[1:], process=False, **options
            )
    except Exception as error:  # trimesh raises whatever its parsers ran into
        reason = one_line(error, most=120, kind=True)
        raise UnreadableError(f"damaged, or not {ending} at all ({reason})") from error


def merge(scene: Any, colors: bool = False) -> Geometry:
    """All meshes of a scene at their places; colours of faces only where it is one mesh."""
    parts: list[Geometry] = []
    points = triangles = 0
    with _quiet():
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            mesh = scene.geometry[name]
            if len(getattr(mesh, "faces", ())) == 0:
                continue
            vertices = np.asarray(mesh.vertices, np.float64)
            if vertices.ndim != 2 or vertices.shape[1] != 3:
                raise UnreadableError("its vertices do not have 3 coordinates")
            if mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
                raise UnreadableError("its faces could not be cut into triangles")
            vertices = vertices @ transform[:3, :3].T + transform[:3, 3]
            faces = checked_faces(np.asarray(mesh.faces), len(vertices))
            parts.append(Geometry(vertices, faces, *_colors(mesh.visual, colors)))
            points, triangles = points + len(vertices), triangles + len(faces)
            if points > MAX_POINTS or triangles > MAX_FACES:
                raise UnreadableError(
                    f"too large: more than {MAX_POINTS} vertices or {MAX_FACES} faces"
                )
    return join(parts)


def _colors(visual: Any, colors: bool) -> tuple[NDArray[np.uint8] | None, ...]:
    """Of the vertices and of the faces, at most one of them; what trimesh made up is not looked at."""
    if not colors or not getattr(visual, "defined", False):
        return None, None
    if visual.kind == "vertex":
        return np.asarray(visual.vertex_colors)[:, :3], None
    return None, np.asarray(visual.face_colors)[:, :3] if visual.kind == "face" else None


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
