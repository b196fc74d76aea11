"""`distill --init FILE`: a student's first weights. In: a checkpoint, its paper's or ours; out: the encoder, filled.

A backbone that knows the names in its paper's public checkpoints says so by `reference_names` (pointcmt_cli.api). The
file may hold a bare state dict, or one in a field as training scripts write it, from DataParallel or not. Every weight
of the encoder must be in it; the neck and the head are the core's and start anew. No code of the file is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pointcmt_cli.engine.training.checkpoint import FORMAT
from pointcmt_cli.errors import DataError
from pointcmt_cli.wording import some_of

FIELDS = ("state_dict", "model_state_dict", "model", "net", "base_model", "model_state")
"""Where training scripts put the state dict."""
_SCALAR: Any = np.float64(0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *(np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))),
]
"""Accuracies that training scripts put beside the weights: numpy's numbers, which run no code either."""
SHOWN = 6
"""Names some_of in a message."""


def fill(encoder: nn.Module, path: Path, name: str) -> str:
    """Load the encoder's weights from `path`; what was taken and what was left, in one line."""
    state = read_state(path)
    own = encoder.state_dict()
    wanted = _wanted(encoder, own, state)
    found = {key: state.get(there) for key, there in wanted.items()}
    missing = [
        there
        for key, there in wanted.items()
        if found[key] is None and not key.endswith("num_batches_tracked")
    ]
    adapt = getattr(encoder, "from_reference", None)
    if adapt is None or all(key == there for key, there in wanted.items()):
        adapt = _as_it_is
    values = {key: adapt(key, each) for key, each in found.items() if each is not None}
    unlike = [
        f"{wanted[key]} {tuple(state[wanted[key]].shape)} for {tuple(own[key].shape)}"
        for key, value in values.items()
        if _bare(value) != _bare(own[key])
    ]
    spare = [key for key in state if key not in wanted.values()]
    if missing or unlike:
        raise DataError(
            f"{path} does not fit '{name}' (other options?): missing {some_of(missing, SHOWN)}; "
            f"of another shape {some_of(unlike, SHOWN)}; not used {some_of(spare, SHOWN)}"
        )
    for key, value in values.items():
        own[key] = value.reshape(own[key].shape)
    encoder.load_state_dict(own)
    return f"{name} starts from {path}: {len(values)} tensors; not used: {some_of(spare, SHOWN)}"


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU; of one of ours, those of the encoder."""
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:
        raise DataError(
            f"{path} cannot be read without running code of it: save it again by "
            "torch.save(model.state_dict(), FILE) where it was made"
        ) from error
    prefix = ""
    if isinstance(content, Mapping):
        prefix = "encoder." if content.get("format") == FORMAT else ""
        fields = [content[name] for name in FIELDS if isinstance(content.get(name), Mapping)]
        content = fields[0] if fields else content
    state = {} if not isinstance(content, Mapping) else _tensors(content, prefix)
    if not state:
        raise DataError(f"{path} holds no state dict (names and tensors)")
    return state


def _tensors(content: Mapping[Any, Any], prefix: str) -> dict[str, Tensor]:
    named = {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor)
    }
    return {key.removeprefix(prefix): v for key, v in named.items() if key.startswith(prefix)}


def _wanted(
    encoder: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> dict[str, str]:
    """The encoder's own names -> those in the file: the same, unless it has none of them and is the paper's."""
    names: Mapping[str, str] = getattr(encoder, "reference_names", {})
    if not names or any(key in state for key in own):
        return {key: key for key in own}
    wanted = {}
    for key in own:
        module, _, last = key.rpartition(".")
        wanted[key] = names.get(key) or f"{names.get(module, module)}.{last}"
    return wanted


def _as_it_is(key: str, value: Tensor) -> Tensor:
    return value


def _bare(value: Tensor) -> list[int]:
    """The shape without axes of length 1: a convolution with a kernel of 1 is a Linear."""
    return [length for length in value.shape if length != 1]
