"""Views on their way into an image network, and the encoder's features of every shape, computed once and kept.

In: views.h5 and a model; out: features (S, E). Memory stays flat: a chunk of shapes is read, encoded and written to a
file of its own in a folder beside the checkpoint, so that a killed run goes on with the next chunk.
"""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli.config import Precision
from pointcmt_cli.data.store.views import read_images
from pointcmt_cli.engine.training import setup
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import atomic
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.records import Progress, Record

CHUNK = 32
"""Shapes per file of cached features; what a kill can cost."""


class Views:
    """The views of any rows of a views.h5, as an image network takes them."""

    def __init__(self, path: Path, size: int | None, device: torch.device) -> None:
        """`size`: pixels to average down to; None: as stored."""
        self.path = path
        self.device = device
        self.held: Tensor | None = None
        stored = read_images(path, [0]).shape[2]
        if size is not None and not 0 < size <= stored:
            raise UsageError(
                f"--view-size {size}: the views are stored at {stored} pixels, they can only be made smaller"
            )
        self.size = None if size == stored else size

    def __call__(self, rows: Tensor) -> Tensor:
        """Row numbers (B,) on the CPU -> views (B, V, 3, H, W) in [0, 1] on the device; gray ones three times alike."""
        stored = self._read(rows) if self.held is None else self.held[rows.to(self.device)]
        gray = stored.ndim == 4
        images = stored[:, :, None] if gray else stored.movedim(-1, 2)  # (B, V, C, H, W)
        images = images.float() / 255
        if self.size is not None:
            smaller = F.interpolate(images.flatten(0, 1), size=(self.size, self.size), mode="area")
            images = smaller.reshape(*stored.shape[:2], *smaller.shape[1:])
        return images.expand(-1, -1, 3, -1, -1)

    def hold(self, count: int) -> None:
        """Keep all `count` shapes on a CUDA device for the whole run, where they fit into half of its free memory."""
        if self.device.type != "cuda":
            return
        first = self._read(torch.tensor([0]))
        if first.numel() * count > torch.cuda.mem_get_info(self.device)[0] / 2:
            return
        self.held = first.new_empty(count, *first.shape[1:])
        for rows in torch.split(torch.arange(count), CHUNK):
            self.held[rows.to(self.device)] = self._read(rows)

    def _read(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(read_images(self.path, rows.numpy())).to(self.device)


def encode_views(
    model: Classifier, views: Views, count: int, folder: Path, key: str, precision: Precision
) -> Generator[Record, None, NDArray[np.float32]]:
    """Features (S, E) of the first `count` shapes from the model's encoder, cached in `folder` under `key`."""
    for stale in folder.glob("*.npy"):
        if not stale.name.startswith(key):
            stale.unlink()
    at_once = CHUNK if views.device.type == "cuda" else 2
    chunks = []
    model.eval()
    for start in range(0, count, CHUNK):
        rows = torch.arange(start, min(start + CHUNK, count))
        path = folder / f"{key}-{start:07d}.npy"
        if not path.exists():
            with torch.inference_mode(), setup.autocast(views.device, precision):
                parts = [
                    model.encode(views(part)).float().cpu() for part in torch.split(rows, at_once)
                ]
            with atomic(path) as temporary, temporary.open("wb") as file:
                np.save(file, torch.cat(parts).numpy())
        chunks.append(np.load(path))
        yield Progress("image features", start + len(rows), count)
    return np.concatenate(chunks)
