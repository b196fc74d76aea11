"""The two deployable formats: writing them with their metadata, and running them again.

In: a classifier in eval mode; out: a file that takes points (B, N, 3) float32 and gives probabilities (B, K), B free,
N as trained. Metadata (ONNX `metadata_props`, `metadata.json` inside a .pt2) say what goes in and where it came from.
"""

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointcmt_cli.errors import DataError, PluginError, PointCMTError

Run: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Points (B, N, 3) -> probabilities (B, K)."""
METADATA = "metadata.json"
STRUCTURED = ("class_names", "points", "stored_points", "options", "provenance", "metrics")
"""Metadata that ONNX, which knows text only, holds as JSON; everything else is text as it stands."""


class Deployed(nn.Module):
    """A classifier as it is deployed: points (B, N, 3) -> probabilities (B, K)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, points: Tensor) -> Tensor:
        """Softmax of the logits."""
        logits: Tensor = self.model(points)
        return logits.softmax(dim=1)


@dataclass(frozen=True)
class Exported:
    """An exported file, opened."""

    run: Run
    metadata: dict[str, Any]


def write_onnx(model: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    """One ONNX file, weights inside, checked by onnx's own checker."""
    onnx, *_ = [_extra(name) for name in ("onnx", "onnxscript", "onnxruntime")]
    with _quiet(), _exporting("onnx", metadata):
        program = torch.onnx.export(
            _captured(model, example), input_names=["points"], output_names=["probabilities"]
        )
    assert program is not None
    proto = program.model_proto
    for key, value in metadata.items():
        text = json.dumps(value) if key in STRUCTURED else str(value)
        proto.metadata_props.add(key=key, value=text)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise PointCMTError(f"onnx's checker refuses the exported graph: {_line(error)}") from error
    path.write_bytes(proto.SerializeToString())


def write_pt2(model: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    """A torch.export archive."""
    with _quiet(), _exporting("pt2", metadata):
        program = _captured(model, example)
    with _quiet(), path.open("wb") as file:
        torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(metadata))})


def open_onnx(path: Path) -> Exported:
    """Through onnxruntime, on the CPU; opening a stranger's file runs none of its code."""
    runtime = _extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about graph optimisation
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{path} cannot be read as ONNX: {_line(error)}") from error
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    metadata |= {key: json.loads(metadata[key]) for key in STRUCTURED if key in metadata}

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run(None, {"points": points})[0]
        return probabilities

    return Exported(run, metadata)


def open_pt2(path: Path) -> Exported:
    """Through torch.export; only for a file that was just written here: a .pt2 may hold code (pickles)."""
    extra = {METADATA: ""}
    with _quiet(), path.open("rb") as file:
        module = torch.export.load(file, extra_files=extra).module()

    def run(points: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = module(torch.from_numpy(points)).numpy()
        return probabilities

    return Exported(run, json.loads(extra[METADATA]))


WRITE = {"onnx": write_onnx, "pt2": write_pt2}
OPEN = {"onnx": open_onnx, "pt2": open_pt2}


def _captured(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """The graph for points (B, N, 3) with B free."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(Deployed(model).eval(), (example,), dynamic_shapes=({0: batch},))


@contextlib.contextmanager
def _exporting(kind: str, metadata: Mapping[str, Any]) -> Iterator[None]:
    """A graph that cannot be captured or translated is the plug-in's contract, in one line."""
    try:
        yield
    except Exception as error:
        raise PluginError(
            f"'{metadata['name']}' of {metadata['distribution']} {metadata['distribution_version']} "
            f"cannot be exported to {kind}: {type(error).__name__}: {_line(error)[:300]}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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


def _extra(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise PointCMTError(
            f"ONNX needs {name}, which does not import ({_line(error)}): pip install 'pointcmt[export]'"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
