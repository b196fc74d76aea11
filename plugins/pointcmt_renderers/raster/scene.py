"""One shape before the cameras of a rig, for `raster`. In: a mesh and cameras; out: per view, the face in each pixel.

Letters: N vertices, F faces, H W image.
"""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import Cameras, PointCMTError, Shape
from pointcmt_renderers.raster.clip import clipped, rename
from pointcmt_renderers.raster.kernels import LANES, NEARNESS_BITS, fill, project
from pointcmt_renderers.raster.lens import frame, lenses

LARGEST = 32767
"""Pixels of an image's side: positions are packed in 16 bits."""


class Scene:
    """A shape, its cameras, and buffers that `look` fills with one view."""

    def __init__(self, shape: Shape, cameras: Cameras) -> None:
        """Refuse what the kernels cannot draw."""
        if shape.faces is None:
            raise PointCMTError(
                f"{shape.name}: the raster renderer draws meshes and this is a cloud; use --renderer points"
            )
        size, count = cameras.size, len(shape.faces)
        if size > LARGEST:
            raise PointCMTError(
                f"raster: an image of {size} pixels is too large; at most {LARGEST}"
            )
        self.size = size
        self.faces = np.ascontiguousarray(shape.faces, np.uint32)
        self.frame = frame(shape)
        self.lenses = lenses(cameras, self.frame)
        self.bits = count.bit_length()
        """Of a key that hold the face's number."""
        self._padded = np.empty((size, size + LANES), np.int64)
        self.keys = self._padded[:, :size]
        """(H, W) of the view that was looked at last; see `fill`."""
        self._screen = np.empty((3, len(shape.vertices)), np.float32)
        self._centres = np.empty(len(shape.vertices), np.uint32)
        self._kept = np.empty(count + 1, np.uint32)

    def look(self, view: int) -> None:
        """Fill `keys`."""
        matrix = self.lenses.matrices[view]
        if self.lenses.contained[view]:
            project(self.frame.places, matrix, self._screen, self._centres)
            fill(self._screen, self._centres, self.faces, self._kept, self.bits, self._padded)
            return
        x, y, z = self.frame.places.astype(np.float64)
        homogeneous = np.stack([a * x + b * y + c * z + d for a, b, c, d in matrix])
        screen, faces, owners = clipped(homogeneous, self.faces, self.size)
        first = np.ceil(screen[:2] - np.float32(0.5)).astype(np.uint32)
        bits = len(faces).bit_length()
        kept = np.empty(len(faces) + 1, np.uint32)
        fill(screen, first[0] << np.uint32(16) | first[1], faces, kept, bits, self._padded)
        rename(self.keys, bits, owners, len(self.faces), self.bits)

    def depths(self, view: int) -> NDArray[np.float64]:
        """Depth (H, W) along the line of sight in the frame's units, infinite where nothing is; after `look`."""
        nearness = (self.keys >> self.bits) / 2.0 ** (NEARNESS_BITS - self.bits)
        return np.where(self.keys == 0, np.inf, self.lenses.depths(view, nearness))

    def from_screen(self, view: int) -> NDArray[np.float64]:
        """(4, 4): column, row, a key's upper bits and 1 -> place * w, w."""
        inverse = np.linalg.inv(self.lenses.matrices[view])
        inverse[:, 2] /= 2.0 ** (NEARNESS_BITS - self.bits)
        return inverse
