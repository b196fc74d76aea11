"""Renderers for the tests of `render`, loaded as `toy_renderers:NAME` in worker processes too."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, Renderer, Shape


def draw(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
    """Vertices as black pixels, seen along every camera's axis."""
    images = np.full((cameras.views, cameras.size, cameras.size), 255, np.uint8)
    for image, pose in zip(images, cameras.poses, strict=True):
        seen = (shape.vertices @ pose[:3, :2] * 0.45 + 0.5) * cameras.size
        columns, rows = np.clip(seen, 0, cameras.size - 1).astype(int).T
        image[rows, columns] = 0
    return images


def dots(*, gray: int = 0) -> Renderer:
    """Quick."""
    return lambda shape, cameras: np.maximum(draw(shape, cameras), np.uint8(gray))


def painted(*, color: bool = False, shading: str = "") -> Renderer:
    """The first vertex's colour wherever `draw` is black; red where the reader gives none."""

    def render(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        images = draw(shape, cameras)
        if not color:
            return images
        red = np.array([255, 0, 0], np.uint8)
        paint = red if shape.vertex_colors is None else shape.vertex_colors[0]
        return np.where(images[..., None] == 0, paint, np.uint8(255))

    return render


def slow(*, pace: str, log: str = "") -> Renderer:
    """Takes as many seconds as the file `pace` says; each process that draws has a file in the folder `log`."""

    def render(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        if log:
            (Path(log) / str(os.getpid())).touch()
        time.sleep(float(Path(pace).read_text()))
        return draw(shape, cameras)

    return render


def without_torch() -> Renderer:
    """Fails where torch has been imported."""

    def render(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        assert "torch" not in sys.modules
        return draw(shape, cameras)

    return render


def deadly(*, name: str, once: str = "") -> Renderer:
    """Kills its own process at one shape, as the kernel does when memory runs out; with a file `once`, one time."""

    def render(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        if shape.name == name and not (once and Path(once).exists()):
            if once:
                Path(once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(shape, cameras)

    return render


def failing(*, name: str) -> Renderer:
    """Raises at one shape."""

    def render(shape: Shape, cameras: Cameras) -> NDArray[np.uint8]:
        if shape.name == name:
            raise ZeroDivisionError("no area")
        return draw(shape, cameras)

    return render


def wrong() -> Any:
    """Breaks the contract."""
    return lambda shape, cameras: np.zeros((cameras.views, 3), np.float32)
