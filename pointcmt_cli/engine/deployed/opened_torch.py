"""The files that torch opens, as `Exported`: checkpoints (.pt), torch.export archives (.pt2), .safetensors."""

import contextlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pointcmt_cli.engine.deployed.opened import (
    FORMAT,
    TRAINED_BY,
    Exported,
    checked,
    guarded,
    parsed,
)
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.metrics import predict_logits
from pointcmt_cli.engine.training.trained import Trained, open_trained
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import plain
from pointcmt_cli.provenance import without_folders
from pointcmt_cli.wording import one_line

METADATA = "metadata.json"
BATCH = 32


def open_pt(path: Path, device: torch.device | str = "cpu") -> Exported:
    """A student's checkpoint; opening a stranger's file runs none of its code."""
    return of_trained(open_trained(path, Path("."), "backbones"), device)


def open_safetensors(path: Path, device: torch.device | str = "cpu") -> Exported:
    """Weights with their header; opening a stranger's file runs none of its code."""
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as safetensors (damaged?): {one_line(error)}"
        ) from error
    metadata = parsed(texts, path)
    if "checkpoint" not in metadata:
        raise DataError(f"{path} has no description of its network; export it again")
    values = checkpoint.classifier({**metadata.pop("checkpoint"), "state_dict": state}, path)
    opened = of_trained(Trained(path, checkpoint.rebuild(values, path), values), device)
    return Exported(opened.run, metadata)


def open_pt2(path: Path) -> Exported:
    """Through torch.export, on the CPU; only for files whose maker one trusts: a .pt2 may hold code (pickles)."""
    said = {METADATA: ""}
    try:
        with zipfile.ZipFile(path) as archive:  # torch's own words on a damaged file are a page
            archive.testzip()
        with quiet(), path.open("rb") as file:
            module = torch.export.load(file, extra_files=said).module()
        metadata = json.loads(said[METADATA] or "{}")
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as a torch.export archive (damaged?): {one_line(error, most=200)}"
        ) from error

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = module(torch.from_numpy(points)).numpy()
        return probabilities

    about = checked(metadata, path)
    return Exported(guarded(run, path, len(about["class_names"])), about)


def of_trained(trained: Trained, device: torch.device | str = "cpu") -> Exported:
    """A rebuilt student as what it would be exported to."""
    model = trained.model.to(device)

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = predict_logits(model, points, points.shape[1], BATCH, device)
        probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return probabilities

    return Exported(run, metadata_of(trained, (minimum_points(trained), None)))


def minimum_points(trained: Trained) -> int:
    """How few points the backbone takes (pointcmt_cli.api.Backbone)."""
    return int(getattr(trained.model.encoder, "minimum_points", 1))


def metadata_of(
    trained: Trained, points: tuple[int, int | None], precision: str = "float32"
) -> dict[str, Any]:
    """What an exported file says of itself: the input contract, the classes, and what it was made from.

    `points`: the fewest and the most per cloud; None: any number.
    """
    values, (fewest, most) = trained.values, points
    if fewest == most:
        takes = f"(batch, {most}, 3)"
    else:
        until = f"up to {most}" if most else "any number"
        takes = (
            f"(batch, points, 3), from {fewest} points on, {until} (trained with {trained.points})"
        )
    described: dict[str, Any] = plain(
        {
            "format": FORMAT,
            "input": f"points: float32 {takes}; batch is free; axes as in training; subtract the mean, then divide by "
            "the largest distance from the origin (unit sphere)",
            "output": f"probabilities: float32 (batch, {len(trained.classes)}), in the order of class_names",
            "class_names": trained.classes,
            "points": trained.points,
            "points_min": fewest,
            "points_max": most,
            "stored_points": trained.stored_points,
            "precision": precision,
            "variant": trained.provenance.get("variant") or "",
            "name": values["name"],
            "options": values["options"],
            "distribution": values["distribution"],
            "distribution_version": values["distribution_version"],
            "pointcmt": values["pointcmt"],
            "torch": values["torch"],
            "provenance": trained.provenance,
            "metrics": values["metrics"],
            **({TRAINED_BY: without_folders(values["record"])} if "record" in values else {}),
        }
    )
    return described


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch's and onnxscript's warnings, logging and prints are about their insides, not about the user's model."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
