"""Seeded damage to good files of every format: each reads as a valid shape or is a DataError, soon, never else."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from damage import CLOUD_BOMBS, DAMAGES, FILES, MESH_BOMBS
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.formats import text as reading_text
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import DataError

ROUNDS = int(os.environ.get("POINTCMT_DAMAGE_ROUNDS", "3"))
"""How often each kind of damage is done to each format; raise it for a longer search."""
PATIENCE = 10
"""Seconds: this is about hanging, not about speed."""


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


def attempt(path: Path, colors: bool = False) -> Shape | DataError:
    try:
        return read_file(path, colors)
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
            outcome = attempt(path, colors=round_ % 3 > 0)
        if isinstance(outcome, Shape):
            check(outcome)
        else:
            message = str(outcome)
            assert message.startswith(f"{path}: ")
            assert message.isprintable()
            assert len(message) < len(str(path)) + 250
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="alarms are POSIX")
@pytest.mark.parametrize("colors", [False, True])
@pytest.mark.parametrize("name", [*MESH_BOMBS, *CLOUD_BOMBS])
def test_a_small_file_cannot_grow(tmp_path: Path, name: str, colors: bool) -> None:
    content = {**CLOUD_BOMBS, **MESH_BOMBS}[name]()
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with within(PATIENCE):
        outcome = attempt(path, colors)
    if isinstance(outcome, Shape):
        check(outcome)
