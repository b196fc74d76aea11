"""What a student's checkpoint says of itself and of what it was made from."""

from pathlib import Path
from typing import Any, Literal, get_args

import torch

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig, deciding
from pointcmt_cli.data.clouds.augmentation import FROM_AVAILABLE
from pointcmt_cli.data.clouds.sampling import is_filled
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.engine.training.beside import differences
from pointcmt_cli.engine.training.finished import other_file
from pointcmt_cli.engine.training.stored import Checkpoint, Provenance
from pointcmt_cli.files import digest, file_digest
from pointcmt_cli.provenance import MadeBy, record

Inherited = Literal[
    "source_layout",
    "variant",
    "up",
    "views_digest",
    "teacher_digest",
    "teacher",
    "labels_per_class",
]
INHERITED: tuple[Inherited, ...] = get_args(Inherited)
"""What features.h5 says of its own origin, by its attributes."""

LATER = ("labelled_share", "augmentation", "optimizer", "last_lr", "clip")
"""Settings that checkpoints were made without: their defaults are no part of a key, so that these stay up to date."""


def run_key(config: DistillConfig, features: Features, device: torch.device) -> str:
    """Changes whenever the weights could: settings, input, plug-in versions, device."""
    settings = deciding(config)
    for name in LATER:
        if settings[name] == getattr(DistillConfig, name):
            del settings[name]
    plugins = [
        discovery.find("backbones", config.student),
        discovery.find("objectives", config.objective),
    ]
    versions = [(plugin.distribution, plugin.version) for plugin in plugins]
    first = [_init_digest(config)] if config.init else []
    first += [FROM_AVAILABLE] if is_filled(features.shapes.points) else []
    return digest(settings, features.shapes.digest, versions, device.type, *first)


def other_settings(values: Checkpoint, config: DistillConfig, features: Features) -> list[str]:
    """The settings that differ from those of an older checkpoint; not what other inputs make of the same ones."""
    made, stored = values["provenance"], features.shapes.points.shape[1]
    before, after = deciding(values["config"], DistillConfig), deciding(config)
    new_input = made.get("features_digest") != features.shapes.digest
    if new_input and (before["points"] == made.get("stored_points") or config.points == stored):
        after["points"] = before["points"]  # as many as are stored, not as many as were asked for
    first = []
    if made.get("init_digest") != _init_digest(config):
        first = other_file("--init", values["config"].get("init"), config.init)
    return first + differences(before, after)


def why_anew(values: Checkpoint, config: DistillConfig, features: Features) -> str:
    """What differs from the run that made an older checkpoint."""
    settings = (deciding(values["config"], DistillConfig), deciding(config))
    changes = differences(*settings)
    if values["provenance"].get("features_digest") != features.shapes.digest:
        changes.insert(0, "the features")
    if values["provenance"].get("init_digest") != _init_digest(config):
        changes.insert(0, "--init")
    return ", ".join(changes) or "a plug-in's version or the device"


def _init_digest(config: DistillConfig) -> str | None:
    return file_digest(config.init) if config.init else None


def provenance(
    config: DistillConfig, features: Features, key: str, generator_key: str | None
) -> Provenance:
    """What the checkpoint was made from; `generator_key` is None where no generator was needed."""
    attributes = features.shapes.attributes
    made: Provenance = {
        "kind": "student",
        "run_key": key,
        "objective": config.objective,
        "objective_options": dict(config.objective_options),
        "features_digest": features.shapes.digest,
        "stored_points": features.shapes.points.shape[1],
        "counts": features.shapes.counts(),
    }
    if config.init:
        made["init_digest"] = _init_digest(config)
    if generator_key:
        made["generator_key"] = generator_key
    for name in INHERITED:
        if name in attributes:
            made[name] = str(attributes[name])
    return made


def record_of(config: DistillConfig, features: Features) -> MadeBy:
    """The run that trains this student."""
    assert config.features is not None
    inputs: dict[str, tuple[Path, str | None]] = {
        "features": (config.features, features.shapes.digest)
    }
    if config.init:
        inputs["init"] = (config.init, _init_digest(config))
    plugins = (("backbones", config.student), ("objectives", config.objective))
    return record(inputs, *(discovery.find(*plugin).distribution for plugin in plugins))


def summary(values: Checkpoint, out: Path) -> dict[str, Any]:
    """The stage's result in plain values."""
    metrics = values["metrics"]
    return {
        "checkpoint": str(out),
        "student": values["name"],
        "objective": values["provenance"]["objective"],
        "variant": values["provenance"].get("variant"),
        "labels_per_class": values["provenance"].get("labels_per_class"),
        **metrics,
    }
