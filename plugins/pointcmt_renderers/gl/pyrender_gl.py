"""`pyrender`: the raster renderer's pictures by OpenGL, on a GPU or Mesa. In: a mesh and cameras; out: views.

Two shaders: `light`, ours on pyrender's context (see pyrender_light.py), and `pbr`, pyrender's own (pyrender_pbr.py).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.gl.context import Platform, open_context
from pointcmt_renderers.gl.light import Light
from pointcmt_renderers.gl.pbr import Physical
from pointcmt_renderers.lamp import towards_light
from pointcmt_renderers.raster.pixels import halve
from pointcmt_renderers.raster.shading import Shading


def pyrender_gl(
    *,
    platform: Platform | None = None,
    device: int | None = None,
    shader: Literal["light", "pbr"] = "light",
    samples: Literal[0, 4] | None = None,
    shading: Shading = "lambert",
    normals: Literal["flat", "smooth"] = "flat",
    supersample: Literal[1, 2] = 1,
    color: bool = False,
    ambient: float = 0.15,
    diffuse: float = 0.65,
    light: tuple[float, float] = (0.3, 0.6),
) -> Renderer:
    """The raster renderer's pictures with the same options (see there); one context serves every mesh.

    `platform` is PyOpenGL's; none: the variable PYOPENGL_PLATFORM, else egl. `device` counts EGL's; none: the variable
    EGL_DEVICE_ID, else 0. `shader` pbr is pyrender's own. `samples` a pixel smooth edges; none: 0, and as pyrender does
    it for shader pbr.
    """
    to_light = towards_light("pyrender", ambient, diffuse, light)
    if shader == "pbr" and shading != "lambert":
        raise PointCMTError(f"pyrender: shading {shading} needs --option shader=light")
    if shader == "pbr" and samples is not None:
        raise PointCMTError(
            "pyrender: samples are pyrender's own choice with shader pbr; leave out samples="
        )
    if shading == "normal" and not color:
        raise PointCMTError("pyrender: the shading 'normal' is a picture in RGB; add --color")
    context = open_context(platform, device)
    levels = (ambient, diffuse)
    drawing: Light | Physical
    if shader == "pbr":
        drawing = Physical(normals=normals, color=color, light=to_light, levels=levels)
    else:
        drawing = Light(
            context,
            shading=shading,
            normals=normals,
            color=color,
            samples=samples or 0,
            light=to_light,
            levels=levels,
        )

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        if shape.faces is None:
            raise PointCMTError(
                f"{shape.name}: the pyrender renderer draws meshes and this is a cloud; use --renderer points"
            )
        fine = replace(cameras, size=cameras.size * supersample)
        views = drawing.draw(shape, fine)
        images = np.empty((cameras.views, cameras.size, cameras.size, 3 if color else 1), np.uint8)
        for image, large in zip(images, views, strict=True):
            if supersample == 1:
                image[:] = large
            else:
                halve(np.ascontiguousarray(large), image)
        return images if color else images[..., 0]

    return draw
