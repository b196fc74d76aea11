"""One shape as everything downstream sees it: validated, centred, in the unit sphere."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """A mesh, or a cloud where `faces` is None.

    >>> import numpy as np
    >>> corners = np.array([[1, 0, 0], [0, 1, 0], [-1, -1, 0]], np.float32)
    >>> Shape("signs/give_way", corners, faces=np.array([[0, 1, 2]], np.int32)).describe()
    {'name': 'signs/give_way', 'vertices': 3, 'faces': 1}
    """

    name: str
    """`CLASS/NAME`, unique in its data set; it seeds the sampling and decides the held-out split."""
    vertices: NDArray[np.float32]
    """(N, 3), finite, centred, farthest vertex at distance 1 (unit sphere)."""
    faces: NDArray[np.int32] | None = None
    """(F, 3) rows of `vertices`, every index valid; None for a cloud."""
    vertex_colors: NDArray[np.uint8] | None = None
    """(N, 3) RGB, where the file has them and they were asked for."""
    face_colors: NDArray[np.uint8] | None = None
    """(F, 3) RGB, likewise; never together with `vertex_colors`."""
    points: NDArray[np.float32] | None = None
    """(P, 3) the sampled cloud in the unit sphere, when it is known."""

    def describe(self) -> dict[str, Any]:
        """Counts for reports."""
        return {
            "name": self.name,
            "vertices": len(self.vertices),
            "faces": 0 if self.faces is None else len(self.faces),
        }
