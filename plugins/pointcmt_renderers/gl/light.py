"""The light shader: raster's pictures by a few GL calls on pyrender's context. In: a mesh and cameras; out: views.

pyrender's own shader costs ten times as much on a CPU: physical materials, four samples a pixel, a depth image that
nobody asked for. Nothing of it is replaced here: the context is pyrender's, program and framebuffer are ours.
Normals are raster's, computed on the CPU.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Shape
from pointcmt_renderers.raster.kernels import face_planes
from pointcmt_renderers.raster.smooth import corner_normals

VERTEX = """#version 330 core
uniform mat4 view, lens;
uniform bool parallel;
layout(location = 0) in vec3 place;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec3 color;
layout(location = 3) in vec3 soft;
flat out vec3 plane;
flat out float side;
out vec3 bent, tint;
out float depth;
void main() {
    vec4 here = view * vec4(place, 1.0);
    vec3 sight = parallel ? vec3(0.0, 0.0, -1.0) : here.xyz;
    plane = mat3(view) * normal;
    side = dot(plane, sight) > 0.0 ? -1.0 : 1.0;
    bent = mat3(view) * soft;
    tint = color;
    depth = -here.z;
    gl_Position = lens * here;
}
"""
FRAGMENT = """#version 330 core
uniform vec3 light;
uniform vec2 levels;
uniform float entered;
flat in vec3 plane;
flat in float side;
in vec3 bent, tint;
in float depth;
out vec3 pixel;
void main() {
    vec3 facing = side * NORMAL;
    pixel = SHADE;
}
"""
PLACE, NORMAL, COLOR, BENT = range(4)
"""Places of attributes in VERTEX."""
NORMALS = {"flat": "plane", "smooth": "normalize(bent)"}
SHADES = {
    "lambert": "tint * (levels.x + levels.y * max(dot(facing, light), 0.0))",
    "normal": "0.5 + 0.5 * facing",
    "depth": "vec3(mix(0.1, 0.8, clamp(0.5 * (depth - entered), 0.0, 1.0)))",
    "silhouette": "vec3(0.0)",
}
"""As raster_shading.py has them, in [0, 1]."""


class Light:
    """A program on a context, for one kind of picture; framebuffers are made per image size and kept."""

    def __init__(
        self,
        context: Any,
        *,
        shading: str,
        normals: str,
        color: bool,
        samples: int,
        light: NDArray[np.float64],
        levels: tuple[float, float],
    ) -> None:
        from OpenGL import GL
        from OpenGL.GL import shaders

        self.gl, self.context, self.color, self.samples = GL, context, color, samples
        self.smooth = normals == "smooth"
        self.size = 0
        self.frames: list[int] = []
        self.buffers: list[int] = []
        context.make_current()
        self.array = GL.glGenVertexArrays(1)
        GL.glBindVertexArray(self.array)  # a core profile validates no program without one
        fragment = FRAGMENT.replace("NORMAL", NORMALS[normals]).replace("SHADE", SHADES[shading])
        self.program = shaders.compileProgram(
            shaders.compileShader(VERTEX, GL.GL_VERTEX_SHADER),
            shaders.compileShader(fragment, GL.GL_FRAGMENT_SHADER),
        )
        GL.glUseProgram(self.program)
        GL.glUniform3f(self._at("light"), *light)
        GL.glUniform2f(self._at("levels"), *levels)
        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)  # rows of any width, without gaps
        GL.glClearColor(1.0, 1.0, 1.0, 1.0)

    def draw(self, shape: Shape, cameras: Cameras) -> Iterator[NDArray[np.uint8]]:
        """View after view (H, W, C): C is 3 in colour, else 1. The next is drawn into the same memory."""
        self.context.make_current()
        self._frame(cameras.size)
        return self._views(shape, cameras)

    def _views(self, shape: Shape, cameras: Cameras) -> Iterator[NDArray[np.uint8]]:
        gl, size = self.gl, cameras.size
        gl.glUseProgram(self.program)
        image = np.empty((size, size, 3 if self.color else 1), np.uint8)
        lens = projection(cameras).astype(np.float32)
        gl.glUniformMatrix4fv(self._at("lens"), 1, True, lens)
        gl.glUniform1i(self._at("parallel"), int(cameras.orthographic))
        pixels = gl.GL_RGB if self.color else gl.GL_RED
        with self._loaded(corners(shape, self.color, self.smooth)) as count:
            for to_camera in cameras.world_to_camera:
                gl.glUniformMatrix4fv(self._at("view"), 1, True, to_camera.astype(np.float32))
                gl.glUniform1f(self._at("entered"), -to_camera[2, 3] - 1.0)
                gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self.drawn)
                gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
                gl.glDrawArrays(gl.GL_TRIANGLES, 0, count)
                if self.samples:
                    gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, self.read)
                    area = (0, 0, size, size)
                    gl.glBlitFramebuffer(*area, *area, gl.GL_COLOR_BUFFER_BIT, gl.GL_NEAREST)
                    gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self.read)
                gl.glReadPixels(0, 0, size, size, pixels, gl.GL_UNSIGNED_BYTE, image)
                yield image[::-1]  # GL's row 0 is the lowest

    def _at(self, name: str) -> int:
        """A uniform's place; -1, which GL ignores, where this kind of picture does without it."""
        return int(self.gl.glGetUniformLocation(self.program, name))

    @contextmanager
    def _loaded(self, attributes: dict[int, NDArray[np.float32]]) -> Iterator[int]:
        """Corners (C, 3) each, by their place in the program, in a buffer while the block runs; C."""
        gl = self.gl
        buffer = gl.glGenBuffers(1)
        gl.glBindVertexArray(self.array)
        gl.glBindBuffer(gl.GL_ARRAY_BUFFER, buffer)
        data = np.concatenate(list(attributes.values()))
        gl.glBufferData(gl.GL_ARRAY_BUFFER, data.nbytes, data, gl.GL_STATIC_DRAW)
        gl.glVertexAttrib3f(COLOR, 1.0, 1.0, 1.0)  # white, where corners have none
        count = len(attributes[PLACE])
        for index, place in enumerate(attributes):
            gl.glEnableVertexAttribArray(place)
            offset = ctypes.c_void_p(12 * count * index)
            gl.glVertexAttribPointer(place, 3, gl.GL_FLOAT, False, 0, offset)
        try:
            yield count
        finally:
            for place in attributes:
                gl.glDisableVertexAttribArray(place)
            gl.glDeleteBuffers(1, [buffer])

    def _frame(self, size: int) -> None:
        """Bind framebuffers of that size; the old ones are freed when it changes."""
        gl = self.gl
        largest = int(gl.glGetIntegerv(gl.GL_MAX_RENDERBUFFER_SIZE))
        if size > largest:
            raise PointCMTError(
                f"pyrender: an image of {size} pixels is too large for this device; at most {largest}"
            )
        if size != self.size:
            gl.glDeleteFramebuffers(len(self.frames), self.frames)
            gl.glDeleteRenderbuffers(len(self.buffers), self.buffers)
            self.frames.clear()
            self.buffers.clear()
            self.drawn = self.read = self._target(size, self.samples)
            if self.samples:
                self.read = self._target(size, 0)
            self.size = size
        gl.glViewport(0, 0, size, size)

    def _target(self, size: int, samples: int) -> int:
        gl = self.gl
        frame, stores = gl.glGenFramebuffers(1), gl.glGenRenderbuffers(2)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, frame)
        formats = (gl.GL_RGBA8 if self.color else gl.GL_R8, gl.GL_DEPTH_COMPONENT24)
        points = (gl.GL_COLOR_ATTACHMENT0, gl.GL_DEPTH_ATTACHMENT)
        for store, layout, point in zip(stores, formats, points, strict=True):
            gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, store)
            gl.glRenderbufferStorageMultisample(gl.GL_RENDERBUFFER, samples, layout, size, size)
            gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, point, gl.GL_RENDERBUFFER, store)
        self.frames.append(frame)
        self.buffers.extend(stores)
        return int(frame)


