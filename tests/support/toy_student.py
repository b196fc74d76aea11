"""Small data files and checkpoints for the tests of evaluate, export and predict; nothing is trained."""

import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig, TeacherConfig
from pointcmt_cli.data.store.features import Features, write_features
from pointcmt_cli.data.store.views import ViewsRow, read_shapes, write_views
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.stored import Metrics
from pointcmt_cli.models.classifier import Classifier

CLASSES = ["ball", "box", "rod"]
STORED = 96
POINTS = 64


METRICS: Metrics = {
    "selected_by": "last",
    "selected_epoch": 1,
    "held_out": {},
    "last_epoch": {"oa": None, "macc": None},
    "test": {},
}


class Tiny(nn.Module):
    """Per-point layer and maximum.

    `scale_in_export` makes an exported graph that differs from eager, `drift_in_export` one that does so but for 64
    points; `fixed` takes 64 points or any other number, but by different code. `scale` of the weights is undone later.
    """

    feature_dim = 12

    def __init__(
        self, scale_in_export: float, branch: bool, drift_in_export: bool, fixed: bool, scale: float
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(3, self.feature_dim)
        self.layer.weight.data *= scale
        self.layer.bias.data *= scale
        self.scale_in_export, self.scale = scale_in_export, scale
        self.branch, self.drift_in_export, self.fixed = branch, drift_in_export, fixed

    def forward(self, points: Tensor) -> Tensor:
        if self.branch and float(points.sum()) > 0:
            points = -points
        if self.fixed and points.shape[1] == POINTS:
            points = points + 0
        rows = self.layer(points) / self.scale
        pooled: Tensor = rows.relu().amax(dim=1)
        if torch.compiler.is_exporting() and self.drift_in_export:
            pooled = pooled * (1 + 0.01 * (points.shape[1] - POINTS))
        return pooled * self.scale_in_export if torch.compiler.is_exporting() else pooled


def tiny(
    *,
    scale_in_export: float = 1.0,
    branch: bool = False,
    drift_in_export: bool = False,
    fixed: bool = False,
    scale: float = 1.0,
) -> nn.Module:
    return Tiny(scale_in_export, branch, drift_in_export, fixed, scale)


class TinyTeacher(nn.Module):
    """Mean gray of each quarter of the images."""

    feature_dim = 12

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 4, self.feature_dim)

    def forward(self, views: Tensor) -> Tensor:
        assert views.shape[2] == 3
        assert 0 <= float(views.min()) <= float(views.max()) <= 1
        quarters = views.mean(dim=1).unflatten(-1, (2, -1)).unflatten(-3, (2, -1)).mean((-1, -3))
        pooled: Tensor = self.layer(quarters.flatten(1))
        return pooled


def tiny_teacher() -> nn.Module:
    return TinyTeacher()


def clouds(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, 96, 3) in the unit sphere, of three kinds in turn."""
    numbers = np.random.default_rng(seed)
    points = numbers.normal(size=(count, STORED, 3))
    points[1::3] /= np.abs(points[1::3]).max(axis=2, keepdims=True)
    points[2::3] *= (0.1, 0.1, 1.0)
    return (points / np.linalg.norm(points, axis=2).max(axis=1)[:, None, None]).astype(np.float32)


def write_data(
    work: Path, count: int = 90, classes: list[str] = CLASSES, seed: int = 0, **attributes: Any
) -> Path:
    """views.h5 and features.h5 in `work`; shape i is of class i % 3, and of train, held-out, test in blocks."""
    work.mkdir(parents=True, exist_ok=True)
    points = attributes.pop("points", clouds(count, seed))
    images = np.random.default_rng(seed).integers(0, 256, (count, 2, 8, 8)).astype(np.uint8)
    rows = [
        ViewsRow(
            name=f"{classes[index % 3]}/{index:03d}",
            label=index % 3,
            split=("train", "held-out", "test")[min(2, 3 * index // count)],
            source_hash="",
            content_hash=f"{seed}/{index}",
            points=points[index],
            images=zlib.compress(images[index].tobytes()),
        )
        for index in range(count)
    ]
    about = {"class_names": classes, "source_layout": "mesh tree", **attributes}
    views = work / "views.h5"
    write_views(views, rows, count, (2, 8, 8), points.shape[1], about)
    shapes = read_shapes(views)
    features, logits = np.zeros((count, 12), np.float32), np.zeros((count, 3), np.float32)
    write_features(work / "features.h5", Features(shapes, features, logits, logits, features), {})
    return work / "features.h5"


def save(
    path: Path,
    name: str = "toy_student:tiny",
    options: dict[str, Any] | None = None,
    group: str = "backbones",
    seed: int = 0,
    points: int = POINTS,
    metrics: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **provenance: Any,
) -> Classifier:
    """A checkpoint with weights from the seed, large enough that the classes differ clearly."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        encoder = discovery.build(group, name, options)
        model = Classifier(encoder, len(CLASSES), 12, name=name).eval()
        nn.init.normal_(model.head.weight, std=3.0)
    student = DistillConfig(points=points, **(config or {}))
    values = checkpoint.describe(
        model,
        group=group,
        name=name,
        options=options or {},
        classes=CLASSES,
        config=student if group == "backbones" else TeacherConfig(),
        metrics=cast("Metrics", {**METRICS, **(metrics or {})}),
        provenance={
            "kind": "student" if group == "backbones" else "teacher",
            "stored_points": STORED,
            **provenance,
        },
    )
    checkpoint.save(path, values)
    return model
