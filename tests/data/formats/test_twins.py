"""The fast readers against trimesh, or against the plain meaning of a file where trimesh has none."""

import struct
from typing import Any

import numpy as np
import pytest
import trimesh

from glb_files import CORNERS, SQUARE, glb, square
from pointcmt_cli.data.formats.geometry import Geometry
from pointcmt_cli.data.formats.mesh import load_scene, merge, read_mesh
from pointcmt_cli.data.formats.text import UnreadableError

RNG = np.random.default_rng(5)


def meshes() -> dict[str, trimesh.Trimesh]:
    soup = RNG.normal(size=(60, 3, 3)) * [1, 10, 1000]
    return {
        "sphere": trimesh.creation.icosphere(subdivisions=2),
        "ring": trimesh.creation.annulus(0.3, 1.0, 0.5),
        "box": trimesh.creation.box((1, 2, 3)),
        "soup": trimesh.Trimesh(**trimesh.triangles.to_kwargs(soup), process=False),
        "one": trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False),
    }


MESHES = meshes()
EXPORTS: list[tuple[str, dict[str, Any]]] = [
    ("off", {}),
    ("off", {"digits": 17}),
    ("ply", {}),
    ("ply", {"encoding": "ascii"}),
    ("ply", {"vertex_normal": True}),
    ("stl", {}),
    ("stl_ascii", {}),
    ("glb", {}),
    ("obj", {}),
]


def same(data: bytes, ending: str) -> Geometry:
    """Read by us and by trimesh, and equal to the last bit, vertices and faces in the same order."""
    ours, theirs = read_mesh(data, ending), merge(load_scene(data, ending))
    np.testing.assert_array_equal(ours.vertices, theirs.vertices)
    np.testing.assert_array_equal(ours.faces, theirs.faces)
    return ours


def triangles(found: Geometry) -> np.ndarray:
    assert found.faces is not None
    corners: np.ndarray = found.vertices[found.faces]
    return corners


@pytest.mark.parametrize("which", MESHES)
@pytest.mark.parametrize(("kind", "options"), EXPORTS)
def test_equal_to_trimesh(which: str, kind: str, options: dict[str, Any]) -> None:
    data = MESHES[which].export(file_type=kind, **options)
    found = same(data if isinstance(data, bytes) else data.encode(), f".{kind.split('_')[0]}")
    assert found.faces is not None
    assert len(found.faces) == len(MESHES[which].faces)


def test_a_text_stl_of_several_solids() -> None:
    """Faster than by trimesh, whose time is quadratic in their number."""
    part = MESHES["box"].export(file_type="stl_ascii")
    both = (part + part.replace("0.5", "1.5")).encode()
    found, theirs = read_mesh(both, ".stl"), merge(load_scene(both, ".stl"))
    np.testing.assert_array_equal(triangles(found), triangles(theirs))
    many = read_mesh(part.encode() * 2000, ".stl")
    assert len(triangles(many)) == 24_000


def test_thousands_of_materials_of_an_obj() -> None:
    """They are left out before trimesh sees them, whose time is quadratic in their number."""
    groups = "".join(f"usemtl m{number}\nf 1 2 3\n" for number in range(20_000))
    found = read_mesh(f"mtllib x.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\n{groups}".encode(), ".obj")
    assert len(triangles(found)) == 20_000


# --- .off that only trimesh knows ---


def test_an_off_in_another_encoding_is_trimeshs() -> None:
    text = MESHES["box"].export(file_type="off")
    expected = read_mesh(text.encode(), ".off")
    for data in (text.encode("utf-16"), ("made by hand " + text).encode()):
        found = read_mesh(data, ".off")
        np.testing.assert_array_equal(found.vertices, expected.vertices)
        np.testing.assert_array_equal(found.faces, expected.faces)


# --- .ply ---


def ply(rows: bytes, vertices: str, faces: str, order: str, counts: tuple[int, int]) -> bytes:
    head = f"ply\nformat {order} 1.0\ncomment x\nelement vertex {counts[0]}\n{vertices}"
    head += f"element face {counts[1]}\n{faces}end_header\n"
    return head.encode() + rows


XYZ = "property float x\nproperty float y\nproperty float z\n"
POLYGONS = [[0, 1, 2], [0, 1, 2, 3], [3, 2, 1], [0, 1], [4, 3, 2, 1, 0], [1, 2, 3, 4]]
FANS = [[0, 1, 2], [3, 2, 1], [0, 1, 2], [1, 2, 3], [0, 2, 3], [1, 3, 4]]
FANS += [[4, 3, 2], [4, 2, 1], [4, 1, 0]]


