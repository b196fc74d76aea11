"""Stages `push` and `pull`: a checkpoint -> a repository of the Hugging Face hub, and back.

A repository holds model.safetensors (the weights), config.json (the rest of the checkpoint's flat dict, as JSON) and
README.md (the model card). Neither file can run code when it is read. What was pulled is the checkpoint that was
pushed, except that absolute paths have become names: they say who made it, and mean nothing elsewhere.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pointcmt_cli import discovery
from pointcmt_cli.config import PullConfig, PushConfig
from pointcmt_cli.engine.hub.card import card_of
from pointcmt_cli.engine.hub.client import Hub
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.trained import find
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import check_folder
from pointcmt_cli.records import Note, Records, Result
from pointcmt_cli.wording import one_line

WEIGHTS = "model.safetensors"
SETTINGS = "config.json"
CARD = "README.md"
LARGEST_SETTINGS = 16 * 2**20
"""Bytes of a config.json: no checkpoint's is near that."""
NEEDED: dict[str, type | tuple[type, ...]] = {
    "group": str,
    "name": str,
    "options": dict,
    "distribution": str,
    "distribution_version": str,
    "width": (int, type(None)),
    "class_names": list,
    "config": dict,
    "metrics": dict,
    "provenance": dict,
}
"""What a checkpoint says of itself, with its types."""


def push(config: PushConfig) -> Records:
    """Upload a student or a teacher; the Result names the commit."""
    path = find(config.checkpoint, config.work)
    stored = checkpoint.load(path)
    if stored.get("group") not in ("backbones", "teachers"):
        kind = stored.get("provenance", {}).get("kind", "resume state")
        raise DataError(
            f"{path} holds a {kind}; push takes the checkpoint of a student or a teacher"
        )
    values = checkpoint.classifier(stored, path)
    hub = Hub(config.repo_id)
    settings, shortened = checkpoint.without_paths(
        {k: v for k, v in values.items() if k != "state_dict"}
    )
    if shortened:
        yield Note(f"paths of this machine become names: {', '.join(shortened)}")
    card, note = card_of(path, config.card, values, config.repo_id)
    yield Note(note)
    files = {
        SETTINGS: _as_json(settings, path),
        WEIGHTS: _as_safetensors(values["state_dict"]),
        CARD: card.encode(),
    }
    yield Note(f"{path}: {sum(map(len, files.values())) / 2**20:.1f} MiB to {hub.place}")
    url, commit = hub.upload(files, f"pointcmt push {path.name}", config.revision, config.private)
    yield Result(
        {
            "checkpoint": str(path),
            "repo_id": config.repo_id,
            "revision": config.revision or "main",
            "commit": commit,
            "url": url,
            "files": {name: len(content) for name, content in files.items()},
        }
    )


def pull(config: PullConfig) -> Records:
    """Download a checkpoint, look whether it can be used here, and write it; the Result names the file."""
    out = config.out or config.work / f"{config.repo_id.rpartition('/')[2]}.pt"
    if out.exists() and not config.force:
        raise DataError(f"{out} exists: name another file with --out, or --force replaces it")
    check_folder(out)
    hub = Hub(config.repo_id)
    yield Note(f"{hub.place}, {config.revision or 'main'}")
    settings, commit = hub.file(SETTINGS, config.revision)
    values = _settings(settings, hub.place)
    weights, _ = hub.file(WEIGHTS, commit)  # of the same commit, whatever is pushed meanwhile
    yield Note(f"commit {commit[:12]}: {values['name']}, {len(values['class_names'])} classes")
    values["state_dict"] = _weights(weights, hub.place)
    if ":" not in values["name"]:
        checkpoint.rebuild(checkpoint.classifier(values, out), out)
    elif not config.trust_code:
        raise DataError(
            f"{hub.place}: its network is '{values['name']}', code that is not in the repository; using such a "
            "checkpoint runs that code: inspect it first, then add --trust-code"
        )
    checkpoint.save(out, values)
    yield Result(
        {
            "checkpoint": str(out),
            "repo_id": config.repo_id,
            "commit": commit,
            "name": values["name"],
            "kind": "teacher" if values["group"] == "teachers" else "student",
            "classes": len(values["class_names"]),
            "metrics": values["metrics"],
        }
    )


def _as_json(settings: Mapping[str, Any], path: Path) -> bytes:
    try:
        text = json.dumps(settings, indent=2)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: holds what config.json cannot: {one_line(error)}") from error
    if json.loads(text) != settings:
        raise DataError(
            f"{path}: holds what config.json cannot keep as it is (NaN, or keys that are not text)"
        )
    return text.encode()


def _as_safetensors(state: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    apart = {name: value.detach().clone().contiguous() for name, value in state.items()}
    content: bytes = save(apart, {"format": "pt"})
    return content


def _settings(path: Path, place: str) -> dict[str, Any]:
    """config.json, checked: it is a stranger's."""
    try:
        if path.stat().st_size > LARGEST_SETTINGS:
            raise ValueError("far too large")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: its {SETTINGS} cannot be read: {one_line(error)}") from error
    if not isinstance(values, dict) or values.get("format") != checkpoint.FORMAT:
        raise DataError(
            f"{place} was not made by `pointcmt push`: its {SETTINGS} is another program's"
        )
    version = values.get("version")
    if not isinstance(version, int) or version > checkpoint.VERSION:
        raise DataError(
            f"{place} has format version {version}, this pointcmt reads {checkpoint.VERSION}: upgrade pointcmt"
        )
    wrong = [
        key
        for key, kind in NEEDED.items()
        if key not in values or not isinstance(values[key], kind)
    ]
    if wrong or values["group"] not in discovery.GROUPS:
        raise DataError(f"{place}: its {SETTINGS} does not say {', '.join(wrong) or 'what it is'}")
    return values


def _weights(path: Path, place: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, torch.Tensor] = load_file(os.fspath(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{place}: its {WEIGHTS} cannot be read: {one_line(error)}") from error
    return state
