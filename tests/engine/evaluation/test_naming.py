"""Terminal, page and cards call the same run by the same name, and a group's test by the same words."""

import doctest
from pathlib import Path
from typing import Any

import pytest

import toy_report
from pointcmt_cli import console
from pointcmt_cli.commands.evaluate import tables
from pointcmt_cli.engine.evaluation import naming
from pointcmt_cli.engine.report.tables import words

CLASSES = ["ball", "box", "rod"]


def test_the_examples_hold() -> None:
    found = doctest.testmod(naming)
    assert (found.attempted, found.failed) == (2, 0)


def on_the_terminal(
    document: dict[str, Any], per_class: bool, capsys: pytest.CaptureFixture[str]
) -> str:
    """What is shown."""
    tables.show(document, per_class)
    return capsys.readouterr().out


def test_terminal_page_and_cards_name_the_same_runs_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 400)
    names = ("one/student", "two/student", "third")
    toy_report.make(tmp_path, CLASSES, names)
    document, _ = toy_report.run(tmp_path, tmp_path / "out", *names)
    expected = [str(tmp_path / "one/student"), str(tmp_path / "two/student"), "third"]
    assert [run["label"] for run in words(document)["runs"]] == expected
    shown = on_the_terminal(document, True, capsys)
    rows = [line.split()[1] for line in shown.splitlines() if line.startswith("│")]
    assert [word for word in rows if word in expected] == expected
    assert "third, per class, test split" in shown
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert all(name in page for name in expected)


def test_a_single_run_is_named_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 400)
    toy_report.make(tmp_path, CLASSES)
    document, _ = toy_report.run(tmp_path, tmp_path / "out")
    assert words(document)["title"].startswith("first: ")
    assert on_the_terminal(document, False, capsys).startswith("first: ")
    assert (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8").find("\n# first\n") > 0


def test_why_a_group_has_no_p_value_is_said_alike() -> None:
    pair = {"difference": {"mean": 0.1, "std": None}, "n": 1, "p_value": None}
    assert naming.paired_test(pair) == "one pair"
    assert naming.paired_test(pair | {"n": 3}) == "no test"
    assert naming.paired_test(pair | {"n": 3, "p_value": 1e-9}) == "< 0.001"
    assert naming.paired_test(None) == naming.paired_test(pair | {"difference": None}) == "—"
