"""Encoder -> neck -> head: in, points (B, N, 3) or views (B, V, 3, H, W); out, logits (B, K).

The neck brings any encoder to the teacher's width D, so that the teacher's features can go through the student's head.
"""

from typing import Any

from torch import Tensor, nn

from pointcmt_cli.errors import PluginError


class Classifier(nn.Module):
    """A plug-in's encoder with the core's neck, Linear + BN + ReLU, and head, Linear.

    Source: the reference's PointNet++ (neck Linear(1024, 512) + BN + ReLU, head Linear(512, K), no dropout).
    """

    def __init__(
        self, encoder: Any, classes: int, width: int | None, name: str = "encoder"
    ) -> None:
        """`width` D of the neck; None: no neck, the head sits on the encoder (the reference's teacher)."""
        super().__init__()
        dimension = getattr(encoder, "feature_dim", None)
        if not isinstance(encoder, nn.Module) or not isinstance(dimension, int):
            raise PluginError(
                f"'{name}' breaks its contract: expected an nn.Module with `feature_dim: int`, "
                f"got {type(encoder).__name__} with feature_dim {dimension!r}"
            )
        self.name = name
        self.width = width
        self.feature_dim = width or dimension
        self.encoder_dim = dimension
        self.encoder = encoder
        self.neck: nn.Module = (
            nn.Sequential(nn.Linear(dimension, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
            if width
            else nn.Identity()
        )
        self.head = nn.Linear(self.feature_dim, classes)

    def encode(self, inputs: Tensor) -> Tensor:
        """Inputs -> the encoder's own features (B, E), before the neck."""
        encoded = self.encoder(inputs)
        if not isinstance(encoded, Tensor) or encoded.shape[1:] != (self.encoder_dim,):
            got = tuple(encoded.shape) if isinstance(encoded, Tensor) else type(encoded).__name__
            raise PluginError(
                f"'{self.name}' breaks its contract: expected features "
                f"({inputs.shape[0]}, {self.encoder_dim}), got {got}"
            )
        return encoded

    def features(self, inputs: Tensor) -> Tensor:
        """Inputs -> features (B, D), after the neck."""
        neck: Tensor = self.neck(self.encode(inputs))
        return neck

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs -> logits (B, K)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits
