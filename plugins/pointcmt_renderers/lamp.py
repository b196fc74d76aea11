"""The light of every renderer. In: the options `ambient`, `diffuse` and `light`; out: the direction towards it."""

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.api import PointCMTError


def towards_light(
    renderer: str, ambient: float, diffuse: float, light: tuple[float, float]
) -> NDArray[np.float64]:
    """(3,) unit, in camera axes, from how far it stands to the right and up for each unit back.

    Refuses what cannot be meant.
    """
    if not (ambient >= 0 and diffuse >= 0 and ambient + diffuse <= 1):
        raise PointCMTError(
            f"{renderer}: ambient {ambient} and diffuse {diffuse} must be at least 0 and together at most 1"
        )
    if len(light) != 2 or not np.isfinite(light).all():
        raise PointCMTError(f"{renderer}: light {light} must be two finite numbers: right, up")
    direction = np.array([*light, 1.0])
    unit: NDArray[np.float64] = direction / np.linalg.norm(direction)
    return unit