def corners(shape: Shape, color: bool, smooth: bool) -> dict[int, NDArray[np.float32]]:
    """Every face's three corners, (3 F, 3) each: places, the face's unit normal, RGB in [0, 1] and bent normals."""
    assert shape.faces is not None
    vertices, faces = np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.uint32)
    turned, planes = np.ascontiguousarray(vertices.T), np.empty((4, 1 + len(faces)), np.float32)
    face_planes(turned, faces, planes)
    found = {PLACE: vertices[faces], NORMAL: _thrice(planes[:3, :0:-1].T)}
    if color and shape.vertex_colors is not None:
        found[COLOR] = (shape.vertex_colors[faces] / 255).astype(np.float32)
    elif color and shape.face_colors is not None:
        found[COLOR] = _thrice((shape.face_colors / 255).astype(np.float32))
    if smooth:
        found[BENT] = corner_normals(turned, faces, planes)
    return {place: values.reshape(-1, 3) for place, values in found.items()}


def _thrice(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F, 3) -> (F, 3, 3), for every corner of a face."""
    return np.repeat(rows[:, None], 3, axis=1)


def near_and_far(cameras: Cameras) -> tuple[float, float]:
    """The depths between which the unit sphere lies, a little more; near stays positive for perspective cameras."""
    away = np.linalg.norm(cameras.poses[:, :3, 3], axis=1)
    near, far = float(away.min()) - 1.001, float(away.max()) + 1.001
    return (near if cameras.orthographic else max(near, 1e-3)), far


def projection(cameras: Cameras) -> NDArray[np.float64]:
    """The 4 x 4 matrix from camera space to clip space, as OpenGL defines it."""
    near, far = near_and_far(cameras)
    lens = np.zeros((4, 4))
    if cameras.half_height is not None:
        lens[0, 0] = lens[1, 1] = 1 / cameras.half_height
        lens[2, 2], lens[2, 3] = -2 / (far - near), -(far + near) / (far - near)
        lens[3, 3] = 1.0
        return lens
    lens[0, 0] = lens[1, 1] = 1 / np.tan(0.5 * cameras.field_of_view)
    lens[2, 2], lens[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
    lens[3, 2] = -1.0
    return lens
