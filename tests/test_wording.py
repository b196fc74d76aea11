"""How errors, names and numbers read: the examples in the functions' own words, and the edges."""

import doctest

import pytest

from places import ROOT
from pointcmt_cli import wording
from pointcmt_cli.wording import UNKNOWN, chance, missing_package, one_line, some_of, spread


def test_the_examples_hold() -> None:
    found = doctest.testmod(wording)
    assert found.attempted >= 10
    assert found.failed == 0


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (OSError("disk\n\tfull "), "disk full"),
        (ValueError(), "ValueError"),
        ("", ""),
        ("a  b", "a b"),
    ],
)
def test_an_error_without_a_text_is_its_kind(said: object, text: str) -> None:
    assert one_line(said) == text


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert one_line("x" * 9, most=9) == "x" * 9
    assert one_line("x" * 10, most=9) == "x" * 9 + "..."


def test_names_are_counted_where_they_are_cut() -> None:
    assert some_of([]) == "none"
    assert some_of("abc", most=3) == "a, b, c"
    assert some_of("abcd", most=3) == "a, b, c and 1 more"


def test_a_package_that_is_there_but_broken_says_why() -> None:
    said = missing_package("the hub", "huggingface_hub", "hub", ImportError("no\nssl"))
    assert said == (
        "the hub needs huggingface_hub, which does not import (no ssl): pip install 'pointcmt[hub]'"
    )


def test_what_is_not_known_is_said_alike() -> None:
    assert spread(None) == wording.percent(None) == UNKNOWN
    assert spread({"mean": 0.5, "std": None}) == "50.0"
    assert chance(None) == "no test"
    assert chance(0.001) == "0.001"


@pytest.mark.parametrize("words", ['" ".join(str(', "pip install 'pointcmt["])
def test_they_have_one_home(words: str) -> None:
    files = [path for top in ("pointcmt_cli", "plugins") for path in (ROOT / top).rglob("*.py")]
    assert {path.name for path in files if words in path.read_text()} <= {"wording.py"}