@pytest.mark.parametrize("sign", ["<", ">"])
@pytest.mark.parametrize("count", ["uchar", "int"])
def test_polygons_of_a_binary_ply(sign: str, count: str) -> None:
    """Mixed with numbers before and behind the list; sorted by corners, and then by fan."""
    points = RNG.normal(size=(5, 3)).astype(np.float32)
    rows = points.astype(f"{sign}f4").tobytes()
    for number, polygon in enumerate(POLYGONS):
        rows += struct.pack(sign + "h", number)
        rows += struct.pack(sign + {"uchar": "B", "int": "i"}[count], len(polygon))
        rows += struct.pack(f"{sign}{len(polygon)}Id", *polygon, 0.5)
    order = f"binary_{'little' if sign == '<' else 'big'}_endian"
    faces = f"property short k\nproperty list {count} uint vertex_indices\nproperty double a\n"
    found = read_mesh(ply(rows, XYZ, faces, order, (5, len(POLYGONS))), ".ply")
    np.testing.assert_array_equal(found.vertices, points)
    np.testing.assert_array_equal(found.faces, FANS)


def test_polygons_of_a_text_ply() -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in SQUARE.tolist()) + "\n9 9 9\n"
    rows += "\n".join(f"7 {len(each)} {' '.join(map(str, each))} 0.5" for each in POLYGONS)
    faces = "property int k\nproperty list uchar int vertex_index\nproperty double a\n"
    data = ply(rows.encode(), XYZ, faces, "ascii", (5, len(POLYGONS)))
    found = read_mesh(data, ".ply")
    np.testing.assert_array_equal(found.vertices[:4], SQUARE)
    np.testing.assert_array_equal(found.faces, FANS)


