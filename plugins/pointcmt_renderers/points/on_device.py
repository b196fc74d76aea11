"""`points` in batched torch, for a GPU: the images of points_kernels.py, to the byte.

Every number comes out of the same operations in the same order, each rounded alone (no matrix products, which a device
may fuse), except for the sums over the points of a pixel: their last bits are rounded away.
Imported only when a device is asked for.

Letters: N points, V views, H W image.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pointcmt_cli.api import PointCMTError
from pointcmt_renderers.points.kernels import FINE, NEAR
from pointcmt_renderers.points.scene import Look, Scene


def on_device(name: str) -> Callable[[Scene, Look, int], NDArray[np.uint8]]:
    """The twin of points.draw_scene on a torch device; refuses one that cannot add up float64."""
    try:
        device = torch.device(name)
        torch.ones(1, dtype=torch.float64, device=device).sum().item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise PointCMTError(
            f"points: torch cannot draw on device '{name}' ({reason}); leave out device= for numba on the CPU"
        ) from error
    return lambda scene, look, size: draw_scene(scene, look, size, device)


@torch.no_grad()
def draw_scene(scene: Scene, look: Look, size: int, device: torch.device) -> NDArray[np.uint8]:
    """Views (V, C, H, W): C is 3 where the scene has colours, else 1."""

    def sent(values: NDArray[np.floating]) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    cloud = sent(scene.cloud).T  # (3, N)
    column, row, depth = _project(cloud, sent(scene.matrices), scene.parallel)
    seen = depth >= NEAR
    shades = torch.zeros_like(depth)  # (V, N)
    if look.shading == "depth":
        near, far = look.levels
        share = (0.5 * (depth - sent(scene.nearest)[:, None])).clamp(0.0, 1.0)
        shades = near + (far - near) * share
    elif scene.normals is not None:
        normals, sights, lights = sent(scene.normals).T, sent(scene.sights), sent(scene.lights)
        shades = _lambert(cloud, normals, sights, lights, *look.levels)
    tinted = shades[:, None]  # (V, 1, N)
    if scene.colors is not None:
        tint = sent(scene.colors)[None]  # (1, 3, N)
        tinted = tint + (1.0 - tint) * tinted if look.shading == "depth" else tint * tinted
    nearness = 1.0 / torch.where(seen, depth, 1.0)
    weights = torch.where(seen, _power(nearness, *look.power), 0.0)
    corner = [_first_centre(each - 0.5 * look.side, size) for each in (column, row)]
    return _level(*_splat(corner[0], corner[1], weights, tinted, look.side, size)).cpu().numpy()


def _project(
    cloud: torch.Tensor, matrices: torch.Tensor, parallel: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Columns and rows in pixels, and depths: (V, N) each, from places (3, N) and matrices (V, 3, 4)."""
    x, y, z = cloud
    m = matrices[..., None]  # (V, 3, 4, 1)
    across, down, depth = (
        m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] * z + m[:, i, 3] for i in range(3)
    )
    w = torch.ones_like(depth) if parallel else depth
    return across / w, down / w, depth


def _lambert(
    cloud: torch.Tensor,
    normals: torch.Tensor,
    sights: torch.Tensor,
    lights: torch.Tensor,
    ambient: float,
    diffuse: float,
) -> torch.Tensor:
    """Shades (V, N) of places and normals (3, N)."""
    x, y, z = normals
    right, up, back = (sights[:, i, None] - sights[:, 3, None] * cloud[i] for i in range(3))
    facing = x * right + y * up + z * back
    cosine = x * lights[:, 0, None] + y * lights[:, 1, None] + z * lights[:, 2, None]
    return ambient + diffuse * torch.where(facing < 0.0, -cosine, cosine).clamp(0.0, 1.0)


def _power(nearness: torch.Tensor, whole: int, rest: float) -> torch.Tensor:
    """nearness ** (whole + rest), by the squares of points_kernels.weight_of."""
    weight, square = torch.ones_like(nearness), nearness
    while whole > 0:
        if whole & 1:
            weight = weight * square
        square = square * square
        whole >>= 1
    return weight * nearness**rest if rest > 0.0 else weight


def _first_centre(border: torch.Tensor, size: int) -> torch.Tensor:
    """The first pixel whose centre lies at or beyond a border in pixels, in [-size, 2 * size]."""
    return (border - 0.5).clamp(-float(size), 2.0 * size).ceil().long()


def _splat(
    column: torch.Tensor,
    row: torch.Tensor,
    weights: torch.Tensor,
    tinted: torch.Tensor,
    side: int,
    size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (V, 1, H, W) of weights (V, N), and (V, C, H, W) of weights times shades (V, C, N)."""
    views, channels, _ = tinted.shape
    values = torch.cat([weights[:, None], weights[:, None] * tinted], dim=1)  # (V, 1 + C, N)
    sums = values.new_zeros(views, 1 + channels, size * size)
    for down in range(side):
        for right in range(side):
            x, y = column + right, row + down
            inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
            pixel = torch.where(inside, y * size + x, 0)[:, None].expand_as(values)
            sums.scatter_add_(2, pixel, torch.where(inside[:, None], values, 0.0))
    sums = sums.view(views, 1 + channels, size, size)
    return sums[:, :1], sums[:, 1:]


def _level(weights: torch.Tensor, weighted: torch.Tensor) -> torch.Tensor:
    """Bytes (V, C, H, W) of the sums."""
    mean = torch.where(weights > 0.0, weighted / weights, 1.0)
    return (((FINE * mean + 0.5).int() + 128) >> 8).to(torch.uint8)
