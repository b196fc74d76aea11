"""`points`: clouds as pictures of depth, or lit by estimated normals. In: a cloud (or a mesh's points) and cameras.

After SimpleView (Goyal et al., ICML 2021; princeton-vl/SimpleView, models/mv_utils.py, commit f64fdc8): every point
covers a square of pixels, and a pixel's depth is the mean over its points weighted by inverse depth. Ours differs in
the cameras (any rig), in the sharper default weight, which hides most of what lies behind a surface, and in the
background: white, with near dark and far light.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.lamp import towards_light
from pointcmt_renderers.points.kernels import fog, lambert, level, project, splat
from pointcmt_renderers.points.scene import Look, Scene, Shading, scene


def points(
    *,
    shading: Shading = "depth",
    color: bool = False,
    splat_size: int | None = None,
    sharpness: float = 16.0,
    near: float = 0.1,
    far: float = 0.8,
    neighbours: int = 16,
    ambient: float = 0.15,
    diffuse: float = 0.65,
    light: tuple[float, float] = (0.3, 0.6),
    device: str | None = None,
) -> Renderer:
    """Depth runs from 255 * near to 255 * far through the unit sphere; with colours, from there into white fog.

    Lambert is the raster renderer's, with normals estimated from so many `neighbours`. `splat_size` is in pixels; none:
    a 32nd of the image, the 4 of SimpleView's points2depth at its 128. The weight is inverse depth to the power
    `sharpness`: 1 is SimpleView's, the larger the nearer to nearest-point-wins. `device`: torch draws the same images
    there (cpu, cuda, cuda:1, ...); none: numba on the CPU.
    """
    if splat_size is not None and splat_size < 1:
        raise PointCMTError(f"points: splat_size {splat_size} must be at least 1 pixel")
    if not 0 <= sharpness <= 64:
        raise PointCMTError(f"points: sharpness {sharpness} must be in [0, 64]")
    if not (0 <= near <= 1 and 0 <= far <= 1):
        raise PointCMTError(f"points: near {near} and far {far} must be in [0, 1]")
    if neighbours < 3:
        raise PointCMTError(f"points: neighbours {neighbours} must be at least 3, a plane's")
    to_light = towards_light("points", ambient, diffuse, light)
    look = Look(
        shading=shading,
        levels=(near, far) if shading == "depth" else (ambient, diffuse),
        light=to_light,
        neighbours=neighbours,
        color=color,
        side=splat_size or 0,
        sharpness=sharpness,
    )
    engine: Callable[[Scene, Look, int], NDArray[np.uint8]] = draw_scene
    if device is not None:
        from pointcmt_renderers.points.on_device import on_device

        engine = on_device(device)

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        sized = replace(look, side=look.side or max(1, round(cameras.size / 32)))
        images = engine(scene(shape, cameras, sized), sized, cameras.size)  # (V, C, H, W)
        if not color:
            return images[:, 0]
        return np.ascontiguousarray(
            np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
        )

    return draw


def draw_scene(drawn: Scene, look: Look, size: int) -> NDArray[np.uint8]:
    """Views (V, C, H, W): C is 3 where the scene has colours, else 1."""
    count = len(drawn.cloud)
    screen = np.empty((3, count))
    shades = np.zeros(count)
    sums = np.empty((2, size, size))
    images = np.empty((len(drawn.matrices), 1 if drawn.colors is None else 3, size, size), np.uint8)
    for view, image in enumerate(images):
        project(drawn.cloud, drawn.matrices[view], drawn.parallel, screen)
        if look.shading == "depth":
            fog(screen[2], drawn.nearest[view], *look.levels, shades)
        elif drawn.normals is not None:
            sight, to_light = drawn.sights[view], drawn.lights[view]
            lambert(drawn.cloud, drawn.normals, sight, to_light, *look.levels, shades)
        for channel, pixels in enumerate(image):
            tinted = shades
            if drawn.colors is not None:
                tint = drawn.colors[channel]
                tinted = tint + (1.0 - tint) * shades if look.shading == "depth" else tint * shades
            splat(screen, tinted, look.side, *look.power, sums)
            level(sums, pixels)
    return images
