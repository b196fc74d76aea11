"""The tree of a .glb, believed only when the file can hold what it promises. In: bytes; out: the tree and the data.

Sizes that exceed the file, nodes with several parents (a small file can say "a million copies" that way), data in other
files and compressed geometry are refused before anything is allocated.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pointcmt_cli.data.formats.text import UnreadableError, check_promise
from pointcmt_cli.wording import one_line

_COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"}
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
"""glTF 2.0, section 3.6.2.2."""
_TREE_BYTES = 10_000_000
"""At worst JSON takes 25 times its size in memory, and a quarter of a second for a million bytes."""
_REPEATED = 5_000_000
"""Vertices or faces beyond what the file has room for: it names its parts several times."""
_VERTEX_BYTES, _FACE_BYTES = 3, 3
"""At least: three bytes each."""
_DAMAGED = (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError)
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def open_glb(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The JSON tree and the binary chunk."""
    tree, binary = _chunks(data)
    with damage_is_unreadable():
        _check_buffers(tree, len(binary))
        _check_nodes(tree, len(binary))
    return tree, binary


@contextmanager
def damage_is_unreadable() -> Iterator[None]:
    """Whatever goes wrong where the tree is not what it should be."""
    try:
        yield
    except UnreadableError:
        raise
    except _DAMAGED as error:
        raise UnreadableError(f"its glTF tree is damaged ({one_line(error, kind=True)})") from error


def _chunks(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) < 20 or data[:4] != b"glTF":
        raise UnreadableError("does not begin with glTF")
    version, length, size = struct.unpack_from("<III", data, 4)
    if version != 2:
        raise UnreadableError(f"is glTF version {version}; only version 2 is supported")
    if length > len(data) or 20 + size > len(data):
        raise UnreadableError(f"truncated: its header promises {length} bytes, it has {len(data)}")
    if size > _TREE_BYTES:
        raise UnreadableError(f"too large: a glTF tree of {size} bytes (at most {_TREE_BYTES})")
    try:
        tree = json.loads(data[20 : 20 + size])
    except (ValueError, RecursionError) as error:
        raise UnreadableError("its glTF tree is not JSON") from error
    if not isinstance(tree, dict):
        raise UnreadableError("its glTF tree is not an object")
    return tree, memoryview(data)[28 + size :]


def _check_buffers(tree: dict[str, Any], binary: int) -> None:
    compressed = _COMPRESSED.intersection(tree.get("extensionsRequired", []))
    if compressed:
        raise UnreadableError(
            f"is compressed ({', '.join(compressed)}): export it without compression"
        )
    if "EXT_mesh_gpu_instancing" in tree.get("extensionsUsed", []):
        raise UnreadableError("uses EXT_mesh_gpu_instancing: export it with plain nodes")
    if any("uri" in buffer for buffer in tree.get("buffers", [])):
        raise UnreadableError("its geometry lies in another file: export it as one .glb")
    views = tree.get("bufferViews", [])
    for view in views:
        if view.get("byteOffset", 0) + view["byteLength"] > binary:
            raise UnreadableError(
                f"truncated: a buffer view ends behind its {binary} bytes of data"
            )
    for accessor in tree.get("accessors", []):
        if accessor["count"] < 0:
            raise UnreadableError(f"has an accessor of {accessor['count']} elements")
        size = int(COMPONENTS[accessor["componentType"]][2]) * WIDTHS[accessor["type"]]
        if "bufferView" not in accessor:
            raise UnreadableError("has an accessor without data")
        room = views[accessor["bufferView"]]["byteLength"] - accessor.get("byteOffset", 0)
        if accessor["count"] * size > room:
            raise UnreadableError(
                f"truncated: {accessor['count']} elements of an accessor need "
                f"{accessor['count'] * size} bytes, its view has {room}"
            )


def _check_nodes(tree: dict[str, Any], binary: int) -> None:
    """Each node has one place, and what is stored once and used again and again stays small."""
    nodes = tree.get("nodes", [])
    roots = [root for scene in tree.get("scenes", []) for root in set(scene.get("nodes", []))]
    parents = Counter(child for node in nodes for child in node.get("children", []))
    if parents and (max(parents.values()) > 1 or any(parents[root] for root in roots)):
        raise UnreadableError("a node of its scene has two parents")
    accessors = tree.get("accessors", [])
    vertices = faces = 0
    for node in nodes:
        if "mesh" in node:
            for part in tree["meshes"][node["mesh"]]["primitives"]:
                points = part["attributes"]["POSITION"]
                vertices += accessors[points]["count"]
                faces += accessors[part.get("indices", points)]["count"] // 3
    check_promise(vertices, faces, 0, 0)
    if max(vertices - binary // _VERTEX_BYTES, faces - binary // _FACE_BYTES) > _REPEATED:
        raise UnreadableError(
            f"too large: its nodes repeat parts to {vertices} vertices and {faces} faces"
        )
