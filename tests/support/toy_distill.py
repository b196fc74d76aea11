"""A features.h5 of three easy classes, and how the tests of `distill` train on it."""

from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import Features, write_features
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.records import Record, Result
from pointcmt_cli.splits import split_of

CLASSES = ["ball", "box", "rod"]


def write_toy_features(path: Path, per_class: int = 24, seed: int = 0) -> str:
    """A features.h5 of three easy classes, with a teacher that is right."""
    numbers = np.random.default_rng(seed)
    points, labels, names, splits = [], [], [], []
    for label, name in enumerate(CLASSES):
        for index in range(per_class):
            cloud = numbers.normal(size=(96, 3))
            if name == "ball":
                cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
            if name == "box":
                cloud /= np.abs(cloud).max(axis=1, keepdims=True)
            if name == "rod":
                cloud *= (0.1, 0.1, 1.0)
            points.append(cloud / np.linalg.norm(cloud, axis=1).max())
            labels.append(label)
            names.append(f"{name}/{name}_{index:03d}")
            splits.append(split_of(names[-1], "test" if index % 4 == 0 else "train", 0.2, 0.3))
    logits = 4.0 * np.eye(3)[labels] + numbers.normal(0, 0.5, (len(labels), 3))
    features = np.maximum(0, logits @ numbers.normal(size=(3, 16)))
    shapes = ShapeSet(
        np.array(points, np.float32),
        np.array(labels, np.int64),
        np.array(splits),
        names,
        CLASSES,
        {"class_names": CLASSES, "digest": f"toy {seed}", "layout": "mesh tree", "up": "y"},
    )
    arrays = [np.asarray(each, np.float32) for each in (features, logits)]
    return write_features(path, toy_features(shapes, *arrays), {"teacher_digest": "none"})


def toy_features(shapes: ShapeSet, features: Any, logits: Any) -> Features:
    return Features(shapes, features, logits, logits, features)


def run(config: DistillConfig) -> tuple[dict[str, Any], list[Record]]:
    records = list(distill(config))
    assert isinstance(records[-1], Result)
    return dict(records[-1].values), records
