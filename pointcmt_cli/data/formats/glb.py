"""Read .glb, glTF 2.0 in one file. In: bytes; out: vertices, triangles and colours at their places, or None.

None where an extension is required that changes geometry and is not known here: that is for trimesh. Skins, morph
targets and animations are left out, as trimesh leaves them out.

A vertex' colour is the product of the material's base colour, COLOR_0 and the base colour texture at the vertex
(section 3.9.2), computed in linear light and then encoded as sRGB.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.formats.geometry import Geometry, checked_faces, join
from pointcmt_cli.data.formats.glb_tree import COMPONENTS, WIDTHS, damage_is_unreadable, open_glb
from pointcmt_cli.data.formats.text import UnreadableError
from pointcmt_cli.wording import one_line

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST_PIXELS = 2**26
"""Of all textures together: 8192 x 8192."""
_NO_GEOMETRY = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_mesh_quantization")
"""Extensions that change none; the last allows integers as positions, which are read anyway."""

Linear = NDArray[np.float64]


def read_glb(data: bytes, colors: bool = False) -> Geometry | None:
    """All triangles of the file's scene; None: it holds what is not known here."""
    tree, binary = open_glb(data)
    required = tree.get("extensionsRequired", [])
    with damage_is_unreadable():
        if not all(str(name).startswith(_NO_GEOMETRY) for name in required):
            return None
        scene = tree["scenes"][tree.get("scene", 0)] if "scenes" in tree else {}
        waiting = [(root, np.eye(4)) for root in dict.fromkeys(scene.get("nodes", []))]
        file, parts = _File(tree, binary), []
        while waiting:
            number, above = waiting.pop()
            node = tree["nodes"][number]
            place = above @ _matrix(node)
            waiting += [(child, place) for child in node.get("children", [])]
            for primitive in tree["meshes"][node["mesh"]]["primitives"] if "mesh" in node else []:
                if primitive.get("mode", _TRIANGLES) >= _TRIANGLES:  # below: points and lines
                    parts.append(file.part(primitive, place, colors))
        return join(parts)


def _matrix(node: dict[str, Any]) -> Linear:
    """(4, 4): from the node to its parent."""
    if "matrix" in node:
        return np.reshape(np.array(node["matrix"], np.float64), (4, 4)).T
    matrix = np.eye(4)
    x, y, z, w = np.reshape(np.array(node.get("rotation", [0, 0, 0, 1]), np.float64), 4)
    length = math.sqrt(x * x + y * y + z * z + w * w) or 1.0
    x, y, z, w = x / length, y / length, z / length, w / length
    matrix[0, :3] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    matrix[1, :3] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    matrix[2, :3] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    matrix[:3, :3] *= np.reshape(np.array(node.get("scale", [1, 1, 1]), np.float64), (1, 3))
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def _triangles(corners: NDArray[Any], mode: int) -> NDArray[Any]:
    """(F, 3) of the corners of a list, strip or fan of triangles."""
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise UnreadableError(f"a mesh has {len(corners)} corners, which do not form triangles")
        return corners.reshape(-1, 3)
    first, second, third = corners[:-2], corners[1:-1], corners[2:]
    if mode == _FAN:
        first = np.broadcast_to(corners[:1], third.shape)
    elif mode != _STRIP:
        raise UnreadableError(f"a mesh has mode {mode}, which glTF does not know")
    triangles = np.stack([first, second, third], axis=1)
    if mode == _STRIP:
        triangles[1::2] = triangles[1::2, [1, 0, 2]]  # every other one is turned round
    return triangles


