"""What the teachers share: an image network over every view, the maximum over the views, weights read safely.

In: views (B, V, 3, H, W) in [0, 1]; out: features (B, D). Source: MVCNN (Su et al., ICCV 2015, section 3.2).
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointcmt_cli.api import PointCMTError, some_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MultiView(nn.Module):
    """An image network on normalised views, then the maximum over the views."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        feature_dim: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        pretrained: bool,
    ) -> None:
        """`network`: images (B, 3, H, W), normalised by `mean` and `std` -> features (B, D)."""
        super().__init__()
        self.feature_dim = feature_dim
        self.pretrained = pretrained
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, views: Tensor) -> Tensor:
        """Views (B, V, 3, H, W) in [0, 1] -> features (B, D)."""
        images = (views.flatten(0, 1) - self.mean) / self.std  # (B * V, 3, H, W)
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return features.reshape(*views.shape[:2], -1).amax(dim=1)  # (B, D)


def load_weights(
    network: nn.Module, path: str | Path, name: str, ignored: Collection[str] = ()
) -> None:
    """Fill `network` from a file of weights, read safely; keys that start with `ignored` are left out.

    Takes .safetensors, and what torch.save wrote: a state dict, or one under the key `state_dict`, with or without
    DataParallel's prefix `module.`.
    """
    try:
        values = _read(Path(path))
    except FileNotFoundError as error:
        raise PointCMTError(f"weights {path}: no such file") from error
    except Exception as error:
        raise PointCMTError(
            f"weights {path} cannot be read safely as weights ({type(error).__name__})"
        ) from error
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping) or not all(torch.is_tensor(v) for v in values.values()):
        raise PointCMTError(f"weights {path} are not a state dict (names and tensors)")
    given = {str(key).removeprefix("module."): value for key, value in values.items()}
    given = {key: value for key, value in given.items() if not key.startswith(tuple(ignored))}
    own = network.state_dict()
    # num_batches_tracked is absent from files of before PyTorch 0.4.1, and inference does not need it
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    reshaped = [
        f"{key} {tuple(given[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    if missing or unexpected or reshaped:
        raise PointCMTError(
            f"weights {path} do not fit {name}: missing {some_of(missing)}; "
            f"unexpected {some_of(unexpected)}; other shapes {some_of(reshaped)}"
        )
    network.load_state_dict(given, strict=False)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
