"""An ONNX file's layers in 8 bits: static quantisation, whose ranges are those of real clouds.

In: a float ONNX file and clouds; out: the same graph with its matrix products by constant weights in int8 (weights per
channel). What tells points apart stays as it is: distances, indices, layers in float64, and layers on fewer than 16
channels, which are coordinates. So does the last layer: it is a thousandth of the work, and its rounding moves every
probability. Dynamic quantisation, which measures the ranges anew at every run, is slower than float on a CPU.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.engine.deployed.opened import extra, parsed
from pointcmt_cli.engine.deployed.opened_torch import quiet
from pointcmt_cli.engine.export.formats import save_onnx
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.wording import one_line

NARROW = 16
"""Input channels below which a layer's input is taken for coordinates."""
CALIBRATION = 128
"""Clouds whose ranges are looked at."""
BATCH = 8
LARGEST = 2**28
"""Elements of a weight that is still folded."""


class Clouds:
    """What onnxruntime's calibration reads from: clouds (S, N, 3), a few at a time."""

    def __init__(self, clouds: NDArray[np.float32]) -> None:
        self.parts = iter(np.array_split(clouds, -(-len(clouds) // BATCH)))

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        """The next batch; None at the end."""
        part = next(self.parts, None)
        return None if part is None else {"points": part}


def quantise(path: Path, clouds: NDArray[np.float32]) -> None:
    """Replace a float ONNX file by its int8 twin, calibrated on clouds (S, N, 3)."""
    onnx, quantization = extra("onnx"), extra("onnxruntime.quantization")
    metadata = {each.key: each.value for each in onnx.load(path).metadata_props}
    about = {**parsed(metadata, path), "precision": "int8"}
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        try:
            fold(path, plain)
            quantization.shape_inference.quant_pre_process(
                plain, plain, skip_symbolic_shape=True, skip_optimization=True
            )
            layers = _layers(onnx.load(plain))
            if not layers:
                raise PointCMTError("int8: the graph has no layer whose weights are constant")
            quantization.quantize_static(
                plain, small, Clouds(evenly(clouds)), nodes_to_quantize=layers, per_channel=True
            )  # fmt: skip
        except PointCMTError:
            raise
        except Exception as error:
            raise PointCMTError(
                f"onnxruntime cannot quantise the graph: {one_line(error, most=300)}"
            ) from error
        proto = onnx.load(small)
    save_onnx(proto, about, path)


def evenly(clouds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of (S, N, 3) as many as are looked at, from all over: they stand class by class."""
    count = min(CALIBRATION, len(clouds))
    return clouds[np.arange(count) * len(clouds) // count]


def fold(path: Path, out: Path) -> None:
    """Weights that the graph computes of others are written as such, or they would not be known as weights.

    Not by onnxruntime, which also turns products around, weights first, to save a transposition: its quantisation
    takes them for activations then.
    """
    ir, optimizer = extra("onnx_ir"), extra("onnxscript.optimizer")
    graph = ir.load(path)
    optimizer.fold_constants(graph, input_size_limit=LARGEST, output_size_limit=LARGEST)
    optimizer.remove_unused_nodes(graph)
    ir.save(graph, out)


def _layers(proto: Any) -> list[str]:
    """Matrix products with a constant float32 matrix of enough channels, but the last one, which gives the logits."""
    floats = extra("onnx").TensorProto.FLOAT
    weights = {
        each.name: list(each.dims) for each in proto.graph.initializer if each.data_type == floats
    }
    found = []
    for node in proto.graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        sizes = weights.get(node.input[1], [])
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        if len(sizes) == 2 and sizes[1 if turned else 0] >= NARROW:
            found.append(str(node.name))
    return found[:-1]