class _File:
    """The arrays behind a tree."""

    def __init__(self, tree: dict[str, Any], binary: memoryview):
        self.tree = tree
        self.binary = binary
        self.textures: dict[int, NDArray[np.uint8] | None] = {}
        self.pixels = 0

    def part(self, primitive: dict[str, Any], place: Linear, colors: bool) -> Geometry:
        """The triangles of one primitive, moved."""
        points = self.array(primitive["attributes"]["POSITION"]).astype(np.float64)
        corners = np.arange(len(points))
        if "indices" in primitive:
            corners = self.array(primitive["indices"])[:, 0]
        faces = _triangles(corners, primitive.get("mode", _TRIANGLES))
        return Geometry(
            points @ place[:3, :3].T + place[:3, 3],
            checked_faces(faces, len(points)),
            self.colors(primitive, len(points)) if colors else None,
        )

    def array(self, number: int) -> NDArray[Any]:
        """An accessor's elements (count, width); integers in [0, 1] where it says that they are normalised."""
        accessor = self.tree["accessors"][number]
        if "sparse" in accessor:
            raise UnreadableError("has sparse accessors, which are not supported")
        view = self.tree["bufferViews"][accessor["bufferView"]]
        kind, width = np.dtype(COMPONENTS[accessor["componentType"]]), WIDTHS[accessor["type"]]
        begin = view.get("byteOffset", 0)
        values: NDArray[Any] = np.ndarray(
            (accessor["count"], width),
            kind,
            self.binary[begin : begin + view["byteLength"]],
            accessor.get("byteOffset", 0),
            (view.get("byteStride", kind.itemsize * width), kind.itemsize),
        )
        if accessor.get("normalized", False):
            values = values / np.iinfo(kind).max
        return values

    def colors(self, primitive: dict[str, Any], vertices: int) -> NDArray[np.uint8] | None:
        """sRGB (vertices, 3); None where nothing is said."""
        factors = []
        attributes = primitive["attributes"]
        if "COLOR_0" in attributes:
            own = self.array(attributes["COLOR_0"])[:, :3]
            factors.append(own / np.iinfo(own.dtype).max if own.dtype.kind in "iu" else own)
        if "material" in primitive:
            material = self.tree["materials"][primitive["material"]]
            surface = material.get("pbrMetallicRoughness", {})
            if "baseColorFactor" in surface:
                factors.append(np.reshape(np.array(surface["baseColorFactor"][:3]), (1, 3)))
            texture = surface.get("baseColorTexture", {})
            place = f"TEXCOORD_{texture.get('texCoord', 0)}"
            image = self.texture(texture["index"]) if "index" in texture else None
            if image is not None and place in attributes:
                factors.append(_sample(image, self.array(attributes[place])))
        if not factors:
            return None
        linear = np.ones((vertices, 3))
        for factor in factors:
            linear = linear * factor
        return _encode(linear)

    def texture(self, number: int) -> NDArray[np.uint8] | None:
        """Pixels (H, W, 3) of a texture; None where only an extension knows the image's format."""
        if number not in self.textures:
            source = self.tree["textures"][number].get("source")
            image = {} if source is None else self.tree["images"][source]
            self.textures[number] = None
            if "bufferView" in image:
                view = self.tree["bufferViews"][image["bufferView"]]
                begin = view.get("byteOffset", 0)
                image = _open(self.binary[begin : begin + view["byteLength"]])
                self.pixels += image.width * image.height
                if self.pixels > _MOST_PIXELS:
                    raise UnreadableError(
                        f"its textures are too large: {self.pixels} pixels (at most {_MOST_PIXELS})"
                    )
                self.textures[number] = _pixels(image)
        return self.textures[number]


def _open(data: memoryview) -> Any:
    """A PNG or JPEG of which only the header is read."""
    from PIL import Image

    with warnings.catch_warnings(), _damage_is_of_textures():
        warnings.simplefilter("ignore")  # large images: the limit is ours
        return Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))


def _pixels(image: Any) -> NDArray[np.uint8]:
    with _damage_is_of_textures():
        return np.asarray(image.convert("RGB"))


@contextmanager
def _damage_is_of_textures() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow raises whatever its parsers ran into
        raise UnreadableError(f"a texture of it is damaged ({one_line(error)})") from error


def _sample(image: NDArray[np.uint8], places: NDArray[Any]) -> Linear:
    """Linear colours (N, 3) of the pixels at places (N, 2), where the image repeats itself; (0, 0) is its first one."""
    height, width, _ = image.shape
    inside = np.nan_to_num(places.astype(np.float64) % 1)
    rows = np.minimum((inside[:, 1] * height).astype(int), height - 1)
    columns = np.minimum((inside[:, 0] * width).astype(int), width - 1)
    encoded = image[rows, columns] / 255
    linear: Linear = np.where(
        encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    )
    return linear


def _encode(linear: Linear) -> NDArray[np.uint8]:
    """sRGB (N, 3) of linear light in [0, 1] (IEC 61966-2-1)."""
    light = np.clip(np.nan_to_num(linear), 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)
