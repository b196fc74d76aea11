"""Every format reads to the same validated shape, and every fault is one line with file and reason."""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh

from pointcmt_cli.config import Axis
from pointcmt_cli.data import reading
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.folders.sources import Item, recognise
from pointcmt_cli.data.formats.pcd import read_pcd
from pointcmt_cli.data.geometry import face_areas
from pointcmt_cli.data.reading import read, read_file
from pointcmt_cli.errors import DataError

SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
CLOUD = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fault(path: Path) -> str:
    """The message of the DataError, without the path that it must begin with."""
    with pytest.raises(DataError) as caught:
        read_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def normal(points: np.ndarray) -> np.ndarray:
    moved = points - points.mean(axis=0, dtype=np.float64)
    return moved / np.linalg.norm(moved, axis=1).max()


# --- meshes ---


@pytest.mark.parametrize(
    ("text", "triangles"),
    [
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2 3\n", 2),
        (f"OFF4 2 0\n{SQUARE}3 0 1 2\n3 0 2 3\n", 2),
        (f"OFF 4 2 0\n{SQUARE}3 0 1 2\n3 0 2 3", 2),
        (f"OFF\n# by hand\n4 2 # no edges\n\n{SQUARE}\n3 0 1 2\n  3\t0 2 3 # last\n", 2),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2 3\n".replace("\n", "\r\n"), 2),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2 3\n".replace("\n", "\r"), 2),
        (f"\ufeffOFF\n4 1 4\n{SQUARE}4 0 1 2 3\n", 2),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2 255 0 0\n3 0 2 3 0.5 0.5 0.5 1\n", 2),
        (f"OFF\n4 4 0\n{SQUARE}3 0 1 2\n4 0 1 2 3\n2 0 1\n1 3\n", 3),
        ("COFF 3 1 0\n0 0 0 9 9 9 1\n1 0 0 9 9 9 1\n0 1 0 9 9 9 1\n3 0 1 2\n", 1),
        ("NOFF\n3 1 0\n0 0 0 0 0 1\n1 0 0 0 0 1\n0 1e0 0 0 0 1\n3 0 1 2\n", 1),
    ],
)
def test_off_as_it_is_met(tmp_path: Path, text: str, triangles: int) -> None:
    shape = read_file(write(tmp_path / "x.off", text))
    assert shape.faces is not None
    assert len(shape.faces) == triangles
    assert shape.name == "x"


def test_a_polygon_becomes_a_fan_of_the_same_area(tmp_path: Path) -> None:
    angles = 2 * np.pi * np.arange(7) / 7
    corners = "\n".join(f"{np.cos(a)} {np.sin(a)} 0" for a in angles)
    shape = read_file(write(tmp_path / "x.off", f"OFF 7 1 0\n{corners}\n7 0 1 2 3 4 5 6\n"))
    assert shape.faces is not None
    np.testing.assert_array_equal(shape.faces[:, 0], 0)
    area = 3.5 * np.sin(2 * np.pi / 7)
    scale = np.linalg.norm(shape.vertices[1] - shape.vertices[0]) / (2 * np.sin(np.pi / 7))
    assert face_areas(shape.vertices, shape.faces).sum() == pytest.approx(area * scale**2, rel=1e-5)


def test_off_agrees_with_trimesh(tmp_path: Path) -> None:
    mesh = trimesh.creation.annulus(0.3, 1.0, 0.5)
    shape = read_file(write(tmp_path / "x.off", mesh.export(file_type="off")))
    assert shape.faces is not None
    np.testing.assert_array_equal(shape.faces, mesh.faces)
    centred = mesh.vertices - mesh.bounds.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1).max()
    np.testing.assert_allclose(shape.vertices, expected, atol=1e-6)


