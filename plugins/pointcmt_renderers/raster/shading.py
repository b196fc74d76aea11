"""What `raster` makes of a view's seen faces. In: a scene that has looked; out: gray or RGB pixels.

Letters: F faces, H W image, C channels (1, or 3 in colour), K attributes of a corner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, Shape
from pointcmt_renderers.raster.kernels import face_planes, lambert, look_up
from pointcmt_renderers.raster.pixels import (
    interpolate,
    lambert_pixels,
    normal_pixels,
    towards_eye,
)
from pointcmt_renderers.raster.scene import Scene
from pointcmt_renderers.raster.smooth import corner_normals

Shading = Literal["lambert", "normal", "depth", "silhouette"]
Paint: TypeAlias = Callable[[int, NDArray[np.uint8]], None]
"""Fills the image (H, W, C) of a view that the scene looks at."""
DEPTH_LEVELS = (0.1, 0.8)
"""Gray where a line of sight enters the unit sphere and where it leaves it, as `points` draws them by default."""


@dataclass(frozen=True)
class Style:
    """The options of `raster` that say how a face looks."""

    shading: Shading
    smooth: bool
    color: bool
    levels: tuple[float, float]
    """Gray without light, and what light adds where it falls square on: in [0, 255]."""
    light: NDArray[np.float64]
    """(3,) the unit direction towards it in camera axes."""


def painter(scene: Scene, shape: Shape, cameras: Cameras, style: Style) -> Paint:
    """What draws the views of a scene in a style."""
    if style.shading == "silhouette":
        return lambda view, image: np.copyto(image, _silhouette(scene)[..., None])
    if style.shading == "depth":
        return lambda view, image: np.copyto(image, _depth_gray(scene, view)[..., None])
    planes = np.empty((4, 1 + len(scene.faces)), np.float32)
    face_planes(scene.frame.places, scene.faces, planes)
    lights = (cameras.poses[:, :3, :3] @ style.light).astype(np.float32)
    levels = np.array(style.levels, np.float32)
    if style.shading == "lambert" and not style.smooth and not style.color:
        return _flat_gray(scene, planes, lights, levels)
    return _by_pixels(scene, shape, cameras, style, planes, lights, levels)


def _flat_gray(
    scene: Scene,
    planes: NDArray[np.float32],
    lights: NDArray[np.float32],
    levels: NDArray[np.float32],
) -> Paint:
    """The default: one gray for each face, which its pixels look up."""
    shades = np.empty(planes.shape[1], np.uint8)

    def paint(view: int, image: NDArray[np.uint8]) -> None:
        lambert(planes, scene.lenses.eyes[view], lights[view], levels, shades)
        look_up(scene.keys, scene.bits, shades, image[..., 0])

    return paint


def _by_pixels(
    scene: Scene,
    shape: Shape,
    cameras: Cameras,
    style: Style,
    planes: NDArray[np.float32],
    lights: NDArray[np.float32],
    levels: NDArray[np.float32],
) -> Paint:
    """Normals and colours pixel by pixel."""
    size, places, faces = scene.size, scene.frame.places, scene.faces
    normals = np.empty((size, size, 3), np.float32)
    albedo = np.ones((size, size, 3 if style.color else 1), np.float32)
    bent = corner_normals(places, faces, planes) if style.smooth else None
    tints = _corner_colors(shape) if style.color else None
    axes = cameras.poses[:, :3, :3].transpose(0, 2, 1).astype(np.float32)

    def paint(view: int, image: NDArray[np.uint8]) -> None:
        keys, bits, from_screen = scene.keys, scene.bits, scene.from_screen(view)
        if bent is not None:
            interpolate(keys, bits, from_screen, places, faces, bent, normals)
        towards_eye(keys, bits, planes, scene.lenses.eyes[view], bent is not None, normals)
        if style.shading == "normal":
            normal_pixels(keys, normals, axes[view], image)
            return
        if tints is not None:
            interpolate(keys, bits, from_screen, places, faces, tints, albedo)
        lambert_pixels(keys, normals, lights[view], levels, albedo, image)

    return paint


def _corner_colors(shape: Shape) -> NDArray[np.float32] | None:
    """(F, 3, 3) in [0, 1], or None where all is white."""
    if shape.faces is None or (shape.vertex_colors is None and shape.face_colors is None):
        return None
    if shape.vertex_colors is not None:
        colors = shape.vertex_colors[shape.faces]
    else:
        assert shape.face_colors is not None
        colors = np.repeat(shape.face_colors[:, None], 3, axis=1)
    return colors.astype(np.float32) / np.float32(255)


def _silhouette(scene: Scene) -> NDArray[np.uint8]:
    """(H, W): 0 where something is."""
    return np.where(scene.keys == 0, np.uint8(255), np.uint8(0))


def _depth_gray(scene: Scene, view: int) -> NDArray[np.uint8]:
    """(H, W): DEPTH_LEVELS of 255 in the unit sphere, the nearer or farther level outside."""
    near, far = DEPTH_LEVELS
    entered = scene.lenses.away[view] - 1.0
    share = np.clip(0.5 * (scene.depths(view) - entered), 0.0, 1.0)
    gray = 255 * (near + (far - near) * share) + 0.5
    return np.where(scene.keys == 0, 255, gray).astype(np.uint8)
