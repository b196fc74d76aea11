"""Colours where a file names them, in whichever way its format writes them; and none where it does not."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from glb_files import CORNERS, SQUARE, glb, square
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import DataError

RGB = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]], np.uint8)
XYZ = "0 0 0", "1 0 0", "1 1 0", "0 1 0"
TRIANGLES = "3 0 1 2\n3 0 2 3\n"


def reading(tmp_path: Path, name: str, content: str | bytes) -> Shape:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    plain = read_file(path)
    assert plain.vertex_colors is None
    assert plain.face_colors is None
    shape = read_file(path, colors=True)
    np.testing.assert_array_equal(shape.vertices, plain.vertices)
    for colors in (shape.vertex_colors, shape.face_colors):
        assert colors is None or (colors.dtype == np.uint8 and colors.shape[1] == 3)
    return shape


def rows(columns: list[str], head: str = "", tail: str = "") -> str:
    lines = [f"{place} {column}" for place, column in zip(XYZ, columns, strict=True)]
    return head + "\n".join(lines) + "\n" + tail


def whole(values: np.ndarray = RGB) -> list[str]:
    return [" ".join(map(str, row)) for row in values.tolist()]


def shares() -> list[str]:
    return [" ".join(f"{value / 255:.4f}" for value in row) for row in RGB.tolist()]


PLY = "ply\nformat {} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar int vertex_indices\n"
PCD = "VERSION .7\nFIELDS x y z {0}\nSIZE 4 4 4 {1}\nTYPE F F F {2}\nCOUNT 1 1 1 {3}\nWIDTH 4\nHEIGHT 1\n"


def ply_text(kind: str, columns: list[str]) -> str:
    colors = "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue"))
    head = PLY.format("ascii") + colors + f"element face 2\n{LIST}end_header\n"
    return rows(columns, head, TRIANGLES)


def packed(kind: str) -> np.ndarray:
    bits = RGB.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return bits.astype(np.uint32).view(kind)


def pcd_text(kind: str) -> str:
    values = packed("<f4" if kind == "F" else "<u4")
    words = [np.format_float_scientific(value) if kind == "F" else str(value) for value in values]
    return rows(words, PCD.format("rgb", 4, kind, 1) + "POINTS 4\nDATA ascii\n")


def pcd_binary(name: str, kind: str) -> bytes:
    head = PCD.format(name, 4, kind, 1) + "POINTS 4\nDATA binary\n"
    body = np.rec.fromarrays(
        [SQUARE, packed("<f4" if kind == "F" else "<u4")], dtype="(3,)<f4, <u4"
    )
    body = b"".join(
        point.tobytes() + bits.tobytes() for point, bits in zip(SQUARE, packed("<u4"), strict=True)
    )
    return head.encode() + body


def ply_binary() -> bytes:
    head = PLY.format("binary_little_endian")
    head += "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
    body = b"".join(
        point.tobytes() + color.tobytes() + b"\xff"
        for point, color in zip(SQUARE, RGB, strict=True)
    )
    for corners in CORNERS.reshape(2, 3).tolist():
        body += struct.pack("<B3i", 3, *corners)
    return (head + f"element face 2\n{LIST}end_header\n").encode() + body


OF_VERTICES: dict[str, tuple[str, str | bytes]] = {
    "COFF, whole": ("x.off", rows([f"{each} 255" for each in whole()], "COFF\n4 2 0\n", TRIANGLES)),
    "COFF, shares": ("x.off", rows([f"{each} 1" for each in shares()], "COFF\n4 2 0\n", TRIANGLES)),
    "COFF, no alpha": ("x.off", rows(whole(), "COFF 4 2 0\n", TRIANGLES)),
    "STCNOFF": (
        "x.off",
        rows([f"0 0 1 {each} 255 0.5 0.5" for each in whole()], "STCNOFF\n4 2 0\n", TRIANGLES),
    ),
    "obj": ("x.obj", "".join(f"v {line}\n" for line in rows(shares()).splitlines()) + "f 1 2 3 4\n"),
    "ply, whole": ("x.ply", ply_text("uchar", whole())),
    "ply, wide": ("x.ply", ply_text("ushort", whole(RGB.astype(int) * 257))),
    "ply, shares": ("x.ply", ply_text("float", shares())),
    "ply, binary": ("x.ply", ply_binary()),
    "ply, cloud": ("c.ply", ply_text("uchar", whole()).split("element face")[0] + "end_header\n" + rows(whole())),
    "xyz of CloudCompare": ("c.xyz", rows(whole(), "//X Y Z R G B\n4\n")),
    "txt with names": ("c.txt", rows([f"0 0 1 {each}" for each in shares()], "x y z nx ny nz red green blue\n")),
    "csv": ("c.txt", rows(whole(), '"x","y","z","r","g","b"\n').replace(" ", ",")),
    "pcd text, float": ("c.pcd", pcd_text("F")),
    "pcd text, whole": ("c.pcd", pcd_text("U")),
    "pcd binary": ("c.pcd", pcd_binary("rgb", "F")),
    "pcd rgba": ("c.pcd", pcd_binary("rgba", "U")),
    "pcd, three fields": (
        "c.pcd",
        rows(whole(), PCD.format("r g b", "1 1 1", "U U U", "1 1 1") + "POINTS 4\nDATA ascii\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", OF_VERTICES)
def test_colors_of_vertices(tmp_path: Path, which: str) -> None:
    shape = reading(tmp_path, *OF_VERTICES[which])
    np.testing.assert_array_equal(shape.vertex_colors, RGB)
    assert shape.face_colors is None


COLORLESS: dict[str, tuple[str, str | bytes]] = {
    "off": ("x.off", rows([""] * 4, "OFF\n4 2 0\n", TRIANGLES)),
    "off with nameless columns": ("x.off", rows(whole(), "OFF\n4 2 0\n", TRIANGLES)),
    "NOFF": ("x.off", rows(["0 0 1"] * 4, "NOFF\n4 2 0\n", TRIANGLES)),
    "COFF with places in a colour map": ("x.off", rows(["7"] * 4, "COFF\n4 2 0\n", TRIANGLES)),
    "faces with places in a colour map": (
        "x.off",
        rows([""] * 4, "OFF\n4 2 0\n", "3 0 1 2 5\n3 0 2 3 6\n"),
    ),
    "obj": ("x.obj", "".join(f"v {each}\n" for each in XYZ) + "f 1 2 3 4\n"),
    "ply": ("x.ply", trimesh.creation.box().export(file_type="ply")),
    "stl": ("x.stl", trimesh.creation.box().export(file_type="stl")),
    "glb": ("x.glb", square()),
    "points with normals": ("c.txt", rows(["0 0 1"] * 4).replace(" ", ",")),
    "points with named normals": ("c.txt", rows(["0 0 1"] * 4, "x y z nx ny nz\n")),
    "six columns": ("c.xyz", rows(whole())),
    "pcd": ("c.pcd", rows(["9"] * 4, PCD.format("label", 4, "U", 1) + "POINTS 4\nDATA ascii\n")),
}  # fmt: skip


@pytest.mark.parametrize("which", COLORLESS)
def test_what_no_header_names_is_no_color(tmp_path: Path, which: str) -> None:
    shape = reading(tmp_path, *COLORLESS[which])
    assert shape.vertex_colors is None
    assert shape.face_colors is None


@pytest.mark.parametrize("colors", [("255 0 0", "10 20 31"), ("1 0 0 1", "0.04 0.08 0.12 1")])
def test_colors_behind_the_faces_of_an_off(tmp_path: Path, colors: tuple[str, str]) -> None:
    """A quad gives both its triangles its colour; a face without one is gray."""
    faces = f"4 0 1 2 3 {colors[0]}\n3 0 1 2 {colors[1]}\n3 1 2 3\n"
    shape = reading(tmp_path, "x.off", rows([""] * 4, "OFF\n4 3 0\n", faces))
    assert shape.vertex_colors is None
    np.testing.assert_array_equal(shape.faces, [[0, 1, 2], [1, 2, 3], [0, 1, 2], [0, 2, 3]])
    expected = [[10, 20, 31], [200, 200, 200], [255, 0, 0], [255, 0, 0]]
    np.testing.assert_array_equal(shape.face_colors, expected)


@pytest.mark.parametrize("text", [True, False])
def test_colors_of_the_faces_of_a_ply(tmp_path: Path, text: bool) -> None:
    head = PLY.format("ascii" if text else "binary_little_endian")
    head += f"element face 2\n{LIST}property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head += "end_header\n"
    if text:
        content = rows([""] * 4, head, "3 0 1 2 255 0 0\n4 0 1 2 3 0 0 255\n").encode()
    else:
        content = head.encode() + SQUARE.tobytes()
        content += struct.pack("<B3i3B", 3, 0, 1, 2, 255, 0, 0)
        content += struct.pack("<B4i3B", 4, 0, 1, 2, 3, 0, 0, 255)
    shape = reading(tmp_path, "x.ply", content)
    np.testing.assert_array_equal(shape.face_colors, [[255, 0, 0], [0, 0, 255], [0, 0, 255]])
    assert shape.vertex_colors is None


def test_vertices_win_over_faces(tmp_path: Path) -> None:
    faces = "3 0 1 2 9 9 9\n3 0 2 3 9 9 9\n"
    shape = reading(tmp_path, "x.off", rows(whole(), "COFF\n4 2 0\n", faces))
    np.testing.assert_array_equal(shape.vertex_colors, RGB)
    assert shape.face_colors is None


def test_unused_vertices_lose_their_colors(tmp_path: Path) -> None:
    shape = reading(tmp_path, "x.off", rows(whole(), "COFF\n4 1 0\n", "3 0 2 3\n"))
    np.testing.assert_array_equal(shape.vertex_colors, RGB[[0, 2, 3]])


@pytest.mark.parametrize(
    ("color", "message"),
    [
        ("-1 0 0", "a colour is negative or not a number"),
        ("nan 0 0", "a colour is negative or not a number"),
        ("1e9 0 0", "has a colour of 1e+09, which is more than 65535"),
    ],
)
def test_colors_that_are_none(tmp_path: Path, color: str, message: str) -> None:
    path = tmp_path / "x.off"
    path.write_text(rows([color] * 4, "COFF\n4 2 0\n", TRIANGLES))
    read_file(path)
    with pytest.raises(DataError, match=message.replace("+", r"\+")):
        read_file(path, colors=True)


# --- .glb: linear light, and the product of what is there ---


def encoded(linear: Any) -> np.ndarray:
    """The sRGB curve, one value at a time."""
    flat = [
        12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        for value in np.ravel(linear).tolist()
    ]
    return np.round(255 * np.reshape(flat, np.shape(linear)))


def colored(
    attributes: dict[str, int],
    arrays: list[np.ndarray],
    surface: dict[str, Any] | None = None,
    blobs: list[bytes] | None = None,
    **tree: Any,
) -> bytes:
    part: dict[str, Any] = {"attributes": {"POSITION": 0, **attributes}, "indices": 1}
    if surface is not None:
        part["material"] = 0
        tree["materials"] = [{"pbrMetallicRoughness": surface}]
    return glb({"meshes": [{"primitives": [part]}], **tree}, [SQUARE, CORNERS, *arrays], blobs)


LINEAR = np.array([[1, 0, 0], [0.5, 0.25, 0.002], [0.2, 0.7, 0.1], [0, 0, 0]], np.float32)


@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
@pytest.mark.parametrize("alpha", [False, True])
def test_vertex_colors_of_a_glb_are_linear(tmp_path: Path, kind: str, alpha: bool) -> None:
    values: np.ndarray = np.hstack([LINEAR, np.full((4, 1), 0.5, np.float32)]) if alpha else LINEAR
    extras: list[dict[str, Any]] = [{}, {}, {}]
    if kind != "f4":
        most = np.iinfo(kind).max
        values = (values * most).round().astype(kind)
        linear = values[:, :3] / most
        extras[2]["normalized"] = True
    else:
        linear = LINEAR.astype(np.float64)
    shape = reading(tmp_path, "x.glb", colored({"COLOR_0": 2}, [values], accessor_extras=extras))
    np.testing.assert_array_equal(shape.vertex_colors, encoded(linear))


def test_a_base_color_multiplies(tmp_path: Path) -> None:
    factor = [0.5, 1.0, 0.25, 0.1]
    shape = reading(tmp_path, "x.glb", colored({}, [], {"baseColorFactor": factor}))
    np.testing.assert_array_equal(shape.vertex_colors, [encoded(factor[:3])] * 4)
    data = colored({"COLOR_0": 2}, [LINEAR], {"baseColorFactor": factor})
    shape = reading(tmp_path, "x.glb", data)
    expected = encoded(LINEAR.astype(np.float64) * factor[:3])
    np.testing.assert_array_equal(shape.vertex_colors, expected)


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


PLACES = np.array([[0.1, 0.1], [0.9, 0.1], [1.9, -0.1], [0.1, 0.9]], np.float32)
TEXTURE: dict[str, Any] = {
    "images": [{"bufferView": 3, "mimeType": "image/png"}],
    "textures": [{"source": 0}],
}


def test_a_texture_is_sampled_at_the_vertices(tmp_path: Path) -> None:
    """Its four pixels, rows from the top; outside of [0, 1] it repeats itself."""
    pixels = RGB[[0, 1, 3, 2]].reshape(2, 2, 3)
    surface = {"baseColorTexture": {"index": 0}}
    data = colored({"TEXCOORD_0": 2}, [PLACES], surface, [png(pixels)], **TEXTURE)
    np.testing.assert_array_equal(reading(tmp_path, "x.glb", data).vertex_colors, RGB)


def test_a_texture_that_only_an_extension_knows_is_passed_over(tmp_path: Path) -> None:
    surface = {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 0, 0, 1]}
    data = colored({"TEXCOORD_0": 2}, [PLACES], surface, [b"?"], **{**TEXTURE, "textures": [{}]})
    shape = reading(tmp_path, "x.glb", data)
    np.testing.assert_array_equal(shape.vertex_colors, [[255, 0, 0]] * 4)


def huge_png() -> bytes:
    """12,000 x 12,000 pixels, by its header alone."""
    data = bytearray(png(np.zeros((2, 2, 3), np.uint8)))
    data[16:24] = struct.pack(">II", 12_000, 12_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"no picture", "a texture of it is damaged"),
        (png(np.zeros((64, 64, 3), np.uint8))[:-40], "a texture of it is damaged"),
        (huge_png(), "its textures are too large: 144000000 pixels"),
    ],
)
def test_textures_that_cannot_be_read(tmp_path: Path, blob: bytes, message: str) -> None:
    """Only where colours are asked for: the shape itself is whole."""
    surface = {"baseColorTexture": {"index": 0}}
    path = tmp_path / "x.glb"
    path.write_bytes(colored({"TEXCOORD_0": 2}, [PLACES], surface, [blob], **TEXTURE))
    read_file(path)
    with pytest.raises(DataError, match=message):
        read_file(path, colors=True)


def test_parts_without_color_are_gray_beside_those_with(tmp_path: Path) -> None:
    part = {"attributes": {"POSITION": 0}, "indices": 1}
    both = [{**part, "material": 0}, part]
    materials = [{"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 1, 1]}}]
    data = glb({"meshes": [{"primitives": both}], "materials": materials}, [SQUARE, CORNERS])
    shape = reading(tmp_path, "x.glb", data)
    np.testing.assert_array_equal(shape.vertex_colors, [[0, 0, 255]] * 4 + [[200] * 3] * 4)


@pytest.mark.parametrize("ending", ["ply", "glb", "obj"])
def test_what_trimesh_writes_comes_back(tmp_path: Path, ending: str) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    colors = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 3), np.uint8)
    mesh.visual.vertex_colors = colors
    data = mesh.export(file_type=ending)
    shape = reading(tmp_path, f"x.{ending}", data)
    expected = encoded(colors / 255.0) if ending == "glb" else colors
    np.testing.assert_allclose(shape.vertex_colors.astype(int), expected, atol=1)  # type: ignore[union-attr]
