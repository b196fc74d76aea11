"""The public door: every name has a home, and everything that is called has an example that runs."""

import doctest
import importlib
import inspect
import typing

import pytest
import torch
from torch.nn import functional

from pointcmt_cli import api, wording

CONTRACTS = ("Backbone", "Objective", "Renderer", "Teacher")
"""Protocols: there is nothing to call; examples/third_party_backbone is theirs."""
CALLED = [name for name in api.__all__ if name not in CONTRACTS]


def home(name: str) -> typing.Any:
    return importlib.import_module(getattr(api, name).__module__)


@pytest.mark.parametrize("name", CALLED)
def test_its_example_runs(name: str) -> None:
    value = getattr(api, name)
    found = doctest.DocTestFinder(recurse=False).find(
        value,
        name,
        module=False,
        globs={**vars(home(name)), "torch": torch, "functional": functional},
    )
    assert any(each.examples for each in found), f"{name} has no example in its docstring"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for each in found:
        said: list[str] = []
        runner.run(each, out=said.append)
        assert not said, "".join(said)


def test_a_wrong_example_is_seen() -> None:
    def wrong() -> None:
        """Two and two.

        >>> 2 + 2
        5
        """

    [found] = doctest.DocTestFinder().find(wrong, "wrong", module=False, globs={})
    assert doctest.DocTestRunner().run(found, out=lambda _: None).failed == 1


def test_every_name_is_documented_and_has_a_home() -> None:
    for name in api.__all__:
        assert inspect.getdoc(getattr(api, name)), name
    assert api.one_line is wording.one_line
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = api.nothing
