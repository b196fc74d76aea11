"""The model card of a push. In: a checkpoint; out: the README.md of its repository, and where it comes from.

A card that `pointcmt evaluate --report` wrote beside the checkpoint is taken; else a short one is made that says what
the checkpoint says of itself, and what is not known.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointcmt_cli.errors import DataError

BESIDE = "MODEL_CARD.md"


def card_of(
    path: Path, named: Path | None, values: Mapping[str, Any], repo_id: str
) -> tuple[str, str]:
    """The text, and a line that says which it is."""
    beside = path.with_name(BESIDE)
    if named is not None:
        return _read(named), f"model card: {named}"
    if beside.exists():
        text = _read(beside)
        if path.name in text:
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


def minimal(values: Mapping[str, Any], repo_id: str) -> str:
    """What the checkpoint says of itself, with the hub's metadata (huggingface.co/docs/hub/model-cards)."""
    teacher = values["group"] == "teachers"
    tags = ["pointcmt", "point-cloud", "3d", "image-teacher" if teacher else "classification"]
    about = {"library_name": "pointcmt", "tags": tags}
    provenance = values["provenance"]
    made = {
        "network": values["name"],
        "its options": json.dumps(values["options"]) if values["options"] else "",
        "needs": f"{values['distribution']} {values['distribution_version']}",
        "objective": provenance.get("objective"),
        "trained on": provenance.get("source_layout"),
        "variant": provenance.get("variant"),
        "points": values["config"].get("points"),
        "seed": values["config"].get("seed"),
        "pointcmt": values.get("pointcmt"),
    }
    sees = "rendered views" if teacher else "points alone"
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in about.items()),
        "---",
        "",
        f"# {repo_id.rpartition('/')[2]}",
        "",
        f"A classifier of 3-D shapes that sees {sees}, made with pointcmt.",
        "",
        *_scores(values["metrics"]),
        "## How it was made",
        "",
        *(f"- {key}: {value}" for key, value in made.items() if value not in (None, "")),
        "",
        f"Classes: {', '.join(map(str, values['class_names']))}.",
        "",
        "Nothing is said here about its licence, its calibration or its robustness: they were not stated or measured.",
        "",
        "## Use",
        "",
        "```",
        f"pointcmt pull {repo_id}",
        "```",
        "",
    ]
    return "\n".join(lines)


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    """Held-out and test scores, where the checkpoint has them."""
    rows = []
    for key, name in (("held_out", "held-out"), ("test", "test")):
        found = metrics.get(key)
        if isinstance(found, Mapping) and isinstance(found.get("oa"), (int, float)):
            macc = found.get("macc")
            shown = f"{100 * macc:.1f} %" if isinstance(macc, (int, float)) else ""
            rows.append(
                f"| {name} | {found.get('count', '')} | {100 * found['oa']:.1f} % | {shown} |"
            )
    if not rows:
        return ["It holds no scores.", ""]
    head = ["| split | shapes | overall accuracy | mean class accuracy |", "|---|--:|--:|--:|"]
    return [*head, *rows, "", "One run, one pass per shape, no voting.", ""]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"model card {path} cannot be read: {error}") from error