@pytest.mark.parametrize("ending", ["off", "obj", "ply", "stl", "glb"])
def test_every_mesh_format_gives_the_same_triangles(tmp_path: Path, ending: str) -> None:
    mesh = trimesh.creation.capsule(radius=0.5, height=2.0)
    mesh.vertices += [100.0, -50.0, 3.0]
    path = tmp_path / f"x.{ending}"
    mesh.export(path)
    shape = read_file(path)
    assert shape.faces is not None
    assert (shape.vertices.dtype, shape.faces.dtype) == (np.float32, np.int32)
    box = np.array([shape.vertices.min(axis=0), shape.vertices.max(axis=0)])
    np.testing.assert_allclose(box.mean(axis=0), 0, atol=1e-5)
    assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(1, abs=1e-6)
    scale = (box[1] - box[0]).max() / mesh.extents.max()
    assert face_areas(shape.vertices, shape.faces).sum() == pytest.approx(
        mesh.area * scale**2, rel=1e-3
    )


def test_a_scene_is_one_mesh_with_its_parts_in_place(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    part = trimesh.creation.box((1, 1, 1))
    for shift in (-5.0, 5.0):
        scene.add_geometry(
            part, transform=trimesh.transformations.translation_matrix([shift, 0, 0])
        )
    scene.add_geometry(trimesh.PointCloud(np.ones((4, 3))))
    path = tmp_path / "x.glb"
    scene.export(path)
    shape = read_file(path)
    assert shape.faces is not None
    assert len(shape.faces) == 24
    assert np.ptp(shape.vertices[:, 0]) / np.ptp(shape.vertices[:, 1]) == pytest.approx(
        11, rel=1e-5
    )


@pytest.mark.parametrize("ending", ["off", "obj", "ply", "stl", "glb", "xyz"])
@pytest.mark.parametrize("up", ["y", "z", None])
def test_what_points_up_becomes_z(tmp_path: Path, ending: str, up: Axis | None) -> None:
    """x, y and z of a box of sides 1, 2, 3, marked at its corner of most x, y and z."""
    mesh = trimesh.creation.box((1.0, 2.0, 3.0))
    mesh.vertices[mesh.vertices.sum(axis=1).argmax()] *= 0.9
    path = tmp_path / f"x.{ending}"
    if ending == "xyz":
        np.savetxt(path, mesh.vertices)
    else:
        mesh.export(path)
    x, y, z = mesh.vertices.T
    turned = up == "y" or (up is None and ending == "glb")
    expected = np.stack([x, -z, y] if turned else [x, y, z], axis=1)
    shape = read_file(path, up=up)
    found = np.unique(shape.vertices.round(4), axis=0)  # .stl has each corner many times
    centre = expected.mean(axis=0) if ending == "xyz" else 0
    expected = expected - centre
    expected /= np.linalg.norm(expected, axis=1).max()
    np.testing.assert_allclose(found, np.unique(expected.round(4), axis=0), atol=2e-4)


def test_a_row_of_a_benchmark_is_turned_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = CLOUD[None]
    item = Item("a/x", 0, "train", "cloud", tmp_path / "x.h5", 0)
    x, y, z = CLOUD.T
    np.testing.assert_allclose(read(item)[0].vertices, normal(CLOUD), atol=1e-6)
    assert reading.source_hash(item) == read(item)[1] == hashlib.sha256(CLOUD.tobytes()).hexdigest()
    turned = normal(np.stack([x, -z, y], axis=1))
    np.testing.assert_allclose(read(item, up="y")[0].vertices, turned, atol=1e-6)


def test_materials_are_never_looked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    text = "mtllib nowhere.mtl\nmtllib http://127.0.0.1:9/x.mtl\nusemtl m\n"
    text += "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\ng a\nf 1/1/1 2/1/1 3/1/1 4/1/1\n"
    shape = read_file(write(tmp_path / "x.obj", text))
    assert shape.faces is not None
    assert len(shape.faces) == 2
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_unused_vertices_do_not_shrink_a_mesh(tmp_path: Path) -> None:
    text = "OFF\n4 1 0\n1e6 0 0\n0 0 0\n1 0 0\n0 1 0\n3 1 2 3\n"
    shape = read_file(write(tmp_path / "x.off", text))
    assert shape.vertices.shape == (3, 3)
    np.testing.assert_array_equal(shape.faces, [[0, 1, 2]])


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e18, 1e200])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_any_scale_that_a_double_can_hold(tmp_path: Path, scale: float, offset: float) -> None:
    points = (np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]) + offset) * scale
    lines = "\n".join(" ".join(map(repr, map(float, row))) for row in points)
    shape = read_file(write(tmp_path / "x.off", f"OFF\n3 1 0\n{lines}\n3 0 1 2\n"))
    assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(1, abs=1e-6)


