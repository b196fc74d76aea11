"""Which teacher, with which settings: the config with nothing left open, the model, and the key that both give.

In: a config, the shapes, the device; out: a Classifier with its first weights. Plug-in names are only data here.
"""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pointcmt_cli import discovery
from pointcmt_cli.config import EPOCHS, FROZEN_EPOCHS, TeacherConfig, deciding
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.errors import PluginError, PointCMTError, UsageError
from pointcmt_cli.files import digest
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.records import Note, Record


def resolve(config: TeacherConfig) -> TeacherConfig:
    """Default file names filled in; settings that contradict each other refused."""
    if config.weights and "weights" in config.teacher_options:
        raise UsageError("weights are given twice: --weights and --option weights=…")
    if config.folds == 1 or config.folds < 0:
        raise UsageError(f"--folds {config.folds}: 0 (none) or at least 2")
    options = dict(config.teacher_options)
    if (weights := options.pop("weights", None)) is not None:  # one setting, however it is given
        config = replace(config, weights=Path(str(weights)), teacher_options=options)
    views, out, features = files(config)
    return replace(config, views=views, out=out, features=features)


def files(config: TeacherConfig) -> tuple[Path, Path, Path]:
    """views.h5, teacher.pt, features.h5: as given, else in `work`."""
    return (
        config.views or config.work / "views.h5",
        config.out or config.work / "teacher.pt",
        config.features or config.work / "features.h5",
    )


def choose(
    config: TeacherConfig, shapes: ShapeSet, device: torch.device
) -> Generator[Record, None, tuple[TeacherConfig, Classifier]]:
    """The config with nothing left open, and the model with its first weights.

    A named teacher is taken or fails; else the first of `preference` that can be built, and every refusal is told.
    """
    refusals = []
    for name in (config.teacher,) if config.teacher else config.preference:
        try:
            with setup.seeded(config.seed, "weights"):
                encoder = discovery.build("teachers", name, options_of(config))
                config = settled(replace(config, teacher=name), encoder, device)
                model = Classifier(encoder, len(shapes.classes), neck(config, encoder), name=name)
        except PointCMTError as error:
            if config.teacher:
                raise
            refusals.append(f"'{name}' cannot be used here ({error})")
            continue
        if refusals:
            yield Note(f"teacher '{name}': {'; '.join(refusals)}", warning=True)
        if config.freeze and not getattr(encoder, "pretrained", True):
            yield Note(
                f"teacher '{name}' has random weights and is frozen: expect little of it; give it --weights FILE, "
                "take a teacher with weights of its own, or train it end to end with --no-freeze",
                warning=True,
            )
        return config, model.to(device)
    raise PluginError(f"no teacher can be built: {'; '.join(refusals)}")


def settled(config: TeacherConfig, encoder: Any, device: torch.device) -> TeacherConfig:
    """The settings that depend on device and network."""
    freeze = device.type == "cpu" if config.freeze is None else config.freeze
    epochs = config.epochs or (FROZEN_EPOCHS if freeze else EPOCHS)
    return replace(
        config,
        freeze=freeze,
        epochs=epochs,
        folds=config.folds if freeze else 0,
        device="cuda" if device.type == "cuda" else "cpu",
    )


def neck(config: TeacherConfig, encoder: Any) -> int | None:
    """Width of the neck; None where there is none."""
    unneeded = not config.freeze and getattr(encoder, "feature_dim", None) == config.width
    return None if unneeded else config.width or None


def options_of(config: TeacherConfig) -> dict[str, Any]:
    """The plug-in's options, --weights among them."""
    weights = {"weights": str(config.weights)} if config.weights else {}
    return {**config.teacher_options, **weights}


def run_key(
    config: TeacherConfig, model: Classifier, shapes: ShapeSet, device: torch.device
) -> str:
    """Changes whenever the weights could: settings, views, first weights, plug-in version, device."""
    plugin = discovery.find("teachers", model.name)
    settings = deciding(config)
    first = checkpoint.state_digest(model)
    return digest(settings, shapes.digest, first, plugin.distribution, plugin.version, device.type)
