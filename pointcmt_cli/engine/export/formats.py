"""Writing the formats. In: a student and a few clouds; out: a file with weights, graph and metadata.

The graph takes points (B, N, 3) and gives probabilities (B, K). B is free. So is N, as far as the backbone's own code
does not branch on it; torch.export finds the range. With `half` the matrices are float16 in the file, and float32
again before anything is computed with them.
"""

import contextlib
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pointcmt_cli.engine.deployed.opened import as_text, extra
from pointcmt_cli.engine.deployed.opened_torch import METADATA, metadata_of, minimum_points, quiet
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.trained import Trained
from pointcmt_cli.errors import PluginError, PointCMTError
from pointcmt_cli.files import file_digest, plain
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.ops.points.plain import to_onnx
from pointcmt_cli.provenance import RECORD, record, without_folders
from pointcmt_cli.wording import one_line

Range: TypeAlias = tuple[int, int | None]
"""The fewest and the most points of a cloud; None: any number."""
Writer: TypeAlias = Callable[[Trained, Tensor, bool, bool, Path], Range]


class Deployed(nn.Module):
    """A classifier as it is deployed: points (B, N, 3) -> probabilities (B, K)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, points: Tensor) -> Tensor:
        """Softmax of the logits."""
        logits: Tensor = self.model(points)
        return logits.softmax(dim=1)


class Halved(nn.Module):
    """The same of weights that it holds in half precision."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.hidden = [Deployed(model).eval()]  # in a list, its own weights are not part of this
        self.names = list(model.state_dict())
        for place, value in enumerate(half_state(model).values()):
            self.register_buffer(f"weight{place}", value)

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        held = [self.get_buffer(f"weight{place}") for place in range(len(self.names))]
        full = [each.float() if each.dtype == torch.float16 else each for each in held]
        named = {f"model.{name}": value for name, value in zip(self.names, full, strict=True)}
        probabilities: Tensor = torch.func.functional_call(self.hidden[0], named, (points,))
        return probabilities


def half_state(model: nn.Module) -> dict[str, Tensor]:
    """The state with its matrices in float16; vectors (norms, biases) are few and need their range."""
    return {
        name: value.half() if value.dtype == torch.float32 and value.dim() > 1 else value
        for name, value in model.state_dict().items()
    }


def rounded(model: Classifier) -> Classifier:
    """A copy that computes with what `half` keeps."""
    twin = copy.deepcopy(model)
    twin.load_state_dict(half_state(model))
    return twin.eval()


def write_onnx(trained: Trained, example: Tensor, free: bool, half: bool, path: Path) -> Range:
    """One ONNX file, weights inside, checked by onnx's own checker."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        extra(name)
    with _exporting("onnx", trained), quiet(), to_onnx():
        program, points = _captured(trained, example, free, half)
        made = torch.onnx.export(
            program, input_names=["points"], output_names=["probabilities"], optimize=False
        )
        assert made is not None
        tidy(made.model)
        proto = made.model_proto
    save_onnx(proto, metadata_with_record(trained, points, half), path)
    return points


def tidy(graph: Any) -> None:
    """Take out what is constant, double or unused, and what the exporter says of each node: where in the source it was.

    Not by the exporter's own optimizer, which takes x + 1e-9 for x: PCT divides by that.
    """
    optimizer, passes = extra("onnxscript.optimizer"), extra("onnx_ir.passes.common")
    passes.InlinePass()(graph)
    optimizer.fold_constants(graph)
    passes.CommonSubexpressionEliminationPass()(graph)
    optimizer.remove_unused_nodes(graph)
    passes.RemoveUnusedFunctionsPass()(graph)
    passes.RemoveUnusedOpsetsPass()(graph)
    passes.ClearMetadataAndDocStringPass()(graph)


def metadata_with_record(trained: Trained, points: Range, half: bool) -> dict[str, Any]:
    """What the file says of itself, and the run that writes it."""
    made = record({"checkpoint": (trained.path, file_digest(trained.path))})
    about = metadata_of(trained, points, _precision(half))
    return {**about, RECORD: without_folders(plain(made))}


def save_onnx(proto: Any, metadata: Mapping[str, Any], path: Path) -> None:
    """Checked, and with these metadata alone."""
    onnx = extra("onnx")
    del proto.metadata_props[:]
    for key, value in as_text(metadata).items():
        proto.metadata_props.add(key=key, value=value)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise PointCMTError(
            f"onnx's checker refuses the exported graph: {one_line(error)}"
        ) from error
    path.write_bytes(proto.SerializeToString())


def write_pt2(trained: Trained, example: Tensor, free: bool, half: bool, path: Path) -> Range:
    """A torch.export archive."""
    with _exporting("pt2", trained), quiet():
        program, points = _captured(trained, example, free, half)
        forget(program)
    metadata = json.dumps(metadata_with_record(trained, points, half))
    with quiet(), path.open("wb") as file:
        torch.export.save(program, file, extra_files={METADATA: metadata})
    return points


def forget(program: torch.export.ExportedProgram) -> None:
    """Take out where in the source each node was, and the clouds that it was traced with: nobody's files are in it."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
                    node.meta.pop(key, None)


def write_safetensors(
    trained: Trained, example: Tensor, free: bool, half: bool, path: Path
) -> Range:
    """Weights, and in the header the metadata and all of the checkpoint that is not a tensor."""
    count = trained.points
    points: Range = (minimum_points(trained), None) if free else (count, count)
    kept = {key: value for key, value in trained.values.items() if key != "state_dict"}
    shipped, _ = checkpoint.without_paths(plain(kept))
    metadata = {**metadata_with_record(trained, points, half), "checkpoint": shipped}
    state = half_state(trained.model) if half else trained.model.state_dict()
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    save_file(tensors, path, metadata=as_text(metadata))
    return points


WRITE: Mapping[str, Writer] = {
    "onnx": write_onnx,
    "pt2": write_pt2,
    "safetensors": write_safetensors,
}


def _precision(half: bool) -> str:
    return "half" if half else "float32"


def _captured(
    trained: Trained, example: Tensor, free: bool, half: bool
) -> tuple[torch.export.ExportedProgram, Range]:
    """The graph for points (B, N, 3), and which N it takes."""
    dims: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if free:
        dims[1] = torch.export.Dim.AUTO
    model = (Halved if half else Deployed)(trained.model).eval()
    program = torch.export.export(
        model, (example,), dynamic_shapes=({k: dims.get(k) for k in range(3)},)
    )
    name = program.graph_signature.user_inputs[0]
    node = next(each for each in program.graph.nodes if each.name == name)
    number = node.meta["val"].shape[1]
    symbol = None if isinstance(number, int) else number.node.expr
    if symbol not in program.range_constraints:  # a number, if only by what the graph asks of it
        fixed = program if not free else _captured(trained, example, False, half)[0]
        return fixed, (int(number), int(number))
    found = program.range_constraints[symbol]
    fewest = max(int(found.lower), minimum_points(trained))
    return program, (fewest, int(found.upper) if found.upper.is_Integer else None)


@contextlib.contextmanager
def _exporting(kind: str, trained: Trained) -> Iterator[None]:
    """A graph that cannot be captured or translated is the plug-in's contract, in one line."""
    try:
        yield
    except Exception as error:
        values = trained.values
        raise PluginError(
            f"'{values['name']}' of {values['distribution']} {values['distribution_version']} "
            f"cannot be exported to {kind}: {one_line(error, most=300, kind=True)}"
        ) from error
