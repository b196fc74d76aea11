"""`raster`, the default renderer: a z-buffer on the CPU. In: a mesh and cameras; out: views. No GL, no display."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Renderer, Shape
from pointcmt_renderers.lamp import towards_light
from pointcmt_renderers.raster.pixels import halve
from pointcmt_renderers.raster.scene import Scene
from pointcmt_renderers.raster.shading import Shading, Style, painter


def raster(
    *,
    shading: Shading = "lambert",
    normals: Literal["flat", "smooth"] = "flat",
    supersample: Literal[1, 2] = 1,
    color: bool = False,
    ambient: float = 0.15,
    diffuse: float = 0.65,
    light: tuple[float, float] = (0.3, 0.6),
) -> Renderer:
    """Both sides of a face, before a background of 255.

    `shading`: lambert, levels of 255 * (ambient + diffuse * cos), so at most 204 by default; normal, the side's unit
    normal to the right, up and towards the camera as RGB, from -1 at 0 to 1 at 255, which takes `color`; depth, gray
    from 25 to 204 through the unit sphere; silhouette, 0.
    `normals`: smooth bends those of a face towards its neighbours', but not over sharp edges. `supersample` 2 draws
    twice as large and takes means of 2 x 2 pixels. `color` is RGB: Lambert's gray times the mesh's own colours.
    `light` stands that far to the right of and above the camera for each unit that the camera is away; 0,0 is an exact
    headlight, under which the three sides of a box are one gray when seen from a corner, as 8 of the dodecahedron's
    20 cameras see it.
    """
    to_light = towards_light("raster", ambient, diffuse, light)
    if shading == "normal" and not color:
        raise PointCMTError("raster: the shading 'normal' is a picture in RGB; add --color")
    style = Style(shading, normals == "smooth", color, (255 * ambient, 255 * diffuse), to_light)
    channels = 3 if color else 1

    def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        fine = replace(cameras, size=cameras.size * supersample)
        scene = Scene(shape, fine)
        paint = painter(scene, shape, fine, style)
        images = np.empty((cameras.views, cameras.size, cameras.size, channels), np.uint8)
        large = np.empty((fine.size, fine.size, channels), np.uint8)
        for view, image in enumerate(images):
            scene.look(view)
            if supersample == 1:
                paint(view, image)
            else:
                paint(view, large)
                halve(large, image)
        return images if color else images[..., 0]

    return draw


def depth_maps(shape: Shape, cameras: Cameras) -> NDArray[np.float32]:
    """Depth (V, H, W) along each camera's line of sight in the shape's units, infinite where nothing is."""
    scene = Scene(shape, cameras)
    maps = np.empty((cameras.views, cameras.size, cameras.size), np.float32)
    for view, depths in enumerate(maps):
        scene.look(view)
        depths[:] = scene.depths(view) * scene.frame.unit
    return maps
