"""Seeded damage to good files of every format: each reads as a valid shape or is a DataError, soon, never else."""

import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pointcmt_cli.data import reading_text
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.sampling import sample_points
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import DataError

ROUNDS = int(os.environ.get("POINTCMT_DAMAGE_ROUNDS", "3"))
"""How often each kind of damage is done to each format; raise it for a longer search."""
PATIENCE = 10
"""Seconds: this is about hanging, not about speed."""


def good_files() -> dict[str, bytes]:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    cloud = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    rows = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in cloud)
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, cloud)
    np.savez_compressed(archive, points=cloud)
    head = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\nPOINTS 60\n"
    polygons = mesh.export(file_type="off").replace("\n3 ", "\n3 ", 1) + "\n"
    files: dict[str, bytes | str] = {
        "triangles.off": mesh.export(file_type="off"),
        "colours.off": re.sub(r"(?m)^3 (\d+ \d+ \d+)$", r"3 \1 255 0 0", polygons),
        "x.obj": mesh.export(file_type="obj"),
        "binary.ply": mesh.export(file_type="ply"),
        "text.ply": mesh.export(file_type="ply", encoding="ascii"),
        "cloud.ply": trimesh.PointCloud(cloud).export(file_type="ply"),
        "binary.stl": mesh.export(file_type="stl"),
        "text.stl": mesh.export(file_type="stl_ascii"),
        "x.glb": mesh.export(file_type="glb"),
        "x.npy": array.getvalue(),
        "x.npz": archive.getvalue(),
        "x.xyz": rows,
        "x.txt": rows.replace(" ", ","),
        "text.pcd": head + "DATA ascii\n" + rows,
        "binary.pcd": head.encode() + b"DATA binary\n" + cloud.tobytes(),
    }
    return {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}


FILES = good_files()
Damage = Callable[[bytes, np.random.Generator], bytes]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def cut_a_hole(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(len(data), size=2))
    return data[:start] + data[end:]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 20)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def flip_early_bits(data: bytes, rng: np.random.Generator) -> bytes:
    return flip_bits(data[:200], rng) + data[200:]


def swap_lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.integers(len(lines), size=2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def double(data: bytes, rng: np.random.Generator) -> bytes:
    return data + data[rng.integers(len(data)) :]


def number(new: bytes, early: bool = False) -> Damage:
    """Put something else in the place of one number of the text."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        places = list(re.finditer(rb"(?<![\w.])-?\d+(\.\d+)?", data[:300] if early else data))
        if not places:
            return new + data
        place = places[rng.integers(len(places))]
        return data[: place.start()] + new + data[place.end() :]

    return damage


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    return data[:start] + bytes(len(data) - start)


def ones(data: bytes, rng: np.random.Generator) -> bytes:
    """A run of 0xff: NaN in floats, the largest number in unsigned integers."""
    start = int(rng.integers(len(data)))
    return data[:start] + b"\xff" * 8 + data[start + 8 :]


DAMAGES: dict[str, Damage] = {
    "empty": lambda data, rng: b"",
    "one byte": lambda data, rng: data[:1],
    "noise": lambda data, rng: rng.bytes(len(data)),
    "cut": cut,
    "hole": cut_a_hole,
    "bits": flip_bits,
    "early bits": flip_early_bits,
    "lines": swap_lines,
    "double": double,
    "zeros": zeros,
    "ones": ones,
    "nan": number(b"nan"),
    "inf": number(b"-inf"),
    "huge": number(b"1e300"),
    "index": number(b"99999999"),
    "negative": number(b"-7"),
    "word": number(b"x"),
    "count": number(b"1000000000", early=True),
    "long count": number(b"9" * 5000, early=True),
}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(path: Path) -> Shape | DataError:
    try:
        return read_file(path)
    except DataError as error:
        return error


def check(shape: Shape) -> None:
    assert np.isfinite(shape.vertices).all()
    assert np.linalg.norm(shape.vertices.astype(np.float64), axis=1).max() == pytest.approx(
        1, abs=1e-6
    )
    if shape.faces is not None:
        assert len(shape.faces) > 0
        assert shape.faces.min() >= 0
        assert shape.faces.max() < len(shape.vertices)
    assert np.isfinite(sample_points(shape, 32)).all()


@pytest.mark.parametrize("name", FILES)
def test_the_undamaged_file_is_good(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    check(read_file(path))


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="alarms are POSIX")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_survived(
    tmp_path: Path,
    name: str,
    damage: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / name
    for round_ in range(ROUNDS):
        monkeypatch.setattr(reading_text, "_is_compiled", lambda text, odd=round_ % 2: bool(odd))
        rng = np.random.default_rng([round_, *f"{name} {damage}".encode()])
        path.write_bytes(DAMAGES[damage](FILES[name], rng))
        with within(PATIENCE):
            outcome = attempt(path)
        if isinstance(outcome, Shape):
            check(outcome)
        else:
            message = str(outcome)
            assert message.startswith(f"{path}: ")
            assert "\n" not in message
            assert len(message) < len(str(path)) + 250
    assert capfd.readouterr() == ("", "")
