"""MODEL_CARD.md: what a checkpoint is, its scores and how they were measured, with Hugging Face's metadata block.

In: the evaluation document (docs/json-schema.md) and the checkpoint's path in it; out: Markdown. The block's fields are
those of https://huggingface.co/docs/hub/model-cards; every value is written as JSON, which is YAML too.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pointcmt_cli.engine.report import tables
from pointcmt_cli.engine.report import words as report_words
from pointcmt_cli.wording import one_line

TASK = {"type": "point-cloud-classification", "name": "Point cloud classification"}
METRICS = {"oa": "Overall accuracy", "macc": "Mean class accuracy"}
CHANGED = {"points": "points per cloud", "rotations": "rotation"}
UNMEASURED = {
    "noisy": ("modelnet-c",),
    "partial": ("modelnet-c", "points"),
    "turned": ("modelnet-c", "rotations"),
}
"""Kinds of scans, and the measures that say something of them."""
SPECIAL = re.compile(r"([\\`*_\[\]#|~])")


def model_card(document: Mapping[str, Any], checkpoint: str) -> str:
    """The card of one of the document's runs."""
    run = next(each for each in document["runs"] if each["checkpoint"] == checkpoint)
    words = tables.words({**document, "runs": [run], "comparisons": []})
    environment = Environment(
        loader=PackageLoader("pointcmt_cli.engine.report", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= report_words.FILTERS | {"yaml": _yaml, "plain": plain}
    label, robust = words["runs"][0]["label"], run.get("robustness") or {}
    return environment.get_template("card.md.j2").render(
        **{
            **words,
            "run": run,
            "label": label,
            "file": Path(checkpoint).name,
            "about": about(run, document),
            "metadata": metadata(run, document, label),
            "facts": {**words["facts"][0], **words["shared"], "pointcmt": document["pointcmt"]},
            "corruption": robust.get("modelnet-c"),
            "changed": {title: robust[key] for key, title in CHANGED.items() if key in robust},
            "unmeasured": [
                word for word, keys in UNMEASURED.items() if not any(key in robust for key in keys)
            ],
        }
    )


def metadata(run: Mapping[str, Any], document: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The block that the hub reads: tags, and every score of the split that chose nothing."""
    data = document["data"]
    dataset = " ".join(filter(None, (data["layout"], data["variant"]))) or "point clouds"
    objective = [] if run["objective"] is None else [f"objective-{run['objective']}"]
    results = [
        {
            "task": TASK,
            "dataset": {"type": _slug(dataset), "name": dataset, "split": split},
            "metrics": [
                {
                    "type": "accuracy",
                    "name": text if kind == "single" else f"{text}, voted",
                    "value": round(found[key], 4),
                }
                for kind, found in kinds.items()
                if kind in ("single", "voted")
                for key, text in METRICS.items()
            ],
        }
        for split, kinds in run["scores"].items()
        if split == "test" or "test" not in run["scores"]
    ]
    return {
        "library_name": "pointcmt",
        "tags": ["pointcmt", "point-cloud", "3d", _slug(run["name"]), *map(_slug, objective)],
        "metrics": ["accuracy"],
        "model-index": [{"name": label, "results": results}],
    }


def about(run: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """One or two sentences: what it does, and what it learned from."""
    many = len(document["data"]["class_names"])
    if run["is_teacher"]:
        return f"An image network ({run['name']}) that tells {many} classes of shapes apart by rendered views of them."
    teacher = run["provenance"].get("teacher")
    with_teacher = teacher and not run.get("plain")
    taught = f" and taught by an image network ({teacher})" if with_teacher else ""
    return (
        f"A point-cloud network ({run['name']}) that tells {many} classes of shapes apart, trained with the objective "
        f"{run['objective']}{taught}. It needs points alone."
    )


def plain(value: Any) -> str:
    """Text as Markdown shows it, whatever is in it."""
    text = one_line(value)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return SPECIAL.sub(r"\\\1", text)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _yaml(value: Any) -> str:
    return json.dumps(value)
