"""Shapes that `pointcmt demo` makes itself: 12 classes of furniture and vessels out of trimesh primitives.

Classes share their parts (a stool is a round table, a mug is a cup with a handle, a bench is a wide chair) and vary in
proportions, part counts and heading, so that neither the outline nor the mean cloud tells them apart.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli.files import atomic
from pointcmt_cli.splits import TEST, TRAIN

Random = np.random.Generator


def write_demo_meshes(folder: Path, train: int, test: int, seed: int) -> int:
    """CLASS/{train,test}/CLASS_NNNN.off for every class; existing files stay; returns the number of shapes."""
    for number, (name, make) in enumerate(CLASSES.items()):
        for index in range(train + test):
            split = TRAIN if index < train else TEST
            path = folder / name / split / f"{name}_{index:04d}.off"
            if not path.exists():
                mesh = make(np.random.default_rng([seed, number, index]))
                with atomic(path) as temporary:
                    temporary.write_text(mesh.export(file_type="off"))
    return len(CLASSES) * (train + test)


def _box(x: float, y: float, z: float, at: tuple[float, float, float]) -> Any:
    """A box of these edge lengths with its centre at `at`."""
    import trimesh

    return trimesh.creation.box((x, y, z)).apply_translation(at)


def _rod(radius: float, height: float, at: tuple[float, float, float], sides: int = 16) -> Any:
    """An upright cylinder with its centre at `at`."""
    import trimesh

    rod = trimesh.creation.cylinder(radius=radius, height=height, sections=sides)
    return rod.apply_translation(at)


def _turned(profile: list[tuple[float, float]]) -> Any:
    """The surface that a profile of (radius, height) pairs sweeps around z."""
    import trimesh

    return trimesh.creation.revolve(np.array(profile), sections=24)


def _joined(random: Random, parts: list[Any], stretch: float = 0.25) -> Any:
    """One mesh: parts together, stretched per axis, turned about z, leaning a little."""
    import trimesh

    mesh = trimesh.util.concatenate(parts)
    mesh.apply_scale(random.uniform(1 - stretch, 1 + stretch, 3))
    heading = trimesh.transformations.rotation_matrix(random.uniform(0, 2 * np.pi), (0, 0, 1))
    axis = (*random.normal(size=2), 0.0)
    lean = trimesh.transformations.rotation_matrix(random.normal(0, 0.06), axis)
    return mesh.apply_transform(lean @ heading)


def _legs(random: Random, x: float, y: float, height: float, count: int) -> list[Any]:
    """Legs under (x, y), round or square, `count` of them on a ring or at the four corners."""
    thick = random.uniform(0.02, 0.07)
    if count == 4:
        places = [(sx * (x / 2 - thick), sy * (y / 2 - thick)) for sx in (-1, 1) for sy in (-1, 1)]
    else:
        turns = 2 * np.pi * np.arange(count) / count
        places = [(0.4 * x * np.cos(turn), 0.4 * y * np.sin(turn)) for turn in turns]
    if random.random() < 0.5:
        return [_rod(thick, height, (px, py, height / 2)) for px, py in places]
    return [_box(2 * thick, 2 * thick, height, (px, py, height / 2)) for px, py in places]


def _table(random: Random) -> Any:
    x, y, z = random.uniform((0.8, 0.5, 0.4), (1.6, 1.0, 0.9))
    top = random.uniform(0.03, 0.12)
    return _joined(random, [_box(x, y, top, (0, 0, z)), *_legs(random, x, y, z, 4)])


def _desk(random: Random) -> Any:
    x, y, z = random.uniform((0.9, 0.5, 0.5), (1.6, 0.9, 0.9))
    top = random.uniform(0.03, 0.1)
    wide = random.uniform(0.04, 0.4)
    parts = [_box(x, y, top, (0, 0, z)), _box(wide, y, z, ((x - wide) / 2, 0, z / 2))]
    parts.append(_box(0.05, y, z, (0.025 - x / 2, 0, z / 2)))
    if random.random() < 0.5:
        parts.append(_box(x, 0.04, z / 2, (0, y / 2 - 0.02, 0.75 * z)))
    return _joined(random, parts)


def _stool(random: Random) -> Any:
    radius, height = random.uniform((0.25, 0.4), (0.5, 1.0))
    seat = random.uniform(0.04, 0.14)
    legs = _legs(random, 1.4 * radius, 1.4 * radius, height, int(random.integers(3, 6)))
    return _joined(random, [_rod(radius, seat, (0, 0, height), 24), *legs])


def _chair(random: Random) -> Any:
    x, y, z = random.uniform((0.4, 0.4, 0.35), (0.7, 0.6, 0.6))
    back = random.uniform(0.3, 0.9)
    parts = [_box(x, y, 0.06, (0, 0, z)), *_legs(random, x, y, z, 4)]
    if random.random() < 0.5:
        parts.append(_box(x, 0.05, back, (0, y / 2, z + back / 2)))
    else:
        bars = np.linspace(-x / 2 + 0.04, x / 2 - 0.04, int(random.integers(3, 6)))
        parts += [_rod(0.025, back, (bar, y / 2, z + back / 2)) for bar in bars]
        parts.append(_box(x, 0.06, 0.08, (0, y / 2, z + back)))
    return _joined(random, parts)


def _bench(random: Random) -> Any:
    x, y, z = random.uniform((1.0, 0.35, 0.3), (1.8, 0.6, 0.55))
    parts = [_box(x, y, random.uniform(0.04, 0.1), (0, 0, z))]
    if random.random() < 0.5:
        parts += _legs(random, x, y, z, 4)
    else:
        parts += [_box(0.08, y, z, (side * (x / 2 - 0.08), 0, z / 2)) for side in (-1, 1)]
    if random.random() < 0.7:
        back = random.uniform(0.2, 0.6)
        parts.append(_box(x, 0.05, back, (0, y / 2, z + back / 2)))
    return _joined(random, parts)


def _shelf(random: Random) -> Any:
    x, y, z = random.uniform((0.6, 0.25, 0.9), (1.4, 0.5, 1.8))
    boards = np.linspace(0.03, z - 0.03, int(random.integers(3, 7)))
    parts = [_box(x, y, 0.05, (0, 0, board)) for board in boards]
    parts += [_box(0.05, y, z, (side * x / 2, 0, z / 2)) for side in (-1, 1)]
    if random.random() < 0.5:
        parts.append(_box(x, 0.03, z, (0, y / 2, z / 2)))
    return _joined(random, parts)


def _cup_profile(random: Random) -> list[tuple[float, float]]:
    low, high, tall = random.uniform((0.2, 0.28, 0.4), (0.4, 0.5, 0.9))
    wall = 0.04
    return [(0, 0), (low, 0), (high, tall), (high - wall, tall), (low - wall, wall), (0, wall)]


def _cup(random: Random) -> Any:
    return _joined(random, [_turned(_cup_profile(random))])


def _mug(random: Random) -> Any:
    import trimesh

    profile = _cup_profile(random)
    (low, _), (high, tall) = profile[1], profile[2]
    ring = trimesh.creation.torus(random.uniform(0.12, 0.24), random.uniform(0.02, 0.045))
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    ring.apply_translation(((low + high) / 2 + 0.04, 0, tall * random.uniform(0.45, 0.6)))
    return _joined(random, [_turned(profile), ring])


def _bottle(random: Random) -> Any:
    wide, tall = random.uniform((0.2, 0.6), (0.36, 1.1))
    neck = random.uniform(0.06, 0.12)
    shoulder = tall * random.uniform(0.5, 0.7)
    profile = [(0, 0), (wide, 0), (wide, shoulder), (neck, shoulder + 0.15)]
    return _joined(random, [_turned([*profile, (neck, tall + 0.15), (0, tall + 0.15)])])


def _vase(random: Random) -> Any:
    tall = random.uniform(0.7, 1.2)
    radii = random.uniform((0.12, 0.25, 0.08, 0.15), (0.25, 0.45, 0.2, 0.35))
    heights = tall * np.array([0.0, random.uniform(0.25, 0.5), 0.8, 1.0])
    outer = list(zip(radii, heights, strict=True))
    inner = [(radius - 0.03, height) for radius, height in reversed(outer)]
    return _joined(random, [_turned([(0, 0), *outer, *inner[:-1], (0, 0.05)])])


def _lamp(random: Random) -> Any:
    base, pole = random.uniform((0.15, 0.5), (0.35, 1.3))
    low, high, shade = random.uniform((0.2, 0.08, 0.2), (0.4, 0.2, 0.4))
    hood = [(low, pole - shade / 2), (high, pole + shade / 2), (high - 0.02, pole + shade / 2)]
    hood += [(low - 0.02, pole - shade / 2), (low, pole - shade / 2)]
    parts = [_rod(base, 0.05, (0, 0, 0.025), 24), _rod(0.025, pole, (0, 0, pole / 2))]
    return _joined(random, [*parts, _turned(hood)])


def _mushroom(random: Random) -> Any:
    stem, tall = random.uniform((0.05, 0.3), (0.16, 0.9))
    cap, high = random.uniform((0.25, 0.15), (0.5, 0.45))
    turns = np.linspace(0, np.pi / 2, 8)
    dome = [(cap * np.cos(turn), tall + high * np.sin(turn)) for turn in turns]
    profile = [(0, 0), (stem * 1.3, 0), (stem, tall), *dome[:-1], (0, tall + high)]
    return _joined(random, [_turned(profile)])


CLASSES: dict[str, Callable[[Random], Any]] = {
    "bench": _bench,
    "bottle": _bottle,
    "chair": _chair,
    "cup": _cup,
    "desk": _desk,
    "lamp": _lamp,
    "mug": _mug,
    "mushroom": _mushroom,
    "shelf": _shelf,
    "stool": _stool,
    "table": _table,
    "vase": _vase,
}
