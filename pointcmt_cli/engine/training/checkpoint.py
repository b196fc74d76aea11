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
from typing import Any, NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import atomic, plain
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.provenance import RECORD, MadeBy, without_folders

FORMAT = "pointcmt-checkpoint"
VERSION = 1
INITIALISATION = {"weights": None, "pretrained": False}
"""Factory options that only say where the first weights come from (pointcmt_cli.api): a checkpoint has its own."""


class Checkpoint(TypedDict):
    """The flat dict of a student or a teacher, format 1. Plain values and tensors only."""

    format: str
    """FORMAT."""
    version: int
    pointcmt: str
    """The version that trained it, as is `torch`."""
    torch: str
    group: str
    """`backbones` or `teachers`."""
    name: str
    """The plug-in's, or `module:attribute`."""
    options: dict[str, Any]
    """The plug-in's; with these and `state_dict` the encoder is rebuilt."""
    distribution: str
    """That the plug-in came from, and its version."""
    distribution_version: str
    width: int | None
    """Of the neck; None: there is none."""
    class_names: list[str]
    """In the order of the logits."""
    config: dict[str, Any]
    """The stage's settings."""
    metrics: dict[str, Any]
    """Scores by split, which epoch was kept and why, seconds."""
    provenance: dict[str, Any]
    """`kind`, `run_key`, the digests of what it was made from, counts of shapes."""
    record: NotRequired[dict[str, Any]]
    """The run (provenance.MadeBy); absent in files of before there were records."""
    state_dict: dict[str, Tensor]
    """Encoder, neck and head."""


def save(path: Path, values: Mapping[str, Any]) -> None:
    """Write a dict of plain values and tensors atomically."""
    content = io.BytesIO()  # torch's own writer turns an interrupt into an error of its own
    torch.save(dict(values), content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; tensors on the CPU."""
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
    return values


def existing(path: Path, kind: str, force: bool) -> dict[str, Any] | None:
    """What stands at an output's place: nothing (None, as with `force`), a checkpoint of that kind, or an error.

    `kind` is student, teacher or generator: no stage replaces another's file, or a file that is none of ours, unasked.
    """
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
    group: str,
    name: str,
    options: Mapping[str, Any],
    classes: list[str],
    config: Any,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    record: MadeBy | None = None,
) -> Checkpoint:
    """The flat dict of a classifier: plug-in and its distribution, classes, config, metrics, weights."""
    plugin = discovery.find(group, name)
    values = {
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
        "metrics": plain(dict(metrics)),
        "provenance": plain(dict(provenance)),
        **({RECORD: plain(record)} if record else {}),
        "state_dict": {key: value.detach().cpu() for key, value in model.state_dict().items()},
    }
    return cast("Checkpoint", values)


def classifier(values: Mapping[str, Any], path: Path) -> Checkpoint:
    """The same dict, when it has all that a classifier's has."""
    if missing := sorted(Checkpoint.__required_keys__ - values.keys()):
        raise DataError(f"{path} is not a whole checkpoint: it lacks {', '.join(missing)}")
    return cast("Checkpoint", values)


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
