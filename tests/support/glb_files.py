"""Small .glb files made by hand: a tree of plain values and the arrays that its accessors name."""

import json
import struct
from typing import Any

import numpy as np

KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
CORNERS = np.array([0, 1, 2, 0, 2, 3], np.uint16)


def pack(tree: dict[str, Any], binary: bytes = b"") -> bytes:
    """The container around a tree and its data."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    size = 28 + len(text) + len(binary)
    head = struct.pack("<4sIIII", b"glTF", 2, size, len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(binary), 0x004E4942) + binary


def glb(tree: dict[str, Any], arrays: list[np.ndarray], blobs: list[bytes] | None = None) -> bytes:
    """Each array (N,) or (N, width) becomes an accessor with a view of its own; the blobs are views after those."""
    binary, views, accessors = b"", [], []
    for array in arrays:
        values = array.reshape(len(array), -1)
        accessors.append(
            {
                "bufferView": len(views),
                "componentType": KINDS[values.dtype.str[1:]],
                "count": len(values),
                "type": TYPES[values.shape[1]],
            }
        )
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": values.nbytes})
        binary += values.tobytes() + b"\0" * (-values.nbytes % 4)
    for blob in blobs or []:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(blob)})
        binary += blob + b"\0" * (-len(blob) % 4)
    for accessor, more in zip(accessors, tree.pop("accessor_extras", []), strict=False):
        accessor.update(more)
    whole = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    return pack({**whole, **tree}, binary)


def square(primitive: dict[str, Any] | None = None, **tree: Any) -> bytes:
    """Two triangles, indexed."""
    part = {"attributes": {"POSITION": 0}, "indices": 1, **(primitive or {})}
    return glb({"meshes": [{"primitives": [part]}], **tree}, [SQUARE, CORNERS])
