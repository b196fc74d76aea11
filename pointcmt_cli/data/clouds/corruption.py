"""The seven corruptions of ModelNet-C, and rotations. In: clouds (S, N, 3) in the unit sphere; out: (S, M, 3).

Definitions: Ren et al., "Benchmarking and Analyzing Point Cloud Classification under Corruptions" (ICML 2022), and
their build_modelnetc/corrupt_utils.py (jiawei-ren/ModelNet-C at 0c82ce0). They are for clouds of 1,024 points; of
other N the counts that they name are N / 1024. Severities are 1 to 5. Every shape has random numbers of its own, from
the seed, the corruption, the severity and the shape's name: neither order nor batch nor neighbours change its cloud.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pointcmt_cli.data.geometry import into_unit_sphere

Array = NDArray[np.float64]
SEVERITIES = (1, 2, 3, 4, 5)
DEFINED_FOR = 1024
"""Points of a cloud in ModelNet-C."""
SCALES = (1.6, 1.7, 1.8, 1.9, 2.0)
"""By severity: each axis is scaled by U[1/s, s]."""
JITTER = 0.01
"""Standard deviation of the noise per severity."""
ANGLE = np.pi / 30
"""Radians per severity: each Euler angle is U[-a, a], 30 degrees at the last."""
DROPPED = (0.25, 0.375, 0.5, 0.625, 0.75)
"""Share of the points that drop-global takes, by severity."""
LOCAL_POINTS = 100
"""Points per severity that drop-local takes and add-local adds."""
GLOBAL_POINTS = 10
"""Points per severity that add-global adds."""
MOST_CLUSTERS = 7
"""drop-local and add-local: 1 to 7 clusters, of random sizes."""
SPREAD = (0.075, 0.125)
"""add-local: standard deviation of a cluster, drawn from this range."""


def corrupt(
    name: str, clouds: NDArray[np.float32], names: Sequence[str], severity: int, seed: int
) -> NDArray[np.float32]:
    """One corruption of every cloud; `names` (S) are the shapes' own."""
    change = CORRUPTIONS[name]
    changed = [
        change(cloud.astype(np.float64), severity, numbers(seed, name, severity, shape))
        for cloud, shape in zip(clouds, names, strict=True)
    ]
    return np.stack(changed).astype(np.float32)


def rotate_fully(
    group: str, clouds: NDArray[np.float32], names: Sequence[str], seed: int
) -> NDArray[np.float32]:
    """`z`: about the axis that points up, by U[0, 2 pi); `so3`: by a rotation drawn uniformly from all of them."""
    if group == "z":
        turns = [numbers(seed, "rotation", group, name).uniform(0, 2 * np.pi) for name in names]
        rotation = Rotation.from_euler("z", np.array(turns)[:, None])
    else:
        draws = [numbers(seed, "rotation", group, name).normal(size=4) for name in names]
        rotation = Rotation.from_quat(draws)  # a normal direction in 4-D is a uniform rotation
    turned: Array = clouds @ rotation.as_matrix().transpose(0, 2, 1)
    return turned.astype(np.float32)


def numbers(*keys: int | str) -> np.random.Generator:
    """Random numbers that depend on the keys alone."""
    digest = hashlib.sha256("/".join(map(str, keys)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def scale(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """Each axis by a factor of its own, then into the unit sphere again."""
    most = SCALES[severity - 1]
    stretched = cloud * random.uniform(1 / most, most, 3)
    return into_unit_sphere(stretched, stretched.mean(axis=0))[0].astype(np.float64)


def jitter(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """Gaussian noise on every coordinate."""
    return cloud + JITTER * severity * random.normal(size=cloud.shape)


def rotate(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """By three Euler angles: rows are multiplied by Rz Ry Rx from the right, as the definition does."""
    angles = random.uniform(-ANGLE * severity, ANGLE * severity, 3)
    turned: Array = cloud @ Rotation.from_euler("xyz", angles).as_matrix()
    return turned


def drop_global(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """A share of the points, at random."""
    kept = int(len(cloud) * (1 - DROPPED[severity - 1]))
    return cloud[random.permutation(len(cloud))[:kept]]


def drop_local(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """Clusters: each is a point of those left and the nearest to it; the rest in random order."""
    for size in _cluster_sizes(_share(LOCAL_POINTS * severity, cloud), random):
        centre = cloud[random.integers(len(cloud))]
        order = np.argsort(((cloud - centre) ** 2).sum(axis=1), kind="stable")
        cloud = cloud[np.sort(order[size:])]
    return cloud[random.permutation(len(cloud))]


def add_global(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """Points spread uniformly over the unit ball."""
    count = _share(GLOBAL_POINTS * severity, cloud)
    direction = random.normal(size=(count, 3))
    radius = random.uniform(size=(count, 1)) ** (1 / 3)
    added = radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return np.concatenate([cloud, added])


def add_local(cloud: Array, severity: int, random: np.random.Generator) -> Array:
    """Gaussian clusters around points of the cloud; what falls outside the unit sphere is put inside.

    As the definition does, a point outside is divided by its squared distance: from r it comes to 1 / r.
    """
    sizes = _cluster_sizes(_share(LOCAL_POINTS * severity, cloud), random)
    centres = cloud[random.permutation(len(cloud))[: len(sizes)]]
    spreads = random.uniform(*SPREAD, len(sizes))
    noise = random.normal(size=(int(sizes.sum()), 3))
    added = np.repeat(centres, sizes, axis=0) + np.repeat(spreads, sizes)[:, None] * noise
    squared = (added**2).sum(axis=1, keepdims=True)
    return np.concatenate([cloud, np.where(squared > 1, added / squared, added)])


def _share(count: int, cloud: Array) -> int:
    """A count that is defined for 1,024 points, for this cloud."""
    return round(count * len(cloud) / DEFINED_FOR)


def _cluster_sizes(total: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Sizes of 1 to 7 clusters, which every point joins with the same chance."""
    many = int(random.integers(1, MOST_CLUSTERS + 1))
    sizes: NDArray[np.int64] = random.multinomial(total, [1 / many] * many)
    return sizes


CORRUPTIONS: dict[str, Callable[[Array, int, np.random.Generator], Array]] = {
    "scale": scale,
    "jitter": jitter,
    "rotate": rotate,
    "drop-global": drop_global,
    "drop-local": drop_local,
    "add-global": add_global,
    "add-local": add_local,
}
