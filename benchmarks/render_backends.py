"""One renderer in a process of its own, for render.py: draws every mesh when told to, answers in JSON lines.

usage: python benchmarks/render_backends.py BACKEND SIZE RIG MESH...
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli import discovery
from pointcmt_cli.api import Cameras, Shape
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.reading import read_file

Draw = Callable[[Shape, Cameras], Any]


def main() -> None:
    """Read the meshes, draw one for a start, then obey lines on standard input."""
    name, size, rig, *paths = sys.argv[1:]
    meshes = [read_file(Path(path)) for path in paths]
    shapes = [replace(mesh, points=sample_points(mesh, 1024)) for mesh in meshes]
    rigs = cameras(rig, int(size))
    draw = BACKENDS[name]()
    draw(shapes[0], rigs)  # compile, make contexts
    answer({"gl": getattr(sys.modules.get("OpenGL"), "__version__", None)})
    for line in sys.stdin:
        if line.strip() == "picture":
            answer({"gray": float(np.mean([draw(shape, rigs).mean() for shape in shapes]))})
            continue
        busy, wall = time.process_time(), time.perf_counter()
        for shape in shapes:
            draw(shape, rigs)
        answer(
            {
                "cpu_seconds": time.process_time() - busy,
                "wall_seconds": time.perf_counter() - wall,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )


def answer(values: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(values), flush=True)


def stock_pyrender(anew: bool) -> Draw:
    """pyrender as its documentation shows it: its own mesh, material and shader, a light at the camera."""
    import pyrender
    import trimesh

    kept: list[Any] = []

    def draw(shape: Shape, rig: Cameras) -> Any:
        while anew and kept:
            kept.pop().delete()
        if not kept:
            kept.append(pyrender.OffscreenRenderer(rig.size, rig.size))
        solid = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
        scene = pyrender.Scene(bg_color=[1.0, 1.0, 1.0, 1.0], ambient_light=[0.15] * 3)
        scene.add(pyrender.Mesh.from_trimesh(solid, smooth=False))
        camera = scene.add(pyrender.PerspectiveCamera(rig.field_of_view, aspectRatio=1.0))
        lamp = scene.add(pyrender.DirectionalLight(intensity=2.0))
        images = []
        for pose in rig.poses:
            scene.set_pose(camera, pose)
            scene.set_pose(lamp, pose)
            images.append(
                kept[0].render(scene, flags=pyrender.RenderFlags.SKIP_CULL_FACES)[0][..., 0]
            )
        return np.stack(images)

    return draw


VERTEX = """
#version 330
uniform mat4 camera;
in vec3 place;
in vec3 normal;
flat out vec3 across;
void main() { gl_Position = camera * vec4(place, 1.0); across = normal; }
"""
FRAGMENT = """
#version 330
uniform vec3 light;
flat in vec3 across;
out float level;
void main() { level = 0.15 + 0.65 * abs(dot(across, light)); }
"""


def moderngl_lambert() -> Draw:
    """A minimal flat Lambert shader under moderngl on EGL."""
    import moderngl

    context = moderngl.create_context(standalone=True, backend="egl")
    context.enable(moderngl.DEPTH_TEST)
    program = context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
    targets: dict[int, Any] = {}

    def draw(shape: Shape, rig: Cameras) -> Any:
        size = rig.size
        if size not in targets:
            color = context.renderbuffer((size, size), 1, dtype="f1")
            targets[size] = context.framebuffer(color, context.depth_renderbuffer((size, size)))
        target = targets[size]
        target.use()
        corners = shape.vertices[shape.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        packed = np.concatenate([corners, np.repeat(normals[:, None], 3, axis=1)], axis=2)
        buffer = context.buffer(packed.astype("f4").tobytes())
        array = context.vertex_array(program, [(buffer, "3f 3f", "place", "normal")])
        near, far, focal = 0.1, 10.0, 1 / np.tan(rig.field_of_view / 2)
        lens = np.diag([focal, focal, (far + near) / (near - far), 0.0])
        lens[2, 3], lens[3, 2] = 2 * far * near / (near - far), -1.0
        images = []
        for pose, to_camera in zip(rig.poses, rig.world_to_camera, strict=True):
            target.clear(1.0, depth=1.0)
            program["camera"].write((lens @ to_camera).T.astype("f4").tobytes())
            program["light"].write(pose[:3, 2].astype("f4").tobytes())
            array.render()
            pixels = np.frombuffer(target.read(components=1, alignment=1), np.uint8)
            images.append(pixels.reshape(size, size)[::-1])
        array.release()
        buffer.release()
        return np.stack(images)

    return draw


BACKENDS: dict[str, Callable[[], Draw]] = {
    "raster": lambda: discovery.build("renderers", "raster"),
    "points": lambda: discovery.build("renderers", "points"),
    "pyrender plug-in, EGL": lambda: discovery.build("renderers", "pyrender", {"platform": "egl"}),
    "pyrender, OSMesa": lambda: stock_pyrender(anew=True),
    "pyrender, EGL": lambda: stock_pyrender(anew=False),
    "moderngl, EGL": moderngl_lambert,
}


if __name__ == "__main__":
    main()
