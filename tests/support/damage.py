"""Files for tests of damage: good ones of every format, seeded ways to spoil them, and small ones that are bombs."""

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh

from glb_files import CORNERS, SQUARE, glb, pack, square


def good_files() -> dict[str, bytes]:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    cloud = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    rows = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in cloud)
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, cloud)
    np.savez_compressed(archive, points=cloud)
    head = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\nPOINTS 60\n"
    polygons = mesh.export(file_type="off").replace("\n3 ", "\n3 ", 1) + "\n"
    files: dict[str, bytes | str] = {
        "triangles.off": mesh.export(file_type="off"),
        "colours.off": re.sub(r"(?m)^3 (\d+ \d+ \d+)$", r"3 \1 255 0 0", polygons),
        "x.obj": mesh.export(file_type="obj"),
        "binary.ply": mesh.export(file_type="ply"),
        "text.ply": mesh.export(file_type="ply", encoding="ascii"),
        "cloud.ply": trimesh.PointCloud(cloud).export(file_type="ply"),
        "binary.stl": mesh.export(file_type="stl"),
        "text.stl": mesh.export(file_type="stl_ascii"),
        "x.glb": mesh.export(file_type="glb"),
        "x.npy": array.getvalue(),
        "x.npz": archive.getvalue(),
        "x.xyz": rows,
        "x.txt": rows.replace(" ", ","),
        "text.pcd": head + "DATA ascii\n" + rows,
        "binary.pcd": head.encode() + b"DATA binary\n" + cloud.tobytes(),
    }
    return {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}


FILES = good_files()
Damage = Callable[[bytes, np.random.Generator], bytes]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def cut_a_hole(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(len(data), size=2))
    return data[:start] + data[end:]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 20)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def flip_early_bits(data: bytes, rng: np.random.Generator) -> bytes:
    return flip_bits(data[:200], rng) + data[200:]


def swap_lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.integers(len(lines), size=2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def double(data: bytes, rng: np.random.Generator) -> bytes:
    return data + data[rng.integers(len(data)) :]


def number(new: bytes, early: bool = False) -> Damage:
    """Put something else in the place of one number of the text."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        places = list(re.finditer(rb"(?<![\w.])-?\d+(\.\d+)?", data[:300] if early else data))
        if not places:
            return new + data
        place = places[rng.integers(len(places))]
        return data[: place.start()] + new + data[place.end() :]

    return damage


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    return data[:start] + bytes(len(data) - start)


def ones(data: bytes, rng: np.random.Generator) -> bytes:
    """A run of 0xff: NaN in floats, the largest number in unsigned integers."""
    start = int(rng.integers(len(data)))
    return data[:start] + b"\xff" * 8 + data[start + 8 :]


DAMAGES: dict[str, Damage] = {
    "empty": lambda data, rng: b"",
    "one byte": lambda data, rng: data[:1],
    "noise": lambda data, rng: rng.bytes(len(data)),
    "cut": cut,
    "hole": cut_a_hole,
    "bits": flip_bits,
    "early bits": flip_early_bits,
    "lines": swap_lines,
    "double": double,
    "zeros": zeros,
    "ones": ones,
    "nan": number(b"nan"),
    "inf": number(b"-inf"),
    "huge": number(b"1e300"),
    "index": number(b"99999999"),
    "negative": number(b"-7"),
    "word": number(b"x"),
    "count": number(b"1000000000", early=True),
    "long count": number(b"9" * 5000, early=True),
}


def materials(count: int) -> str:
    """An .obj whose every face has a material of its own."""
    faces = "".join(f"usemtl m{number}\nf 1 2 3\n" for number in range(count))
    return f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{faces}"


def huge_png(side: int) -> bytes:
    """A picture that is large by its header alone."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0"), b"IEND"]
    body = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def textured(image: bytes) -> bytes:
    surface = {"baseColorTexture": {"index": 0}}
    part = {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}
    tree = {
        "meshes": [{"primitives": [part]}],
        "materials": [{"pbrMetallicRoughness": surface}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
    }
    return glb(tree, [SQUARE, CORNERS, SQUARE[:, :2].copy()], [image])


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def copies(levels: int) -> bytes:
    """Nodes of two children that are one node: 2^levels squares."""
    nodes: list[dict[str, object]] = [{"children": [i + 1, i + 1]} for i in range(levels)]
    return square(nodes=[*nodes, {"mesh": 0}])


def primitive_of_nothing(count: int) -> bytes:
    accessor = {"componentType": 5126, "count": count, "type": "VEC3"}
    part = {"attributes": {"POSITION": 0}}
    return pack(
        {
            "asset": {"version": "2.0"},
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [part]}],
            "accessors": [accessor],
        }
    )


def raw_glb(text: bytes) -> bytes:
    """A container around what need not be a tree."""
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


def many_members() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(10_000):
            archive.writestr(f"a{number}.npy", b"")
    return stream.getvalue()


PLY_HEAD = (
    "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\nproperty float y\n"
)
PLY_HEAD += "property float z\nelement face {}\nproperty list {} int vertex_indices\nend_header\n"
PCD_HEAD = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT {}\nWIDTH {}\nHEIGHT 1\nDATA {}\n"
LZF_OF_ZEROS = b"\0\0" + b"\xe0\xff\0" * 2000
"""One zero, copied over and over: half a megabyte in six kilobytes."""


