"""features.h5: what the teacher says of every shape. Layout, reading, atomic writing; plain h5py reads it.

points, label, split, name as in views.h5; of the teacher, float32: encoder_features (S, E) before the neck,
teacher_features (S, D) after it, teacher_logits (S, K), and oof_logits (S, K), which for a train shape come from a head
that was not trained on it; root attributes: teacher, teacher_digest, views_digest, folds, temperature (by which both
logits are calibrated), ..., and those of views.h5.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.store import hdf5
from pointcmt_cli.data.store.views import (
    FEATURES_FORMAT,
    MAKERS,
    TEXT,
    ShapeSet,
    open_checked,
    shapes_of,
    write_attributes,
)
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import digest, plain
from pointcmt_cli.provenance import RECORD


@dataclass(frozen=True)
class Features:
    """features.h5: the shapes and what the teacher says of each; `distill` never sees an image."""

    shapes: ShapeSet
    teacher_features: NDArray[np.float32]
    """(S, D)."""
    teacher_logits: NDArray[np.float32]
    """(S, K)."""
    oof_logits: NDArray[np.float32]
    """(S, K): of train shapes, from a head that was not trained on them; of all others, and where the attribute
    `folds` is 0, equal to `teacher_logits`. There are no such features: every fold's neck has a space of its own."""
    encoder_features: NDArray[np.float32]
    """(S, E): the image network's own, before the neck."""

    @property
    def temperature(self) -> float:
        """By which both logits are divided for a teacher that is as sure as it is right; 1 in files that do not say."""
        return float(self.shapes.attributes.get("temperature", 1.0))


def write_features(
    path: Path,
    features: Features,
    attributes: Mapping[str, Any],
    record: Mapping[str, Any] | None = None,
) -> str:
    """Write features.h5 atomically; `attributes` say what it was made from, `record` how; returns its digest."""
    shapes = features.shapes
    arrays = {
        "points": shapes.points,
        "teacher_features": features.teacher_features,
        "teacher_logits": features.teacher_logits,
        "oof_logits": features.oof_logits,
        "encoder_features": features.encoder_features,
    }
    content = digest(shapes.digest, plain(dict(attributes)))
    inherited = {
        key: value
        for key, value in shapes.attributes.items()
        if key not in ("format", "version", "digest", RECORD)
    }
    with hdf5.create(path) as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values.astype(np.float32))
        file["label"] = shapes.labels
        for key, texts in (("split", list(shapes.splits)), ("name", shapes.names)):
            file.create_dataset(key, data=np.array(texts, object), dtype=TEXT)
        write_attributes(
            file,
            FEATURES_FORMAT,
            {
                **inherited,
                **attributes,
                "views_digest": shapes.digest,
                "digest": content,
                RECORD: json.dumps(record) if record else None,
            },
        )
    return content


def read_features(path: Path) -> Features:
    """Everything in a features.h5."""
    with open_checked(path, FEATURES_FORMAT) as file:
        keys = ("teacher_features", "teacher_logits", "oof_logits", "encoder_features")
        if lacking := [
            key for key in (*keys, "points", "label", "split", "name") if key not in file
        ]:
            raise DataError(
                f"{path} lacks {', '.join(lacking)}: `{MAKERS[FEATURES_FORMAT]}` makes it again"
            )
        features = Features(shapes_of(file), **{key: file[key][:] for key in keys})
    for key, values in (
        ("points", features.shapes.points),
        *((k, getattr(features, k)) for k in keys),
    ):
        if not np.isfinite(values).all():
            raise DataError(f"{path}: {key} holds NaN or infinity; make the file again")
    return features
