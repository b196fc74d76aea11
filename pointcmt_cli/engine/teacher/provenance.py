"""What a teacher's files say of themselves and of what they were made from, and whether an older one still holds."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

from pointcmt_cli import discovery
from pointcmt_cli.config import TeacherConfig, deciding
from pointcmt_cli.data.store.views import ShapeSet, read_attributes
from pointcmt_cli.engine.teacher.choice import files
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.beside import differences
from pointcmt_cli.engine.training.finished import other_file, protect
from pointcmt_cli.engine.training.stored import Checkpoint, Provenance
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import file_digest
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.provenance import MadeBy, record
from pointcmt_cli.records import Note, Record

INHERITED: tuple[Literal["source_layout", "variant"], ...] = ("source_layout", "variant")
"""What views.h5 says of its source, by its attributes."""


def kept_checkpoint(
    config: TeacherConfig, shapes: ShapeSet, key: str
) -> Generator[Record, None, Checkpoint | None]:
    """The checkpoint of an earlier run with the same key; of another run, a note says what changed."""
    _, out, _ = files(config)
    values = checkpoint.existing(out, "teacher", config.force)
    if values is None:
        protect_features(config, shapes, key)
        return None
    made = values["provenance"]
    if made.get("run_key") == key:
        return checkpoint.classifier(values, out)
    changes = differences(deciding(values["config"], TeacherConfig), deciding(config))
    weights = []
    if made.get("weights_digest") != weights_digest(config):
        weights = other_file("--weights", values["config"].get("weights"), config.weights)
    protect(out, weights + changes)
    if made.get("views_digest") != shapes.digest:
        changes.insert(0, "the views")
    if made.get("weights_digest") != weights_digest(config):
        changes.insert(0, "--weights")
    why = ", ".join(changes) or "the network's first weights, its package or the device"
    yield Note(f"retraining {out}; changed: {why}")
    return None


def protect_features(config: TeacherConfig, shapes: ShapeSet, key: str) -> None:
    """A new teacher does not replace what another one says of the same views, unasked."""
    _, _, features_file = files(config)
    if config.force or not features_file.exists():
        return
    made = feature_attributes_of(features_file)
    if made.get("views_digest") == shapes.digest and made.get("teacher_key") != key:
        protect(features_file, ["another teacher of the same views"], "--features")


def features_match(config: TeacherConfig, kept: Checkpoint) -> bool:
    """Whether features.h5 was made by this very teacher."""
    _, _, features_file = files(config)
    if not features_file.exists():
        return False
    made = feature_attributes_of(features_file)
    expected = feature_attributes(config, kept)
    return all(made.get(key) == value for key, value in expected.items())


def feature_attributes_of(path: Path) -> dict[str, Any]:
    """What a features.h5 says of itself; a file that says nothing is not replaced unasked."""
    try:
        return read_attributes(path)
    except DataError as error:
        raise DataError(f"{error}; --force replaces it") from error


def weights_digest(config: TeacherConfig) -> str | None:
    """sha256 of the file of first weights: what is in it counts, not how its path was typed."""
    if config.weights is None or not config.weights.is_file():
        return None
    return file_digest(config.weights)


def provenance(model: Classifier, shapes: ShapeSet, config: TeacherConfig, key: str) -> Provenance:
    """What the checkpoint was made from, and its own hash."""
    made: Provenance = {
        "kind": "teacher",
        "run_key": key,
        "digest": checkpoint.state_digest(model),
        "views_digest": shapes.digest,
        "frozen": bool(config.freeze),
        "counts": shapes.counts(),
    }
    if config.labels_per_class:
        made["labels_per_class"] = config.labels_per_class
    if config.weights:
        made["weights_digest"] = weights_digest(config)
    for name in INHERITED:
        if name in shapes.attributes:
            made[name] = str(shapes.attributes[name])
    return made


def record_of(config: TeacherConfig, shapes: ShapeSet) -> MadeBy:
    """The run that trains this teacher."""
    views_file, _, _ = files(config)
    inputs: dict[str, tuple[Path, str | None]] = {"views": (views_file, shapes.digest)}
    if config.weights:
        inputs["weights"] = (config.weights, file_digest(config.weights))
    assert config.teacher is not None
    return record(inputs, discovery.find("teachers", config.teacher).distribution)


def feature_attributes(config: TeacherConfig, kept: Checkpoint) -> dict[str, Any]:
    """What features.h5 says of its teacher."""
    made = kept["provenance"]
    return {
        "teacher": kept["name"],
        "teacher_digest": made["digest"],
        "teacher_key": made["run_key"],
        "folds": config.folds,
        **({"labels_per_class": config.labels_per_class} if config.labels_per_class else {}),
    }


def summary(kept: Checkpoint, config: TeacherConfig) -> dict[str, Any]:
    """The stage's result in plain values."""
    return {
        "checkpoint": str(config.out),
        "features": str(config.features),
        "teacher": kept["name"],
        "frozen": kept["provenance"]["frozen"],
        "variant": kept["provenance"].get("variant"),
        "labels_per_class": kept["provenance"].get("labels_per_class"),
        **kept["metrics"],
    }