MESH_BOMBS: dict[str, Callable[[], bytes | str]] = {
    "billion.off": lambda: "OFF\n1000000000 1000000000 0\n0 0 0\n",
    "million.off": lambda: "OFF\n9000000 9000000 0\n0 0 0\n3 0 1 2\n",
    "endless.off": lambda: "OFF\n3 1 0\n" + "9" * 5_000_000,
    "spaces.off": lambda: "OFF" + " " * 5_000_000,
    "comments.off": lambda: "OFF\n" + "#\n" * 2_000_000,
    "polygon.off": lambda: "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n600000" + " 0 1 2" * 200_000,
    "promise.ply": lambda: PLY_HEAD.format(10**9, 10**9, "uchar"),
    "list.ply": lambda: PLY_HEAD.format(3, 1, "uint").encode() + b"\0" * 36 + b"\xff" * 40,
    "elements.ply": lambda: (
        "ply\nformat ascii 1.0\n" + "element vertex 1\n" * 3000 + "end_header\n"
    ),
    "promise.stl": lambda: b"\0" * 80 + struct.pack("<I", 2**32 - 1),
    "solids.stl": lambda: "solid\nendsolid\n" * 200_000,
    "materials.obj": lambda: materials(20_000),
    "polygon.obj": lambda: "v 0 0 0\nv 1 0 0\nv 0 1 0\nf" + " 1 2 3" * 100_000 + "\n",
    "indices.obj": lambda: "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99999999999\n",
    "zip.glb": lambda: zipped("x.glb", bytes(50_000_000)),
    "empty_accessor.glb": lambda: primitive_of_nothing(10**9),
    "sparse.glb": lambda: square(accessor_extras=[{"sparse": {"count": 10**9}}]),
    "instances.glb": lambda: square(extensionsUsed=["EXT_mesh_gpu_instancing"]),
    "copies.glb": lambda: copies(40),
    "circle.glb": lambda: square(nodes=[{"children": [1]}, {"mesh": 0, "children": [0]}]),
    "often.glb": lambda: glb(
        {
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
            "nodes": [{"mesh": 0}] * 20_000,
            "scenes": [{"nodes": list(range(20_000))}],
        },
        [np.zeros((5000, 3), np.float32), CORNERS],
    ),
    "stride.glb": lambda: square(
        bufferViews=[{"buffer": 0, "byteLength": 48, "byteStride": 0}] * 2,
        accessor_extras=[{"count": 10**9}],
    ),
    "texture.glb": lambda: textured(huge_png(50_000)),
    "large_texture.glb": lambda: textured(huge_png(12_000)),
    "nested.glb": lambda: raw_glb(b"[" * 100_000),
    "numbers.glb": lambda: raw_glb(b'{"x": ' + b"9" * 100_000 + b"}"),
    "huge_tree.glb": lambda: raw_glb(b"[" + b"[]," * 3_500_000 + b"1]"),
}

CLOUD_BOMBS: dict[str, Callable[[], bytes | str]] = {
    "zeros.npz": lambda: zipped("points.npy", npy_header((5_000_000, 3)) + bytes(60_000_000)),
    "lying.npz": lambda: zipped("points.npy", npy_header((10**9, 3))),
    "many.npz": many_members,
    "promise.npy": lambda: npy_header((10**9, 3)),
    "strange.npy": lambda: npy_header((10**18, 10**18, 3)),
    "negative.npy": lambda: npy_header((-1, 3)) + bytes(1200),
    "promise.pcd": lambda: PCD_HEAD.format("1 1 1", 10**9, "binary"),
    "wide.pcd": lambda: PCD_HEAD.format(f"1 1 {10**9}", 10**6, "binary"),
    "lzf.pcd": lambda: (
        PCD_HEAD.format("1 1 1", 12_000_000, "binary_compressed").encode()
        + struct.pack("<II", len(LZF_OF_ZEROS), 144_000_000)
        + LZF_OF_ZEROS
    ),
    "zeros.pcd": lambda: (
        PCD_HEAD.format("1 1 1", 40_000, "binary_compressed").encode()
        + struct.pack("<II", len(LZF_OF_ZEROS), 480_000)
        + LZF_OF_ZEROS
    ),
    "text.pcd": lambda: PCD_HEAD.format("1 1 1", 10**9, "ascii") + "0 0 0\n",
    "line.xyz": lambda: "1 " * 3_000_000,
    "column.txt": lambda: "1\n" * 3_000_000,
    "binary.txt": lambda: bytes(5_000_000),
    "promise.ply": lambda: PLY_HEAD.format(10**9, 0, "uchar"),
}


def is_mesh(name: str) -> bool:
    """Of the good files: which tree they belong to."""
    return name.endswith((".off", ".obj", ".stl", ".glb")) or name in ("binary.ply", "text.ply")


def put_odd_things(folder: Path, ending: str) -> dict[str, str]:
    """What is no file; the stem of each, and the beginning of the reason that it is left out for."""
    os.mkfifo(folder / f"pipe{ending}")
    (folder / f"lost{ending}").symlink_to("nowhere")
    (folder / f"loop{ending}").symlink_to(f"loop{ending}")
    (folder / f"device{ending}").symlink_to("/dev/zero")
    (folder / f"folder{ending}").mkdir()
    with (folder / f"holes{ending}").open("wb") as file:
        file.truncate(20 * 1024**3)
    return {
        "pipe": "is not a regular file",
        "lost": "cannot be read: No such file or directory",
        "loop": "cannot be read: ",
        "device": "is not a regular file",
        "holes": "too large: 21474836480 bytes",
    }
