"""Nothing that is named in a model card breaks out of its block, its table, its code or its metadata; both doors."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import toy_report
from pointcmt_cli.engine.hub.card import card_of
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.card import bullets, card, command, plain, table

yaml = pytest.importorskip("yaml")
HOSTILE = "x|y\n---\n# z \"' <b>*_`[a](b)~\\ \x7f\u2028\ud83d: {{7}} 🪑 ü"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<i>", "&lt;i&gt;"),
        ("a\n# b", r"a \# b"),
        ("[x](y)", r"\[x\](y)"),
        ("\udc80", "?"),
    ],
)
def test_markdown_in_names_is_text(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_command_closes_no_block_and_is_one_word_each() -> None:
    made = command("pointcmt", "predict", "a b`\n````.pt").split("\n")
    assert len(made) == 3
    assert made[0] == made[2] == "`````"
    assert made[1] == "pointcmt predict 'a b` ````.pt'"


def body_of(text: str) -> tuple[dict[str, Any], list[str]]:
    """The metadata as YAML reads them, and the lines that follow."""
    opening, head, body = text.split("---\n", 2)
    assert opening == ""
    text.encode()
    return yaml.safe_load(head), body.split("\n")


def check_tables(lines: list[str]) -> None:
    """Every row has the cells of its heading."""
    for line, below in pairwise(lines):
        if line.startswith("|") and below.startswith("|"):
            counts = [each.replace("\\|", "").count("|") for each in (line, below)]
            assert counts[0] == counts[1], below


def headings(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("#")]


def test_every_part_of_a_card_holds_what_is_put_in() -> None:
    rows = table({"a": "l", HOSTILE: "r"}, [[HOSTILE, HOSTILE]])
    text = card(HOSTILE, HOSTILE, {HOSTILE: [bullets([HOSTILE]), rows]}, [HOSTILE], name=HOSTILE)
    metadata, lines = body_of(text)
    assert metadata["library_name"] == "pointcmt"
    assert metadata["name"] == metadata["tags"][-1] == HOSTILE.replace("\ud83d", "?")
    assert [line[:2] for line in headings(lines)] == ["# ", "##"]
    check_tables(lines)
    assert not any("<b>" in line or line.startswith("---") for line in lines)


def test_the_card_of_a_push_holds_what_a_checkpoint_says(tmp_path: Path) -> None:
    values = {
        "group": "backbones",
        "name": HOSTILE,
        "options": {HOSTILE: HOSTILE},
        "distribution": HOSTILE,
        "distribution_version": "1",
        "class_names": [HOSTILE, "rod"],
        "config": {"points": HOSTILE, "seed": 0},
        "provenance": {"objective": HOSTILE, "source_layout": HOSTILE},
        "metrics": {"test": {"oa": 0.5, "macc": HOSTILE, "count": HOSTILE}, "held_out": HOSTILE},
    }
    text, _ = card_of(tmp_path / "a.pt", None, values, f"me/{HOSTILE}")
    metadata, lines = body_of(text)
    assert metadata["tags"][-1] == "classification"
    assert [line[:3] for line in headings(lines)] == ["# x", "## ", "## ", "## "]
    check_tables(lines)
    assert sum("<b>" in line for line in lines) == 1  # in the block of code, as text
    assert plain(json.dumps({HOSTILE: HOSTILE})) in text


def test_the_card_of_a_report_holds_what_a_checkpoint_says(tmp_path: Path) -> None:
    toy_report.make(tmp_path, ["a|b", "<b>\n# c", "---"], ("fi|rs`t",))
    path = tmp_path / "fi|rs`t.pt"
    values = checkpoint.load(path)
    provenance = values["provenance"] | {"teacher": HOSTILE.replace("\ud83d", "")}
    checkpoint.save(path, {**values, "provenance": provenance})
    toy_report.run(tmp_path, tmp_path / "out", "fi|rs`t")
    metadata, lines = body_of((tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8"))
    assert metadata["model-index"][0]["name"] == "fi|rs`t"
    assert len(headings(lines)) == 5
    check_tables(lines)
    assert any("pointcmt predict 'fi|rs`t.pt' shape.off" in line for line in lines)
