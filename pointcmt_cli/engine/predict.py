"""Stage `predict`: a checkpoint (.pt) or an exported .onnx and mesh or cloud files -> classes with probabilities.

Each file is read and sampled as `render` does it, with the same axis up: the P points that training stored, of which
the first N are used. The draw is seeded by the shape's name, CLASS/NAME, which here are the file's folder and stem (a
folder train, val or test is passed over). So a file always gets the same answer, and a file of the data set the one
that `evaluate` computes.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pointcmt_cli.config import Axis, PredictConfig
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.sampling import sample_points
from pointcmt_cli.data.trees import SPLITS
from pointcmt_cli.engine import loop
from pointcmt_cli.engine.exported import open_onnx
from pointcmt_cli.engine.metrics import predict_logits
from pointcmt_cli.engine.trained import find, open_trained, up_of
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Progress, Record, Records, Result

BATCH = 32
"""Files per batch."""


@dataclass(frozen=True)
class Predictor:
    """What `predict` needs of a model, whichever file it came from."""

    run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Points (B, N, 3) -> probabilities (B, K)."""
    description: Mapping[str, Any]
    classes: list[str]
    points: int
    stored_points: int
    up: Axis | None
    """Of the files it was trained on."""


def predict(config: PredictConfig) -> Records:
    """Classify files; a file that cannot be read is noted and the others go on. The Result counts the failed ones."""
    predictor = open_predictor(config)
    up = config.up or predictor.up
    yield Note(f"{predictor.description['checkpoint']}: {len(predictor.classes)} classes")
    rows: list[dict[str, Any]] = []
    for start in range(0, len(config.files), BATCH):
        rows += yield from _predict_files(
            predictor, config.files[start : start + BATCH], config.top, up
        )
        yield Progress("predict", len(rows), len(config.files), "files")
    yield Result(
        {
            **predictor.description,
            "points": predictor.points,
            "up": up,
            "files": rows,
            "failed": sum("error" in row for row in rows),
        }
    )


def open_predictor(config: PredictConfig) -> Predictor:
    """From a checkpoint, or from an exported ONNX file by its metadata."""
    path = config.checkpoint
    if path.suffix == ".pt2":
        raise UsageError(
            f"{path}: torch runs code that a .pt2 file brings along; predict takes the .pt or the .onnx"
        )
    if path.suffix == ".onnx":
        if config.device == "cuda":
            raise UsageError(f"--device cuda: {path} is run on the CPU; give the .pt instead")
        return _onnx_predictor(find(path, config.work))
    trained = open_trained(path, config.work, "backbones")
    device = loop.choose_device(config.device)
    model = trained.model.to(device)

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = (
            predict_logits(model, points, trained.points, BATCH, device).softmax(dim=1).numpy()
        )
        return probabilities

    return Predictor(
        run,
        trained.describe(),
        trained.classes,
        trained.points,
        trained.stored_points,
        trained.up,
    )


def file_points(file: Path, count: int, up: Axis | None = None) -> NDArray[np.float32]:
    """The points (count, 3) that `render --up` stores of a file in a folder of its class."""
    folders = [name for name in file.absolute().parent.parts if name not in SPLITS]
    shape = replace(read_file(file, up=up), name=f"{folders[-1]}/{file.stem}")
    return sample_points(shape, count)


def _onnx_predictor(path: Path) -> Predictor:
    exported = open_onnx(path)
    about = exported.metadata
    if about.get("format") != "pointcmt-export":
        raise DataError(
            f"{path} was not written by `pointcmt export`: it does not name its classes"
        )
    description = {"checkpoint": str(path), "kind": "export", "name": about["name"]}
    return Predictor(
        exported.run,
        description,
        about["class_names"],
        about["points"],
        about["stored_points"],
        up_of(about.get("provenance", {})),
    )


def _predict_files(
    predictor: Predictor, files: tuple[Path, ...], top: int, up: Axis | None
) -> Generator[Record, None, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    clouds = []
    for file in files:
        row: dict[str, Any] = {"file": str(file)}
        rows.append(row)
        try:
            points = file_points(file, predictor.stored_points, up)[: predictor.points]
        except DataError as error:
            row["error"] = str(error)
            yield Note(str(error), warning=True)
        else:
            row["predictions"] = []
            clouds.append(points)
    if clouds:
        found = torch.from_numpy(predictor.run(np.stack(clouds)))  # (B, K)
        best = found.topk(min(top, len(predictor.classes)), dim=1)
        good = [row for row in rows if "predictions" in row]
        for row, values, indices in zip(
            good, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            row["predictions"] = [
                {"class": predictor.classes[index], "probability": value}
                for value, index in zip(values, indices, strict=True)
            ]
    return rows