OFF_FAULTS = {
    "": "is empty",
    "solid": "does not begin with OFF",
    "OFF": "the line after OFF does not hold the numbers of vertices and faces",
    "OFF BINARY\n\0\0": "is a binary OFF, which is not supported: save it as text",
    "OFF 3 0 0\n0 0 0\n1 0 0\n0 1 0\n": "has no faces",
    "OFF 1000000000 1000000000 0\n": "too large: 1000000000 vertices and 1000000000 faces (at most "
    "12000000 and 10000000)",
    "OFF 30000 100 0\n0 0 0": "truncated: its header promises 30000 vertices and 100 faces, which 5 "
    "bytes cannot hold",
    f"OFF 4 1 0\n{SQUARE}3 0 1 4\n": "a face refers to vertex 4, but they are numbered 0 to 3",
    f"OFF 4 1 0\n{SQUARE}3 0 1 -1\n": "a face refers to vertex -1, but they are numbered 0 to 3",
    f"OFF 4 1 0\n{SQUARE}3 0 1 1.5\n": "a face refers to vertex 1.5, but they are numbered 0 to 3",
    f"OFF 4 1 0\n{SQUARE}3 0 1 99999999\n": "a face refers to vertex 99999999, but they are numbered "
    "0 to 3",
    f"OFF 4 1 0\n{SQUARE}3 0 1 nan\n": "a face refers to vertex nan, but they are numbered 0 to 3",
    f"OFF 4 1 0\n{SQUARE}3 0 1\n": "face 0 says that it has 3 corners, its line has 2 numbers more",
    f"OFF 4 1 0\n{SQUARE}0.5 0 1\n": "face 0 says that it has 0.5 corners, its line has 2 numbers more",
    f"OFF 4 1 0\n{SQUARE}2 0 1\n": "has no faces",
    f"OFF 3 1 0\n{SQUARE}3 0 1 2\n": "its header promises 3 vertices and 1 faces, but 5 lines follow "
    "instead of 4",
    f"OFF 4 1 0\n{SQUARE}3 0 x 2\n": "expected a number, found 'x'",
    "OFF 3 1 0\n0 0 0\n1 0\n0 1 0\n3 0 1 2\n": "a vertex has fewer than 3 coordinates",
    "OFF 3 1 0\n0 0 0\n1 0 0\n0 1.5.2 0\n3 0 1 2\n": "expected a number, found '1.5.2'",
    "OFF 3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n": "point 1 is not finite (1 of 3 are not)",
    "OFF 3 1 0\n0 0 0\n1 0 0\n0 1e999 0\n3 0 1 2\n": "point 2 is not finite (1 of 3 are not)",
    "OFF 3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n": "its faces have no area",
    "OFF 3 1 0\n7 7 7\n7 7 7\n7 7 7\n3 0 1 2\n": "its faces have no area",
}


@pytest.mark.parametrize(("text", "message"), list(OFF_FAULTS.items()))
def test_faults_of_off(tmp_path: Path, text: str, message: str) -> None:
    assert fault(write(tmp_path / "x.off", text)) == message


def exported(ending: str) -> bytes:
    data = trimesh.creation.icosphere(subdivisions=1).export(file_type=ending)
    return data if isinstance(data, bytes) else data.encode()


