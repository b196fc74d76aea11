"""The `KEY=VALUE` reader that every command with a plug-in shares."""

import pytest

from pointcmt_cli.commands.options import parse_options
from pointcmt_cli.errors import UsageError


def test_values_stay_text_and_may_hold_equals_signs() -> None:
    pairs = ["layers=3", "first-name = a=b ", "empty="]
    assert parse_options(pairs) == {"layers": "3", "first_name": "a=b", "empty": ""}


@pytest.mark.parametrize("pair", ["layers", "=3", "two words=3", ""])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="expected KEY=VALUE, as in --option layers=3"):
        parse_options([pair])


def test_a_key_given_twice_is_refused_rather_than_chosen() -> None:
    with pytest.raises(UsageError, match="'layers' is given twice: 3 and 4"):
        parse_options(["layers=3", "layers=4"])
