"""The compiled tokenizer against Python's float and against numpy: the same doubles bit for bit, the same refusals."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from pointcmt_cli.data.formats import text as reading_text
from pointcmt_cli.data.formats.text import UnreadableError, line_starts, numbers

COUNT = 20_000
RNG = np.random.default_rng(3)


@pytest.fixture(params=[False, True], ids=["numpy", "numba"], autouse=True)
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(reading_text, "_is_compiled", lambda text: request.param)
    return bool(request.param)


def integers(low: int, high: int) -> list[int]:
    return [int(value) for value in RNG.integers(low, high, COUNT, np.uint64)]


def halfway() -> list[str]:
    """Decimals that lie exactly between two doubles: an odd number of halves of the last place."""
    powers = RNG.integers(1, 3, COUNT)
    odd = [2 * value + 1 for value in integers(2**52, 2**53)]
    return [f"{value * 5**power}e-{power}" for value, power in zip(odd, powers, strict=True)]


DECIMALS: dict[str, Callable[[], list[str]]] = {
    "of meshes": lambda: [f"{value:.6f}" for value in RNG.normal(size=COUNT) * 50],
    "as Python writes them": lambda: [repr(float(value)) for value in RNG.normal(size=COUNT)],
    "as savetxt writes them": lambda: [f"{value:.18e}" for value in RNG.normal(size=COUNT)],
    "of every size": lambda: [
        f"{digits}e{power}"
        for digits, power in zip(
            integers(1, 10**19), RNG.integers(-70, 71, COUNT).tolist(), strict=True
        )
    ],
    "halfway": halfway,
    "beside halfway": lambda: [
        f"{4 * value + 2 + step}" for value in integers(2**52, 2**53) for step in (-1, 0, 1)
    ],
    "of 20 to 40 digits": lambda: [f"{value}{value}" for value in integers(10**9, 10**19)],
    "that do not fit": lambda: ["1e400", "-1e400", "1e-400", "5e-324", "2.2250738585072011e-308"],
    "of odd shape": lambda: (
        [
            "+1",
            "-1",
            ".5",
            "5.",
            "-.5e1",
            "+0",
            "-0",
            "-0.0e9",
            "007",
            "1E2",
            "1e+2",
            "1e-02",
            "0e99",
            "0.00001",
        ]
    ),
    "that are none": lambda: ["nan", "-nan", "inf", "-inf", "Infinity", "NaN", "+inf"],
    "long": lambda: ["0." + "0" * 400 + "1", "1" * 400, "1" + "0" * 300 + "e-300", "0" * 99 + "7"],
}


@pytest.mark.parametrize("which", DECIMALS)
def test_every_decimal_is_the_nearest_double(which: str) -> None:
    words = DECIMALS[which]()
    found = numbers(" ".join(words).encode())
    expected = np.array([float(word) for word in words])
    finite = ~np.isnan(expected)
    assert (np.isnan(found) == ~finite).all()
    np.testing.assert_array_equal(found[finite].view(np.int64), expected[finite].view(np.int64))


@pytest.mark.parametrize("text", [b"", b" ", b"\n \t\r\v\f\n"])
def test_nothing_is_no_number(text: bytes) -> None:
    assert numbers(text).shape == (0,)
    assert line_starts(text).tolist() == [0]


@pytest.mark.parametrize(
    "word",
    ["x", "1.5.2", "1e", "1e+", ".", "-", "+-1", "--1", "1-2", "1_0", "0x10", "1,2", "e5", "1f"],
)
@pytest.mark.parametrize("others", [0, 100])
def test_what_is_no_number_is_shown(word: str, others: int) -> None:
    text = f"{'1 ' * others}{word}\n2 nan 3"
    with pytest.raises(UnreadableError, match=r"expected a number, found") as caught:
        numbers(text.encode())
    assert str(caught.value) == f"expected a number, found '{word}'"


@pytest.mark.parametrize("byte", [0, 1, 28, 127, 128, 160, 255])
def test_bytes_that_are_no_text(byte: int) -> None:
    with pytest.raises(UnreadableError, match="expected a number, found"):
        numbers(b"1 2" + bytes([byte]) + b"3")
    with pytest.raises(UnreadableError, match="expected a number, found"):
        numbers(b"1 2 " + 9 * bytes([byte]))


def test_lines_begin_where_they_have_content() -> None:
    text = b"\n 1 2 3\r\n\n\t\n4\n5 6\n  "
    assert line_starts(text).tolist() == [0, 3, 4, 6]
    assert line_starts(text[:-4] + b" 7").tolist() == [0, 3, 4, 6]


def test_random_layouts_agree_with_a_plain_loop() -> None:
    for _ in range(200):
        text = bytes(RNG.choice(list(b"127 \n\t\r"), size=RNG.integers(1, 60)).tolist())
        lines = [line.split() for line in text.split(b"\n") if line.split()]
        assert line_starts(text).tolist() == [0, *np.cumsum([len(line) for line in lines])]
        assert numbers(text).tolist() == [float(word) for line in lines for word in line]


def test_numba_is_not_loaded_for_a_small_file() -> None:
    code = "import sys; from pointcmt_cli.data.formats.text import numbers\n"
    code += "assert numbers(b'1 2 3').tolist() == [1, 2, 3]; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