def edited_glb(old: bytes, new: bytes) -> bytes:
    """Replace text of a .glb's tree by text of the same length."""
    data = exported("glb")
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


MESH_FAULTS: dict[str, tuple[str, Callable[[], bytes | str], str]] = {
    "ply header": ("ply", lambda: b"ply\nformat ascii 1.0\n", "truncated: its header has no end"),
    "ply magic": ("ply", lambda: b"play", "does not begin with ply"),
    "ply line": (
        "ply",
        lambda: "ply\nformat ascii 1.0\nelement vertex many\nend_header\n",
        "its header has a line that makes no sense: 'element vertex many'",
    ),
    "ply huge": (
        "ply",
        lambda: exported("ply").replace(b"element face 80", b"element face 1000000000"),
        "too large: 42 vertices and 1000000000 faces",
    ),
    "ply more": (
        "ply",
        lambda: exported("ply").replace(b"element vertex 42", b"element vertex 4200"),
        "truncated: its header promises 4200 vertices and 80 faces",
    ),
    "ply cut": ("ply", lambda: exported("ply")[:-30], "damaged, or not .ply at all ("),
    "stl cut": ("stl", lambda: exported("stl")[:-1], "truncated: its header promises 80 faces"),
    "stl count": (
        "stl",
        lambda: exported("stl")[:80] + struct.pack("<I", 10**9) + exported("stl")[84:],
        "truncated: its header promises 1000000000 faces, it has room for 80",
    ),
    "stl longer": (
        "stl",
        lambda: exported("stl") + bytes(50),
        "damaged: its header promises 80 faces, it has room for 81",
    ),
    "stl text cut": (
        "stl",
        lambda: "solid x\nfacet normal 0 0 1\n",
        "truncated: it has no endsolid",
    ),
    "stl vertex": (
        "stl",
        lambda: "solid x\nfacet\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1\nendfacet\nendsolid\n",
        "its 1 facets do not have 3 vertices of 3 numbers each (3 vertices, 8 numbers)",
    ),
    "stl facet": (
        "stl",
        lambda: "solid x\nfacet\nvertex 0 0 0\nvertex 1 0 0\nendfacet\nendsolid\n",
        "its 1 facets do not have 3 vertices of 3 numbers each (2 vertices, 6 numbers)",
    ),
    "stl no faces": ("stl", lambda: b"\0" * 84, "has no faces"),
    "obj empty": ("obj", lambda: "# nothing\n", "has no faces"),
    "obj index": (
        "obj",
        lambda: "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "damaged, or not .obj at all",
    ),
    "obj nan": ("obj", lambda: "v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n", "point 1 is not finite"),
    "glb cut": ("glb", lambda: exported("glb")[:-9], "truncated: its header promises"),
    "glb magic": ("glb", lambda: b"glTG" + bytes(40), "does not begin with glTF"),
    "glb tree": ("glb", lambda: edited_glb(b'{"scene"', b'["scene"'), "its glTF tree is not JSON"),
    "glb count": (
        "glb",
        lambda: edited_glb(b'"count":240', b'"count":9e9'),
        "truncated: 9000000000.0 elements of an accessor need",
    ),
    "glb view": (
        "glb",
        lambda: edited_glb(b'"byteLength":960', b'"byteLength":9e9'),
        "truncated: a buffer view ends behind",
    ),
    "glb uri": (
        "glb",
        lambda: edited_glb(b'"byteLength":1464}]', b'"uri":"x.bin"    }]'),
        "its geometry lies in",
    ),
}


@pytest.mark.parametrize("which", MESH_FAULTS)
def test_faults_of_other_meshes(tmp_path: Path, which: str) -> None:
    ending, make, message = MESH_FAULTS[which]
    assert fault(write(tmp_path / f"x.{ending}", make())).startswith(message)


