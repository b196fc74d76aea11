"""A trained classifier and the clouds it is asked about; shared by `evaluate`, `export` and `predict`.

In: a checkpoint's path as typed, a data file; out: the rebuilt model with what its file says, and checked clouds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pointcmt_cli.config import POINTS, Axis
from pointcmt_cli.data.store.views import ShapeSet, read_shapes
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.stored import Checkpoint, Provenance
from pointcmt_cli.errors import DataError, OtherKindError
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.wording import some_of

EXPORTED = (".onnx", ".pt2", ".safetensors")


@dataclass(frozen=True)
class Trained:
    """A checkpoint, opened."""

    path: Path
    model: Classifier
    """In eval mode, on the CPU."""
    values: Checkpoint
    """The checkpoint's flat dict."""

    @property
    def classes(self) -> list[str]:
        """Names of the K classes, in the order of the logits."""
        return [str(name) for name in self.values["class_names"]]

    @property
    def is_teacher(self) -> bool:
        """It sees views, not points."""
        return bool(self.values["group"] == "teachers")

    @property
    def kind(self) -> Literal["student", "teacher"]:
        """What it is, in one word."""
        return "teacher" if self.is_teacher else "student"

    @property
    def points(self) -> int:
        """N: points per cloud, as it was trained."""
        return int(self.values["config"]["points"])

    @property
    def stored_points(self) -> int:
        """P: points per shape in the file that it was trained from; its N were drawn from them."""
        stored = self.values["provenance"].get("stored_points", POINTS)
        return max(int(stored), self.points)

    @property
    def up(self) -> Axis | None:
        """The axis that pointed up in the files of its data set, as `render` recorded it; None: each file's own."""
        return up_of(self.values["provenance"])

    @property
    def provenance(self) -> Provenance:
        """What it was made from."""
        return self.values["provenance"]

    def describe(self) -> dict[str, Any]:
        """What a reader of any result needs to know of it."""
        return {
            "checkpoint": str(self.path),
            "kind": self.kind,
            "name": self.values["name"],
            "options": dict(self.values["options"]),
            "distribution": self.values["distribution"],
            "distribution_version": self.values["distribution_version"],
            "objective": self.provenance.get("objective"),
            "parameters": sum(each.numel() for each in self.model.parameters()),
        }


def up_of(provenance: Mapping[str, Any]) -> Axis | None:
    """What a checkpoint or an export says of the axis that `--up` names."""
    up = provenance.get("up")
    return up if up in get_args(Axis) else None


def find(path: Path, work: Path) -> Path:
    """A relative path is looked for in the current folder, then in `work`."""
    if path.exists() or path.is_absolute():
        return path
    if (work / path).exists():
        return work / path
    there = sorted(each.name for each in work.glob("*.pt"))
    hint = f"; there are: {', '.join(there)}" if there else "; `pointcmt distill` makes one"
    place = "" if work == Path(".") else f", and none in {work}"
    raise DataError(f"{path}: no such file{place}{hint}")


def open_trained(path: Path, work: Path, *groups: str) -> Trained:
    """Load and rebuild; `groups` are the kinds of plug-in that the command can use."""
    found = find(path, work)
    if found.suffix in EXPORTED:
        raise DataError(
            f"{found} is an exported file; this command takes the checkpoint (.pt) that it was made from"
        )
    values = checkpoint.load(found)
    if values.get("group") not in groups:
        wanted = " or ".join(
            {"backbones": "student", "teachers": "teacher"}[each] for each in groups
        )
        kind = str(values.get("group", "resume state")).removesuffix("s")
        raise OtherKindError(
            f"{found} holds a {kind}; this command takes the checkpoint of a {wanted}"
        )
    whole = checkpoint.classifier(values, found)
    return Trained(found, checkpoint.rebuild(whole, found), whole)


def find_data(data: Path | None, work: Path, beside: Path, *names: str) -> Path:
    """The data file: as typed, or the first of `names` that is in `work`, or else beside the checkpoint."""
    if data is not None:
        return data
    for folder in (work, beside.parent):
        for name in names:
            if (folder / name).exists():
                return folder / name
    makers = {"features.h5": "pointcmt train-teacher", "views.h5": "pointcmt render"}
    wanted = " or ".join(f"{work / name} (`{makers[name]}` makes it)" for name in names)
    raise DataError(f"no data: needs {wanted}; --data names another file")


def read_clouds(path: Path, classes: list[str] | None = None) -> ShapeSet:
    """The shapes of a data file, all finite, and of these classes."""
    shapes = read_shapes(path)
    if classes is not None:
        check_classes(path, shapes, classes, "the checkpoint")
    bad = np.flatnonzero(~np.isfinite(shapes.points).all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{path}: {len(bad)} shapes have NaN or infinite points, {shapes.names[bad[0]]} first; "
            "make the file again"
        )
    return shapes


def check_classes(path: Path, shapes: ShapeSet, classes: list[str], whose: str) -> None:
    """Raise where a data file's classes, or their order, are not those of a checkpoint."""
    if shapes.classes != classes:
        raise DataError(f"{path} and {whose} differ in classes: {_difference(shapes, classes)}")


def same_data(trained: Trained, shapes: ShapeSet) -> bool | None:
    """Whether these are the shapes that the checkpoint was trained from; None: it does not say."""
    recorded = trained.provenance.get("views_digest")
    if recorded is None:
        return None
    return bool(recorded == str(shapes.attributes.get("views_digest", shapes.digest)))


def _difference(shapes: ShapeSet, classes: list[str]) -> str:
    parts = []
    for where, more, fewer in (
        ("the file", shapes.classes, classes),
        ("the checkpoint", classes, shapes.classes),
    ):
        if only := [name for name in more if name not in fewer]:
            parts.append(f"only in {where}: {some_of(only)}")
    return "; ".join(parts) or "the same names in another order"