def test_a_quad_ply_and_other_elements_are_trimeshs_triangles() -> None:
    rows = SQUARE.tobytes() + struct.pack("<B4i", 4, 0, 1, 2, 3) + struct.pack("<ii", 0, 1)
    head = ply(b"", XYZ, "property list uchar int vertex_indices\n", "binary_little_endian", (4, 1))
    edges = b"element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n"
    data = head.replace(b"end_header\n", edges) + rows
    found = read_mesh(data, ".ply")
    np.testing.assert_array_equal(found.faces, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(found.vertices, SQUARE)


def test_two_lists_are_trimeshs() -> None:
    """Texture coordinates of each corner: it splits vertices, but the triangles are the same."""
    faces = "property list uchar int vertex_indices\nproperty list uchar float texcoord\n"
    rows = SQUARE.tobytes()
    for corners in CORNERS.reshape(2, 3).tolist():
        rows += struct.pack("<B3iB6f", 3, *corners, 6, *RNG.random(6))
    found = read_mesh(ply(rows, XYZ, faces, "binary_little_endian", (4, 2)), ".ply")
    np.testing.assert_array_equal(triangles(found), SQUARE[CORNERS.reshape(2, 3)])


@pytest.mark.parametrize("wrong", [4, -1, 2**31 - 1])
def test_a_ply_index_out_of_range(wrong: int) -> None:
    rows = SQUARE.tobytes() + struct.pack("<B3i", 3, 0, 1, wrong)
    faces = "property list uchar int vertex_indices\n"
    with pytest.raises(UnreadableError, match="but they are numbered 0 to 3"):
        read_mesh(ply(rows, XYZ, faces, "binary_little_endian", (4, 1)), ".ply")


# --- .glb ---


def test_nodes_move_turn_and_scale_what_hangs_on_them() -> None:
    nodes: list[dict[str, Any]] = [
        {"children": [1, 2], "rotation": [0.5, 0.5, -0.5, 0.5], "translation": [1, 2, 3]},
        {"mesh": 0, "scale": [1, 2, -3], "rotation": [0, 0, 0.6, 0.8], "children": [3]},
        {"mesh": 1, "matrix": [2, 0, 0, 0, 0, 0, 3, 0, 0, -1, 0, 0, 5, 6, 7, 1]},
        {"mesh": 0, "translation": [-4, 0, 0.5]},
        {"mesh": 1},
    ]
    part = {"attributes": {"POSITION": 0}, "indices": 1}
    bare = {"attributes": {"POSITION": 2}}
    tree = {"nodes": nodes, "meshes": [{"primitives": [part, bare]}, {"primitives": [bare]}]}
    data = glb(tree, [SQUARE, CORNERS, RNG.normal(size=(6, 3)).astype(np.float32)])
    ours, theirs = read_mesh(data, ".glb"), merge(load_scene(data, ".glb"))
    assert len(triangles(ours)) == 2 * (2 + 2) + 2  # the last node is in no scene

    def ordered(found: Geometry) -> np.ndarray:
        flat = triangles(found).reshape(-1, 9)
        return flat[np.lexsort(flat.round(6).T)]

    np.testing.assert_allclose(ordered(ours), ordered(theirs), atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "corners", "expected"),
    [
        (4, [0, 1, 2, 2, 3, 0], [[0, 1, 2], [2, 3, 0]]),
        (5, [0, 1, 3, 2], [[0, 1, 3], [3, 1, 2]]),
        (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]]),
    ],
)
def test_lists_strips_and_fans(mode: int, corners: list[int], expected: list[list[int]]) -> None:
    part = {"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}
    lines = {"attributes": {"POSITION": 0}, "mode": 1}
    tree = {"meshes": [{"primitives": [lines, part]}]}
    found = read_mesh(glb(tree, [SQUARE, np.array(corners, np.uint8)]), ".glb")
    assert found.faces is not None
    turned = [sorted_cycle(face) for face in found.faces.tolist()]
    assert turned == [sorted_cycle(face) for face in expected]


def sorted_cycle(face: list[int]) -> list[int]:
    """The same corners in the same sense, the least first."""
    start = face.index(min(face))
    return face[start:] + face[:start]


def test_whole_numbers_as_positions_mean_what_the_accessor_says() -> None:
    """KHR_mesh_quantization: normalised ones are shares of the largest number."""
    whole = (SQUARE * 32767).astype(np.int16)
    part = {"attributes": {"POSITION": 0}, "indices": 1}
    for normalized, largest in ((True, 1.0), (False, 32767.0)):
        tree = {
            "meshes": [{"primitives": [part]}],
            "extensionsRequired": ["KHR_mesh_quantization"],
            "accessor_extras": [{"normalized": normalized}],
        }
        found = read_mesh(glb(tree, [whole, CORNERS]), ".glb")
        np.testing.assert_allclose(found.vertices, SQUARE * largest)


def test_interleaved_attributes() -> None:
    both = np.hstack([SQUARE, RNG.normal(size=(4, 3)).astype(np.float32)])
    data = glb(
        {
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
            "bufferViews": [
                {"buffer": 0, "byteOffset": 0, "byteLength": 96, "byteStride": 24},
                {"buffer": 0, "byteOffset": 96, "byteLength": 12},
            ],
            "accessors": [
                {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
                {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
            ],
        },
        [both.reshape(-1), CORNERS],
    )
    np.testing.assert_array_equal(same(data, ".glb").vertices, SQUARE)


GLB_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "instances": (
        {"extensionsUsed": ["EXT_mesh_gpu_instancing"]},
        "uses EXT_mesh_gpu_instancing: export it with plain nodes",
    ),
    "sparse": ({"accessor_extras": [{"sparse": {"count": 1}}]}, "has sparse accessors, which are"),
    "empty": ({"accessor_extras": [{"count": -4}]}, "has an accessor of -4 elements"),
    "odd": ({"accessor_extras": [{}, {"count": 5}]}, "a mesh has 5 corners, which do not form"),
    "circle": ({"nodes": [{"children": [1]}, {"children": [0], "mesh": 0}]}, "a node of its scene"),
    "index": ({"accessor_extras": [{"count": 3}]}, "a face refers to vertex 3, but they are numb"),
    "copies": (
        {"scenes": [{"nodes": list(range(800_000))}], "nodes": [{"mesh": 0}] * 800_000},
        "too large: a glTF tree of",
    ),
    "many": (
        {"scenes": [{"nodes": [0]}], "nodes": [{"children": list(range(1, 10))}]},
        "its glTF tree is damaged (IndexError",
    ),
    "scene": ({"scene": 3}, "its glTF tree is damaged (IndexError"),
    "nodes": ({"nodes": 7}, "its glTF tree is damaged (TypeError"),
}


@pytest.mark.parametrize("which", GLB_FAULTS)
def test_faults_of_glb(which: str) -> None:
    tree, message = GLB_FAULTS[which]
    with pytest.raises(UnreadableError) as caught:
        read_mesh(square(**tree), ".glb")
    assert str(caught.value).startswith(message)


def test_a_part_that_is_named_very_often_is_refused() -> None:
    part = {"attributes": {"POSITION": 0}, "indices": 1}
    nodes = [{"mesh": 0}] * 1200
    tree = {
        "meshes": [{"primitives": [part]}],
        "nodes": nodes,
        "scenes": [{"nodes": list(range(1200))}],
    }
    data = glb(tree, [np.zeros((5000, 3), np.float32), CORNERS])
    with pytest.raises(UnreadableError, match="its nodes repeat parts to 6000000 vertices and"):
        read_mesh(data, ".glb")
