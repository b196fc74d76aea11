"""An exported model, opened: what it says of itself, and points in, probabilities out. An .onnx needs no torch.

In: a path; out: `Exported`. ONNX goes through onnxruntime on the CPU; every other kind imports torch when it is opened.
"""

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.errors import DataError, PointCMTError
from pointcmt_cli.provenance import RECORD
from pointcmt_cli.wording import missing_package, one_line

Run: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Points (B, N, 3) -> probabilities (B, K)."""
FORMAT = "pointcmt-export"
TRAINED_BY = "trained_by"
"""The record of the run that made the checkpoint."""
NEEDED = ("name", "class_names", "points", "points_min", "points_max", "stored_points")
STRUCTURED = (*NEEDED[1:], "options", "provenance", "metrics", "checkpoint", RECORD, TRAINED_BY)
"""Metadata that ONNX and safetensors, which know text only, hold as JSON; everything else is text as it stands."""
ENDINGS = {
    ".pt": "pointcmt_cli.engine.deployed.opened_torch:open_pt",
    ".pt2": "pointcmt_cli.engine.deployed.opened_torch:open_pt2",
    ".safetensors": "pointcmt_cli.engine.deployed.opened_torch:open_safetensors",
    ".onnx": "pointcmt_cli.engine.deployed.opened:open_onnx",
}


@dataclass(frozen=True)
class Exported:
    """An exported file, opened."""

    run: Run
    metadata: dict[str, Any]


def open_exported(path: Path) -> Exported:
    """By its ending. A .pt2 may bring code that runs when it is opened: only for files whose maker one trusts."""
    home = ENDINGS.get(path.suffix)
    if home is None:
        raise DataError(f"{path}: not a model; there are {', '.join(ENDINGS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    module, _, name = home.partition(":")
    opened: Exported = getattr(importlib.import_module(module), name)(path)
    return opened


def open_onnx(path: Path, threads: int = 0) -> Exported:
    """Opening a stranger's file runs none of its code. `threads` of onnxruntime; 0: one per core."""
    session = _session(path, threads)
    metadata = parsed(session.get_modelmeta().custom_metadata_map, path)

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run(None, {"points": points})[0]
        return probabilities

    return Exported(guarded(run, path, len(metadata["class_names"])), metadata)


def metadata_of_onnx(path: Path) -> dict[str, Any]:
    """What an exported graph says of itself."""
    return parsed(_session(path, threads=1).get_modelmeta().custom_metadata_map, path)


def _session(path: Path, threads: int) -> Any:
    runtime = extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about graph optimisation
    options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{path} cannot be read as ONNX (damaged?): {one_line(error)}") from error


def guarded(run: Run, path: Path, classes: int) -> Run:
    """A runtime's own error (a number of points that its graph does not take, no memory) is one line."""

    def guard(points: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            found = run(np.ascontiguousarray(points, np.float32))
        except Exception as error:
            raise DataError(
                f"{path.name} fails on points {points.shape}: {one_line(error, most=200)}"
            ) from error
        if found.shape != (len(points), classes):
            raise DataError(
                f"{path.name} gives shape {found.shape} for {len(points)} clouds of {classes} classes: its metadata "
                "are another model's"
            )
        return found

    return guard


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for a format that knows text only."""
    return {
        key: json.dumps(value) if key in STRUCTURED else str(value)
        for key, value in metadata.items()
    }


def parsed(texts: Mapping[str, str], path: Path) -> dict[str, Any]:
    """`as_text` undone, and checked."""
    try:
        said = {key: json.loads(text) if key in STRUCTURED else text for key, text in texts.items()}
    except ValueError as error:
        raise DataError(f"{path}: its metadata are damaged ({error})") from error
    return checked(said, path)


def checked(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """The metadata of a file of ours; another's does not name its classes."""
    if metadata.get("format") != FORMAT or any(key not in metadata for key in NEEDED):
        raise DataError(
            f"{path} was not written by this `pointcmt export`: it does not say what goes in; export it again"
        )
    names, counts = metadata["class_names"], (metadata["points"], metadata["stored_points"])
    if not (
        isinstance(names, list)
        and all(isinstance(each, str) for each in names)
        and all(isinstance(each, int) and each > 0 for each in counts)
        and isinstance(metadata.get("provenance", {}), dict)
    ):
        raise DataError(f"{path}: its metadata are damaged (classes, points); export it again")
    return metadata


def extra(name: str) -> Any:
    """A module of the extra `export`, imported now."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise PointCMTError(missing_package("ONNX", name, "export", error)) from error
