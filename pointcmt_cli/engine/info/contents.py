"""What a file of ours says of itself. In: a path; out: plain values, the same keys whatever the kind of file.

An .onnx, .pt2, .h5 or .safetensors is read without torch. Nothing is rebuilt or run: of a .pt2, which may hold code,
only the metadata are read.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pointcmt_cli.config import DistillConfig, TeacherConfig
from pointcmt_cli.data.store.views import FEATURES_FORMAT, VIEWS_FORMAT, open_checked
from pointcmt_cli.engine.deployed.opened import TRAINED_BY, metadata_of_onnx, parsed
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import plain
from pointcmt_cli.provenance import RECORD
from pointcmt_cli.splits import counts_of, named
from pointcmt_cli.wording import one_line

STAGES: Mapping[str, type] = {
    "student": DistillConfig,
    "generator": DistillConfig,
    "teacher": TeacherConfig,
}
PLACES = (
    "work",
    "views",
    "features",
    "generator",
    "init",
    "out",
    "force",
    "tensorboard",
    "preference",
)
"""Settings that are said elsewhere, or that say nothing of the result."""
UNSAID = ("class_names", "digest", "format", "version", "settings_digest", RECORD)
"""Attributes of an .h5 that stand under other keys, or are no settings."""


def h5(path: Path) -> dict[str, Any]:
    """views.h5 or features.h5."""
    with open_checked(path, VIEWS_FORMAT, FEATURES_FORMAT) as file:
        said = {key: _python(value) for key, value in file.attrs.items()}
        splits = [named(str(each)) for each in file["split"].asstr()[:]]
        shapes = {key: list(file[key].shape) for key in file if file[key].ndim > 1}
    record = json.loads(said[RECORD]) if RECORD in said else None
    made_from = {"views": said["views_digest"]} if "views_digest" in said else {}
    return {
        "kind": "views" if said["format"] == VIEWS_FORMAT else "features",
        "format": said["format"],
        "version": int(said["version"]),
        "digest": said["digest"],
        "classes": list(said["class_names"]),
        "counts": {split: count for split, count in counts_of(splits).items() if count},
        "arrays": shapes,
        "settings": {key: value for key, value in said.items() if key not in UNSAID},
        "made_from": made_from,
        RECORD: record,
    }


def pt(path: Path) -> dict[str, Any]:
    """A checkpoint: student, teacher or generator, or the state of a run that has not ended."""
    from pointcmt_cli.engine.training import checkpoint

    return of_checkpoint(checkpoint.load(path))


def of_checkpoint(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flat dict of a checkpoint, with or without its weights."""
    made = values.get("provenance", {})
    roles = {"views": "views_digest", "features": "features_digest", "init": "init_digest"}
    own = {"features"} if made.get("kind") == "student" else {"views"}
    state = values.get("state_dict", {})
    return {
        "kind": made.get("kind", "unfinished training"),
        "format": values["format"],
        "version": values["version"],
        "digest": made.get("digest") or made.get("run_key"),
        "classes": values.get("class_names", []),
        "counts": {named(split): count for split, count in made.get("counts", {}).items()},
        "network": {
            key: values[key]
            for key in ("name", "options", "distribution", "distribution_version", "width")
            if key in values
        },
        "parameters": sum(each.numel() for each in state.values()) or None,
        "objective": made.get("objective"),
        "settings": chosen(str(made.get("kind")), values.get("config", {})),
        "scores": scores(values.get("metrics", {})),
        "made_from": {
            role: made[key] for role, key in roles.items() if key in made and role in own | {"init"}
        },
        RECORD: values.get(RECORD),
    }


def chosen(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that are not the defaults, places apart."""
    stage = STAGES.get(kind)
    if stage is None:
        return dict(config)
    defaults = {each.name: each.default for each in fields(stage)}
    return {
        key: value
        for key, value in config.items()
        if value not in (None, [], {}) and value != plain(defaults.get(key)) and key not in PLACES
    }


def scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracies by split, of the epoch that was kept."""
    found = {"held-out": metrics.get("held_out"), "test": metrics.get("test")}
    return {split: value for split, value in found.items() if value}


def onnx(path: Path) -> dict[str, Any]:
    """An exported graph, by onnxruntime."""
    return of_export(metadata_of_onnx(path))


def safetensors(path: Path) -> dict[str, Any]:
    """The header of a .safetensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as safetensors (damaged?): {one_line(error)}"
        ) from error
    return of_export(parsed(texts, path))


def pt2(path: Path) -> dict[str, Any]:
    """The metadata of a torch.export archive, without opening what may be code."""
    from pointcmt_cli.engine.deployed.opened import checked

    try:
        with zipfile.ZipFile(path) as archive:
            [name] = [each for each in archive.namelist() if each.endswith("/extra/metadata.json")]
            said = json.loads(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} was not written by `pointcmt export`, or is damaged: {one_line(error)}"
        ) from error
    return of_export(checked(said, path))


def of_export(said: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that every exported file holds."""
    made = said.get("provenance", {})
    return {
        "kind": "export",
        "format": said["format"],
        "version": 1,
        "digest": None,
        "classes": said["class_names"],
        "counts": {named(split): count for split, count in made.get("counts", {}).items()},
        "network": {
            key: said[key]
            for key in ("name", "options", "distribution", "distribution_version")
            if key in said
        },
        "objective": made.get("objective"),
        "input": said.get("input"),
        "output": said.get("output"),
        "precision": said.get("precision"),
        "scores": scores(said.get("metrics", {})),
        "made_from": {},
        RECORD: said.get(RECORD),
        TRAINED_BY: said.get(TRAINED_BY),
    }


READERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    ".h5": h5,
    ".pt": pt,
    ".onnx": onnx,
    ".pt2": pt2,
    ".safetensors": safetensors,
}
"""By the ending of a file."""


def _python(value: Any) -> Any:
    """A value of h5py as JSON has it."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    return listed.decode() if isinstance(listed, bytes) else listed
