"""The model card of a push. In: a checkpoint; out: the README.md of its repository, and where it comes from.

A card that `pointcmt evaluate --report` wrote beside the checkpoint is taken; else a short one is made that says what
the checkpoint says of itself, and what is not known.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointcmt_cli.engine.training.card import Markdown, card, command, plain, table
from pointcmt_cli.engine.training.stored import Checkpoint
from pointcmt_cli.errors import DataError
from pointcmt_cli.splits import HELD_OUT, TEST, key_of
from pointcmt_cli.wording import one_line, percent

BESIDE = "MODEL_CARD.md"
UNKNOWN = (
    "Nothing is said here about its licence, its calibration or its robustness: "
    "they were not stated or measured."
)
SCORES = {"split": "l", "shapes": "r", "overall accuracy": "r", "mean class accuracy": "r"}


def card_of(path: Path, named: Path | None, values: Checkpoint, repo_id: str) -> tuple[str, str]:
    """The text, and a line that says which it is."""
    beside = path.with_name(BESIDE)
    if named is not None:
        return _read(named), f"model card: {named}"
    if beside.exists():
        text = _read(beside)
        if path.name in text or plain(path.name) in text:
            return text, f"model card: {beside}"
        return (
            minimal(values, repo_id),
            f"{beside} does not name {path.name}: a short card is made (--card takes it all the same)",
        )
    return (
        minimal(values, repo_id),
        f"model card: a short one; `pointcmt evaluate {path.name} --report DIR` writes one with scores and intervals, "
        "and --card DIR/MODEL_CARD.md takes it",
    )


def minimal(values: Checkpoint, repo_id: str) -> str:
    """What the checkpoint says of itself."""
    teacher = values["group"] == "teachers"
    sees = "rendered views" if teacher else "points alone"
    sections = {
        "Scores": _scores(values["metrics"]),
        "How it was made": [
            table({"": "l", " ": "l"}, _facts(values).items()),
            plain(f"Classes: {', '.join(map(str, values['class_names']))}."),
            plain(UNKNOWN),
        ],
        "Use": [command("pointcmt", "pull", repo_id)],
    }
    return card(
        repo_id.rpartition("/")[2],
        f"A classifier of 3-D shapes that sees {sees}, made with pointcmt.",
        sections,
        ["image-teacher" if teacher else "classification"],
    )


def _facts(values: Checkpoint) -> dict[str, Any]:
    """What is known of how it was made."""
    provenance, config = values["provenance"], values["config"]
    made = {
        "network": values["name"],
        "its options": json.dumps(values["options"]) if values["options"] else "",
        "needs": f"{values['distribution']} {values['distribution_version']}",
        "objective": provenance.get("objective"),
        "trained on": provenance.get("source_layout"),
        "variant": provenance.get("variant"),
        "points": config.get("points"),
        "seed": config.get("seed"),
        "pointcmt": values.get("pointcmt"),
    }
    return {key: value for key, value in made.items() if value not in (None, "")}


def _scores(metrics: Mapping[str, Any]) -> list[Markdown]:
    """Held-out and test scores, where the checkpoint has them."""
    rows = [
        [split, found.get("count", ""), percent(found["oa"]), percent(_number(found, "macc"))]
        for split in (HELD_OUT, TEST)
        if (found := metrics.get(key_of(split))) and _number(found, "oa") is not None
    ]
    if not rows:
        return [plain("It holds no scores.")]
    return [table(SCORES, rows), plain("One run, one pass per shape, no voting.")]


def _number(found: Any, key: str) -> float | None:
    """A stranger's checkpoint may hold anything here."""
    value = found.get(key) if isinstance(found, Mapping) else None
    return value if isinstance(value, (int, float)) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"model card {path} cannot be read: {one_line(error)}") from error
