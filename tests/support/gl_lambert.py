"""Flat Lambert by OpenGL, against which the raster renderer is held. In: mesh files; out: a line of JSON for each.

usage: python gl_lambert.py FILE.npz ...    each with vertices (N, 3) and faces (F, 3)

No antialiasing, a 24-bit z-buffer, the light at the camera. In a process of its own, because a context is not to be
mixed with other libraries' of OpenGL. Ends with status 77 and a reason where there is no OpenGL.
"""

import json
import sys

import numpy as np

from pointcmt_cli.data.cameras.rigs import Cameras, cameras
from pointcmt_cli.data.shape import Shape
from pointcmt_renderers.raster.raster import raster

VERTEX = """
#version 330
uniform mat4 camera;
in vec3 place;
in vec3 normal;
flat out vec3 across;
out vec3 where;
void main() { gl_Position = camera * vec4(place, 1.0); across = normal; where = place; }
"""
FRAGMENT = """
#version 330
uniform vec3 eye;
uniform vec3 light;
flat in vec3 across;
in vec3 where;
out vec4 level;
void main() {
    vec3 seen = dot(across, eye - where) < 0.0 ? -across : across;
    level = vec4(vec3(0.15 + 0.65 * max(dot(seen, light), 0.0)), 1.0);
}
"""
NEAR, FAR = 1.0, 5.0


def draw(context: object, program: object, shape: Shape, rig: Cameras) -> np.ndarray:
    """Gray (V, H, W)."""
    target = context.simple_framebuffer((rig.size, rig.size), components=4)
    target.use()
    corners = shape.vertices[shape.faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    packed = np.concatenate([corners, np.repeat(normals[:, None], 3, axis=1)], axis=2)
    buffer = context.buffer(packed.astype("f4").tobytes())
    faces = context.vertex_array(program, [(buffer, "3f 3f", "place", "normal")])
    if rig.half_height is None:
        zoom, depth = 1 / np.tan(rig.field_of_view / 2), (FAR + NEAR) / (NEAR - FAR)
        lens = np.diag([zoom, zoom, depth, 0.0])
        lens[2, 3], lens[3, 2] = 2 * FAR * NEAR / (NEAR - FAR), -1.0
    else:
        zoom = 1 / rig.half_height
        lens = np.diag([zoom, zoom, 2 / (NEAR - FAR), 1.0])
        lens[2, 3] = (FAR + NEAR) / (NEAR - FAR)
    images = []
    for pose, to_camera in zip(rig.poses, rig.world_to_camera, strict=True):
        eye = pose[:3, 3] + (1e6 * pose[:3, 2] if rig.orthographic else 0)
        target.clear(1.0, 1.0, 1.0, 1.0, depth=1.0)
        program["camera"].write((lens @ to_camera).T.astype("f4").tobytes())
        program["eye"].write(eye.astype("f4").tobytes())
        program["light"].write(pose[:3, 2].astype("f4").tobytes())
        faces.render()
        pixels = np.frombuffer(target.read(components=4, alignment=1), np.uint8)
        images.append(pixels.reshape(rig.size, rig.size, 4)[::-1, :, 0])
    return np.stack(images)


def main() -> None:
    """Compare both on every file and in both projections."""
    try:
        import moderngl

        context = moderngl.create_context(standalone=True, backend="egl")
    except Exception as error:  # what a missing driver raises differs from library to library
        sys.stderr.write(f"no OpenGL: {type(error).__name__}: {error}\n")
        sys.exit(77)
    context.enable(moderngl.DEPTH_TEST)
    program = context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
    for file in sys.argv[1:]:
        with np.load(file) as arrays:
            shape = Shape(file, arrays["vertices"], arrays["faces"])
        for projection in ("perspective", "orthographic"):
            rig = cameras("mvcnn12", 224, projection)  # type: ignore[arg-type]
            theirs, ours = draw(context, program, shape, rig), raster(light=(0.0, 0.0))(shape, rig)
            differ = np.abs(theirs.astype(int) - ours)
            either = (theirs < 255) | (ours < 255)
            outline = (theirs < 255) != (ours < 255)
            record = {
                "file": file,
                "projection": projection,
                "difference": float(differ.mean()),
                "outline": float(outline.sum() / either.sum()),
                "covered": float(either.mean()),
            }
            sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
