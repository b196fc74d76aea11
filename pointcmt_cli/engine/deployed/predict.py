"""Stage `predict`: a checkpoint or an exported file, and mesh or cloud files -> classes with probabilities.

Each file is read and sampled as `render` does it, with the same axis up: the P points that training stored, of which
the first N are used. The draw is seeded by the shape's name, CLASS/NAME, which here are the file's folder and stem (a
folder that names a split is passed over). So a file always gets the same answer, and a file of the data set the one
that `evaluate` computes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import Axis, Device, PredictConfig
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.engine.deployed.model import Prediction
from pointcmt_cli.engine.deployed.opened import Exported, open_exported
from pointcmt_cli.engine.deployed.opened_torch import of_trained, open_safetensors
from pointcmt_cli.engine.training import setup
from pointcmt_cli.engine.training.trained import find, open_trained, up_of
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Progress, Records, Result, Row
from pointcmt_cli.splits import SPLIT_OF_FOLDER

SCHEMA, VERSION = "pointcmt-prediction", 1
"""Of the Result (docs/json-schema.md)."""


@dataclass(frozen=True)
class Predictor:
    """What `predict` needs of a model, whichever file it came from."""

    exported: Exported
    description: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Names of the K classes."""
        return list(self.exported.metadata["class_names"])

    @property
    def points(self) -> int:
        """N: points per cloud, as it was trained."""
        return int(self.exported.metadata["points"])

    @property
    def up(self) -> Axis | None:
        """Of the files it was trained on."""
        return up_of(self.exported.metadata.get("provenance", {}))


def predict(config: PredictConfig) -> Records:
    """Classify files, a Row each, in order; one that cannot be read is noted and the others go on.

    The Result holds all rows, and counts the failed ones.
    """
    predictor = open_predictor(config.checkpoint, config.work, config.device)
    up = config.up or predictor.up
    yield Note(f"{predictor.description['checkpoint']}: {len(predictor.classes)} classes")
    if up is not None and config.up is None:
        yield Note(f"files are read {up} up, as its data set was (--up says otherwise)")
    if config.checkpoint.suffix == ".pt2":
        text = (
            f"{config.checkpoint} can hold code, which has now run: open only files that you trust"
        )
        yield Note(text, warning=True)
    rows: list[dict[str, Any]] = []
    for file in config.files:
        row = _predict_file(predictor, file, config.top, up)
        rows.append(row)
        if "error" in row:
            yield Note(row["error"], warning=True)
        yield Row(row)
        yield Progress("predict", len(rows), len(config.files), "files")
    yield Result(
        {
            "schema": SCHEMA,
            "version": VERSION,
            **predictor.description,
            "points": predictor.points,
            "up": up,
            "files": rows,
            "failed": sum("error" in row for row in rows),
        }
    )


def open_predictor(path: Path, work: Path, device: Device) -> Predictor:
    """From a checkpoint, or from an exported file by its metadata."""
    if path.suffix in (".onnx", ".pt2"):
        if device == "cuda":
            raise UsageError(f"--device cuda: {path} is run on the CPU; give the .pt instead")
        return _of_export(path := find(path, work), open_exported(path))
    chosen = setup.choose_device(device)
    if path.suffix == ".safetensors":
        return _of_export(path := find(path, work), open_safetensors(path, chosen))
    trained = open_trained(path, work, "backbones")
    return Predictor(of_trained(trained, chosen), trained.describe())


def file_points(file: Path, count: int, up: Axis | None = None) -> NDArray[np.float32]:
    """The points (count, 3) that `render --up` stores of a file in a folder of its class."""
    folders = [name for name in file.absolute().parent.parts if name not in SPLIT_OF_FOLDER]
    shape = replace(read_file(file, up=up), name=f"{folders[-1]}/{file.stem}")
    return sample_points(shape, count)


def _of_export(path: Path, exported: Exported) -> Predictor:
    name = exported.metadata["name"]
    return Predictor(exported, {"checkpoint": str(path), "kind": "export", "name": name})


def _predict_file(predictor: Predictor, file: Path, top: int, up: Axis | None) -> dict[str, Any]:
    """A row: `predictions`, or `error`."""
    stored = int(predictor.exported.metadata["stored_points"])
    try:
        cloud = file_points(file, stored, up)[: predictor.points]
    except DataError as error:
        return {"file": str(file), "error": str(error)}
    best = Prediction(predictor.exported.run(cloud[None])[0], predictor.classes).top(top)
    predictions = [{"class": name, "probability": value} for name, value in best]
    return {"file": str(file), "predictions": predictions}
