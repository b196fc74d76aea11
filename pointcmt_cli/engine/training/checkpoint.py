"""Checkpoints: one flat dict of plain values and tensors that rebuilds its model; written atomically, read safely.

Loads with `torch.load(..., weights_only=True)`: a stranger's file brings no code of its own. It names the network to
call, and what it names must be installed: a plug-in, or a `module:attribute` that is a plug-in's factory by its form.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, cast

import torch
from torch import nn

from pointcmt_cli import discovery
from pointcmt_cli.engine.training.stored import (
    Checkpoint,
    GeneratorFile,
    Metrics,
    Provenance,
    Stage,
    Stored,
)
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import atomic, plain
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.provenance import RECORD, MadeBy, without_folders

FORMAT = "pointcmt-checkpoint"
VERSION = 1
INITIALISATION = {"weights": None, "pretrained": False}
"""Factory options that only say where the first weights come from (pointcmt_cli.api): a checkpoint has its own."""


def save(path: Path, values: Mapping[str, Any]) -> None:
    """Write a dict of plain values and tensors atomically."""
    content = io.BytesIO()  # torch's own writer turns an interrupt into an error of its own
    torch.save(dict(values), content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(path: Path) -> Stored:
    """Read a file of a training, of any kind; tensors on the CPU."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:
        raise DataError(
            f"{path} is not a pointcmt checkpoint (damaged, or another program's file)"
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT or "version" not in values:
        raise DataError(f"{path} is not a pointcmt checkpoint (another program's file)")
    if values["version"] > VERSION:
        raise DataError(
            f"{path} has format version {values['version']}, this pointcmt reads {VERSION}: upgrade pointcmt"
        )
    return cast("Stored", values)


def existing(path: Path, kind: Stage, force: bool) -> Checkpoint | None:
    """The student or teacher that stands at an output's place, or None, as with `force`."""
    found = _existing(path, kind, force)
    return None if found is None else classifier(found, path)


def existing_generator(path: Path, force: bool) -> GeneratorFile | None:
    """The generator that stands at an output's place, or None, as with `force`."""
    found = _existing(path, "generator", force)
    return None if found is None else cast("GeneratorFile", _whole(found, GeneratorFile, path))


def _existing(path: Path, kind: Stage, force: bool) -> Stored | None:
    """No stage replaces another's file, or a file that is none of ours, unasked: an error says so."""
    if force or not path.exists():
        return None
    mend = "name another file with --out, or replace it with --force"
    try:
        values = load(path)
    except DataError as error:
        raise DataError(f"{error}; a {kind} would replace it: {mend}") from error
    found = values.get("provenance", {}).get("kind", "resume state")
    if found != kind:
        raise DataError(f"{path} holds a {found}, not a {kind}: {mend}")
    return values


def describe(
    model: Classifier,
    *,
    group: Literal["backbones", "teachers"],
    name: str,
    options: Mapping[str, Any],
    classes: list[str],
    config: Any,
    metrics: Metrics,
    provenance: Provenance,
    record: MadeBy | None = None,
) -> Checkpoint:
    """The flat dict of a classifier: plug-in and its distribution, classes, config, metrics, weights."""
    plugin = discovery.find(group, name)
    values: Checkpoint = {
        "format": FORMAT,
        "version": VERSION,
        "pointcmt": version("pointcmt"),
        "torch": str(torch.__version__),
        "group": group,
        "name": name,
        "options": dict(options),
        "distribution": plugin.distribution,
        "distribution_version": plugin.version,
        "width": model.width,
        "class_names": list(classes),
        "config": plain(asdict(config)),
        "metrics": plain(metrics),
        "provenance": plain(provenance),
        "state_dict": {key: value.detach().cpu() for key, value in model.state_dict().items()},
    }
    if record:
        values["record"] = plain(record)
    return values


def classifier(values: Mapping[str, Any], path: Path) -> Checkpoint:
    """The same dict, when it has all that a student's or a teacher's has."""
    return cast("Checkpoint", _whole(values, Checkpoint, path))


def _whole(values: Mapping[str, Any], kind: Any, path: Path) -> Mapping[str, Any]:
    if missing := sorted(kind.__required_keys__ - values.keys()):
        raise DataError(f"{path} is not a whole checkpoint: it lacks {', '.join(missing)}")
    return values


def without_paths(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The same dict with absolute paths in `config` and `provenance` cut to their last name, and which these are."""
    shortened: list[str] = []

    def cut(value: Any, place: str) -> Any:
        if isinstance(value, Mapping):
            return {key: cut(each, f"{place}.{key}") for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [cut(each, place) for each in value]
        kinds = (PurePosixPath, PureWindowsPath)
        found = [
            kind(value) for kind in kinds if isinstance(value, str) and kind(value).is_absolute()
        ]
        if not found:
            return value
        shortened.append(place)
        return found[-1].name

    shipped = {
        key: cut(value, key) if key in ("config", "provenance") else value
        for key, value in values.items()
    }
    if RECORD in values:
        shipped[RECORD] = without_folders(values[RECORD])
    return shipped, shortened


def rebuild(values: Checkpoint, path: Path) -> Classifier:
    """The classifier of a loaded checkpoint, in eval mode on the CPU."""
    plugin = (values["group"], values["name"])
    known = discovery.options_of(discovery.load(*plugin, values["distribution"]))
    idle = {key: value for key, value in INITIALISATION.items() if key in known}
    encoder = discovery.build(*plugin, {**values["options"], **idle}, values["distribution"])
    model = Classifier(encoder, len(values["class_names"]), values["width"], name=values["name"])
    own, given = model.state_dict(), values["state_dict"]
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own or given[key].shape != own[key].shape]
    if missing or unexpected:
        raise DataError(
            f"{path}: weights do not fit '{values['name']}' of {values['distribution']} (made with "
            f"{values['distribution_version']}): missing {missing or 'none'}, unexpected {unexpected or 'none'}"
        )
    model.load_state_dict(given)
    return model.eval()


def state_digest(module: nn.Module) -> str:
    """sha256 over the names, shapes and bytes of a module's state."""
    content = hashlib.sha256()
    for name, value in module.state_dict().items():
        content.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        content.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
