"""Believe a .glb only when it can hold what it promises. In: bytes; out: nothing, or an UnreadableError.

Sizes that exceed the file, nodes with several parents (a small file can say "a million copies" that way), data in other
files and compressed geometry are refused before anything is allocated.
"""

import json
import struct
from collections import Counter
from typing import Any

from pointcmt_cli.data.reading_text import UnreadableError, check_promise

_COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"}
_COMPONENT = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def check_glb(data: bytes) -> None:
    """Raise where the container, its buffers, accessors or nodes promise what is not there."""
    tree, binary = _chunks(data)
    try:
        _check_buffers(tree, binary)
        _check_nodes(tree)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(
            f"its glTF tree is damaged ({type(error).__name__}: {error})"
        ) from error


def _chunks(data: bytes) -> tuple[dict[str, Any], int]:
    """The JSON tree and the size of the binary chunk."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise UnreadableError("does not begin with glTF")
    version, length, size = struct.unpack_from("<III", data, 4)
    if version != 2:
        raise UnreadableError(f"is glTF version {version}; only version 2 is supported")
    if length > len(data) or 20 + size > len(data):
        raise UnreadableError(f"truncated: its header promises {length} bytes, it has {len(data)}")
    try:
        tree = json.loads(data[20 : 20 + size])
    except (ValueError, RecursionError) as error:
        raise UnreadableError("its glTF tree is not JSON") from error
    if not isinstance(tree, dict):
        raise UnreadableError("its glTF tree is not an object")
    return tree, max(0, len(data) - 28 - size)


def _check_buffers(tree: dict[str, Any], binary: int) -> None:
    compressed = _COMPRESSED.intersection(tree.get("extensionsRequired", []))
    if compressed:
        raise UnreadableError(
            f"is compressed ({', '.join(compressed)}): export it without compression"
        )
    if any("uri" in buffer for buffer in tree.get("buffers", [])):
        raise UnreadableError("its geometry lies in another file: export it as one .glb")
    views = tree.get("bufferViews", [])
    for view in views:
        if view.get("byteOffset", 0) + view["byteLength"] > binary:
            raise UnreadableError(
                f"truncated: a buffer view ends behind its {binary} bytes of data"
            )
    for accessor in tree.get("accessors", []):
        size = _COMPONENT[accessor["componentType"]] * _WIDTH[accessor["type"]]
        if "bufferView" not in accessor:
            raise UnreadableError("has an accessor without data")
        room = views[accessor["bufferView"]]["byteLength"] - accessor.get("byteOffset", 0)
        check_promise(accessor["count"], 0, accessor["count"] * size, room)


def _check_nodes(tree: dict[str, Any]) -> None:
    nodes = tree.get("nodes", [])
    parents = Counter(child for node in nodes for child in node.get("children", []))
    if parents and max(parents.values()) > 1:
        raise UnreadableError("a node of its scene has two parents")
    accessors = tree.get("accessors", [])
    faces = 0
    for node in nodes:
        if "mesh" in node:
            for part in tree["meshes"][node["mesh"]]["primitives"]:
                used = part.get("indices", part["attributes"]["POSITION"])
                faces += accessors[used]["count"] // 3
    check_promise(0, faces, 0, 0)