def test_a_glb_of_copies_of_copies_is_refused(tmp_path: Path) -> None:
    """Twenty levels of two children each would be a million spheres."""
    data = exported("glb")
    size = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + size])
    mesh = next(node["mesh"] for node in tree["nodes"] if "mesh" in node)
    tree["nodes"] = [{"children": [i + 1, i + 1]} for i in range(20)] + [{"mesh": mesh}]
    tree["scenes"] = [{"nodes": [0]}]
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    path = write(tmp_path / "x.glb", header + text + rest)
    assert fault(path) == "a node of its scene has two parents"


# --- clouds ---


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def text(separator: str = " ", extra: str = "", head: str = "") -> str:
    rows = [separator.join(repr(float(value)) for value in row) + extra for row in CLOUD]
    return head + "\n".join(rows) + "\n"


def ply(is_text: bool) -> bytes:
    head = f"ply\nformat {'ascii' if is_text else 'binary_little_endian'} 1.0\ncomment x\n"
    head += "element vertex 50\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    return head.encode() + (text().encode() if is_text else CLOUD.tobytes())


def pcd(kind: str, body: bytes, fields: str = "x y z") -> bytes:
    extra = " 1" * (len(fields.split()) - 3)
    head = f"# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE 4 4 4{extra.replace('1', '4')}\n"
    head += f"TYPE F F F{extra.replace('1', 'U')}\nCOUNT 1 1 1{extra}\nWIDTH 50\nHEIGHT 1\n"
    return (head + f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 50\nDATA {kind}\n").encode() + body


def packed(plain: bytes) -> bytes:
    """LZF of literal runs only, which every reader must take."""
    runs = [plain[i : i + 32] for i in range(0, len(plain), 32)]
    body = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return struct.pack("<II", len(body), len(plain)) + body


CLOUDS: dict[str, tuple[str, Callable[[], bytes | str]]] = {
    "npy": ("npy", lambda: npy(CLOUD)),
    "npy with normals": ("npy", lambda: npy(np.hstack([CLOUD, CLOUD]).astype(np.float64))),
    "npy by column": ("npy", lambda: npy(np.asfortranarray(CLOUD))),
    "npz": ("npz", lambda: npz(anything=CLOUD)),
    "npz by name": ("npz", lambda: npz(points=CLOUD, label=np.array(3))),
    "xyz": ("xyz", text),
    "txt with commas": ("txt", lambda: text(",", ",0.1,0.2,0.3")),
    "txt with both": ("txt", lambda: text(", ", " 7")),
    "txt with semicolons": ("txt", lambda: text(";")),
    "txt with names": ("txt", lambda: text(head="x y z\n")),
    "txt of CloudCompare": ("txt", lambda: text(head="//X Y Z\n50\n")),
    "txt of Windows": ("txt", lambda: text().replace("\n", "\r\n")),
    "ply text": ("ply", lambda: ply(True)),
    "ply binary": ("ply", lambda: ply(False)),
    "pcd text": ("pcd", lambda: pcd("ascii", text(extra=" 9").encode(), "x y z rgb")),
    "pcd binary": ("pcd", lambda: pcd("binary", CLOUD.tobytes())),
    "pcd compressed": ("pcd", lambda: pcd("binary_compressed", packed(CLOUD.T.tobytes()))),
}


@pytest.mark.parametrize("which", CLOUDS)
def test_every_cloud_format_gives_the_same_points(tmp_path: Path, which: str) -> None:
    ending, make = CLOUDS[which]
    shape = read_file(write(tmp_path / f"x.{ending}", make()))
    assert shape.faces is None
    assert shape.vertices.dtype == np.float32
    np.testing.assert_allclose(shape.vertices, normal(CLOUD), atol=1e-6)


def test_lzf_copies_from_what_it_wrote() -> None:
    """Three zeros by a literal, the rest by copies that overlap themselves: 600 bytes of zeros, then one point."""
    plain = np.zeros((50, 3), np.float32)
    body = b"\x02\0\0\0"  # 3 literal bytes
    left = plain.nbytes - 3
    while left:
        length = min(left, 264) if min(left, 264) >= 9 else left
        if length >= 9:
            body += bytes([7 << 5, length - 9, 0])
        else:
            body += bytes([length - 1]) + bytes(length)
        left -= length
    header = struct.pack("<II", len(body), plain.nbytes)
    np.testing.assert_array_equal(read_pcd(pcd("binary_compressed", header + body)).vertices, plain)


CLOUD_FAULTS: dict[str, tuple[str, Callable[[], bytes | str], str]] = {
    "npy pickle": (
        "npy",
        lambda: npy(np.array([{}, []], object)),
        "holds object, not plain numbers",
    ),
    "npy text": ("npy", lambda: npy(np.array([["a"] * 3])), "holds <U1, not plain numbers"),
    "npy flat": ("npy", lambda: npy(np.zeros(9)), "holds an array (9,) where (N, 3)"),
    "npy turned": (
        "npy",
        lambda: npy(np.zeros((3, 2048))),
        "holds an array (3, 2048) where (N, 3)",
    ),
    "npy none": ("npy", lambda: npy(np.zeros((0, 3))), "holds no points"),
    "npy cut": (
        "npy",
        lambda: npy(CLOUD)[:-1],
        "truncated: its header promises an array (50, 3), wh",
    ),
    "npy header": (
        "npy",
        lambda: b"\x93NUMPY\x01\x00\x08\x00{'a': }\n",
        "does not begin with a .npy",
    ),
    "npy same": ("npy", lambda: npy(np.full((9, 3), 5.1)), "all its points lie in one place"),
    "npy nan": ("npy", lambda: npy(np.array([[0, 0, 0], [np.nan] * 3])), "point 1 is not finite"),
    "npz many": ("npz", lambda: npz(a=CLOUD, b=CLOUD), "holds the arrays a, b: name the one with"),
    "npz none": ("npz", npz, "holds the arrays (none): name the one"),
    "npz cut": ("npz", lambda: npz(a=CLOUD)[:-30], "damaged, or not .npz at all ("),
    "npz bomb": (
        "npz",
        lambda: npz(a=np.zeros((4_000_000, 3), np.float32)),
        "too large: 'a' unpacks",
    ),
    "txt words": ("txt", lambda: "a b c\nd e f\n", "expected a number, found 'd'"),
    "txt ragged": ("txt", lambda: "1 2 3\n4 5\n", "its points have 3 columns, but number 2 has 2"),
    "txt narrow": ("xyz", lambda: "1 2\n4 5\n", "holds an array (2, 2) where (N, 3)"),
    "txt none": ("txt", lambda: "\n\n", "holds no points"),
    "txt nan": ("txt", lambda: "nan 0 0\n1 1 1\n", "point 0 is not finite (1 of 2 are not)"),
    "txt binary": (
        "txt",
        lambda: b"\0\1\x1b[2J\xff\n",
        "expected a number, found '\\x00\\x01\\x1b[2J",
    ),
    "ply cut": ("ply", lambda: ply(False)[:-1], "truncated: its header promises 50 vertices"),
    "ply lines": (
        "ply",
        lambda: ply(True)[:-80],
        "truncated: its header promises 50 lines, it holds",
    ),
    "pcd head": ("pcd", lambda: "VERSION 0.7\n", "truncated, or not .pcd at all: it has no DATA"),
    "pcd axes": (
        "pcd",
        lambda: pcd("ascii", b"", "a b c"),
        "its .pcd header is damaged, or it has no",
    ),
    "pcd cut": (
        "pcd",
        lambda: pcd("binary", CLOUD.tobytes()[:-1]),
        "truncated: 50 points need 600",
    ),
    "pcd few": (
        "pcd",
        lambda: pcd("ascii", b"1 2 3\n"),
        "its header promises 50 points of 3 numbers, bu",
    ),
    "pcd kind": (
        "pcd",
        lambda: pcd("zip", b""),
        "has DATA zip; known are ascii, binary and binary_c",
    ),
    "pcd lzf": (
        "pcd",
        lambda: pcd("binary_compressed", struct.pack("<II", 9, 600) + b"\x20\xff\xff" * 3),
        "its compressed data is damaged",
    ),
}


@pytest.mark.parametrize("which", CLOUD_FAULTS)
def test_faults_of_clouds(tmp_path: Path, which: str) -> None:
    ending, make, message = CLOUD_FAULTS[which]
    assert fault(write(tmp_path / f"x.{ending}", make())).startswith(message)


def test_a_npy_that_promises_a_billion_points(tmp_path: Path) -> None:
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    message = fault(write(tmp_path / "x.npy", stream.getvalue()))
    assert message.startswith("truncated: its header promises an array (1000000000, 3)")


# --- files ---


def test_what_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.off").mkdir()
    assert fault(tmp_path / "folder.off") == "is a folder, not a file"
    assert fault(tmp_path / "none.off") == "cannot be read: No such file or directory"
    assert fault(write(tmp_path / "x.docx", "x")).startswith(
        "the ending '.docx' is not known (there"
    )
    sparse = tmp_path / "sparse.off"
    with sparse.open("wb") as file:
        file.truncate(3 * 1024**3)
    assert fault(sparse) == "too large: 3221225472 bytes (at most 419430400)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.off"
    os.mkfifo(path)
    assert fault(path) == "is not a regular file"
    with pytest.raises(DataError, match="is not a regular file"):
        reading.source_hash(Item("a/x", 0, "train", "mesh", path))


def test_read_gives_the_hash_of_the_bytes_and_the_items_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.off", f"OFF 4 1 0\n{SQUARE}4 0 1 2 3\n")
    shape, source_hash = read(Item("a/x", 0, "train", "mesh", path))
    assert shape.name == "a/x"
    assert source_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert reading.source_hash(Item("a/x", 0, "train", "mesh", path)) == source_hash
    (vertices, faces), twin = (shape.vertices, shape.faces), read_file(path)
    np.testing.assert_array_equal(vertices, twin.vertices)
    np.testing.assert_array_equal(faces, twin.faces)


def test_a_mesh_item_without_faces_is_not_taken_for_a_cloud(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ply", ply(True))
    with pytest.raises(DataError, match=r"x\.ply: has no faces"):
        read(Item("a/x", 0, "train", "mesh", path))


def test_reading_needs_nothing_heavy() -> None:
    code = "import sys, pointcmt_cli.data.reading, pointcmt_cli.data.folders.sources\n"
    code += "print([name for name in ('torch', 'trimesh', 'h5py', 'scipy') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.real_data
def test_real_meshes(shared_data: Path, meshes36: Path) -> None:
    items = recognise(shared_data / "modelnet_meshes", 0.2, 0.15).items
    items += recognise(meshes36, 0.2, 0.15).items[::5]
    for item in items:
        shape, _ = read(item)
        assert shape.faces is not None
        assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(1, abs=1e-6)
        assert shape.faces.max() < len(shape.vertices)
        points = sample_points(shape, 256)
        assert np.isfinite(points).all()
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)


@pytest.mark.real_data
def test_real_off_agrees_with_trimesh(shared_data: Path) -> None:
    path = shared_data / "modelnet_meshes" / "chair" / "train" / "chair_0001.off"
    shape, mesh = read_file(path), trimesh.load_mesh(path, process=False)
    assert shape.faces is not None
    ours = shape.vertices[shape.faces].astype(np.float64)
    theirs = np.asarray(mesh.vertices)[mesh.faces]
    scale = np.ptp(ours.reshape(-1, 3), axis=0) / np.ptp(theirs.reshape(-1, 3), axis=0)
    np.testing.assert_allclose(scale, scale[0], rtol=1e-5)
    moved = (theirs - theirs.reshape(-1, 3).min(axis=0)) * scale[0]
    np.testing.assert_allclose(ours - ours.reshape(-1, 3).min(axis=0), moved, atol=1e-5)
