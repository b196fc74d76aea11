"""PUBLIC: all that a plug-in may import. Contracts, the types that cross them, point operations, words for errors.

An entry point in `pointcmt.backbones`, `.teachers`, `.renderers` or `.objectives` names a factory with keyword-only
options; what the factory returns must behave as the protocol of that group says. There is nothing to subclass or to
register. Names load on first use, so a renderer that needs no torch does not pay for it.

Shapes: B batch, N points, V views, D features, K classes, H W image.
"""

import importlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from pointcmt_cli.data.cameras.rigs import Cameras as Cameras
    from pointcmt_cli.data.shape import Shape as Shape
    from pointcmt_cli.errors import PointCMTError as PointCMTError
    from pointcmt_cli.models.distillation import Distillation as Distillation
    from pointcmt_cli.models.distillation import label_loss as label_loss
    from pointcmt_cli.models.distillation import mean_of as mean_of
    from pointcmt_cli.models.generator import unit_box as unit_box
    from pointcmt_cli.ops.compiling import compiled as compiled
    from pointcmt_cli.ops.emd.distance import earth_movers_distance as earth_movers_distance
    from pointcmt_cli.ops.points.public import ball_query as ball_query
    from pointcmt_cli.ops.points.public import farthest_points as farthest_points
    from pointcmt_cli.ops.points.public import gather as gather
    from pointcmt_cli.ops.points.public import interpolate as interpolate
    from pointcmt_cli.ops.points.public import k_nearest as k_nearest
    from pointcmt_cli.ops.points.public import three_nearest as three_nearest
    from pointcmt_cli.ops.rows.linear import linear as linear
    from pointcmt_cli.ops.rows.normed_rows import normed_rows as normed_rows
    from pointcmt_cli.ops.rows.pooled_mlp import pooled_mlp as pooled_mlp
    from pointcmt_cli.wording import missing_package as missing_package
    from pointcmt_cli.wording import one_line as one_line
    from pointcmt_cli.wording import some_of as some_of

_HOMES = {
    "Cameras": "pointcmt_cli.data.cameras.rigs",
    "Distillation": "pointcmt_cli.models.distillation",
    "PointCMTError": "pointcmt_cli.errors",
    "Shape": "pointcmt_cli.data.shape",
    "ball_query": "pointcmt_cli.ops.points.public",
    "compiled": "pointcmt_cli.ops.compiling",
    "earth_movers_distance": "pointcmt_cli.ops.emd.distance",
    "farthest_points": "pointcmt_cli.ops.points.public",
    "gather": "pointcmt_cli.ops.points.public",
    "interpolate": "pointcmt_cli.ops.points.public",
    "k_nearest": "pointcmt_cli.ops.points.public",
    "label_loss": "pointcmt_cli.models.distillation",
    "linear": "pointcmt_cli.ops.rows.linear",
    "mean_of": "pointcmt_cli.models.distillation",
    "missing_package": "pointcmt_cli.wording",
    "normed_rows": "pointcmt_cli.ops.rows.normed_rows",
    "one_line": "pointcmt_cli.wording",
    "pooled_mlp": "pointcmt_cli.ops.rows.pooled_mlp",
    "some_of": "pointcmt_cli.wording",
    "three_nearest": "pointcmt_cli.ops.points.public",
    "unit_box": "pointcmt_cli.models.generator",
}
__all__ = ["Backbone", "Objective", "Renderer", "Teacher", *_HOMES]


class Backbone(Protocol):
    """A point encoder: an nn.Module without a classification head.

    In eval mode each row's features depend on that row alone. An optional attribute `minimum_points` (1 if absent)
    says how few points it takes. Distillation, neck and head are the core's business.

    For `distill --init` with its paper's public checkpoints, optional: `reference_names`, a mapping from own modules or
    parameters ("edges.0.linear") to theirs ("conv1.0"), where axes of length 1 do not count; and a method
    `from_reference(name, value)`, which turns their tensor of one own name into what fits, where a name is not enough.
    """

    feature_dim: int

    def __call__(self, points: "torch.Tensor") -> "torch.Tensor":
        """Points (B, N, 3) float in the unit sphere -> features (B, feature_dim)."""


class Teacher(Protocol):
    """An image encoder over several views of one shape: an nn.Module without a classification head.

    Factory options called `weights` (a file; None: none) and `pretrained` (a bool) only say where the first weights
    come from: a checkpoint holds its own, and is rebuilt with `weights=None, pretrained=False`. An optional attribute
    `pretrained` (true if absent) tells whether the weights are any better than random.
    """

    feature_dim: int

    def __call__(self, views: "torch.Tensor") -> "torch.Tensor":
        """Views (B, V, 3, H, W) in [0, 1] -> features (B, feature_dim)."""


class Renderer(Protocol):
    """Draws one shape from every camera; called in worker processes, so it must not need a display of its own.

    A factory with an option `color` (a bool) is asked for RGB by `--color`, and one with an option `shading` for what
    `--shading` names.
    """

    def __call__(self, shape: "Shape", cameras: "Cameras") -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """One validated shape -> gray images (V, H, W), or RGB ones (V, H, W, 3) where colour was asked for.

        uint8, 0 (black) to 255 (white); the background is white.
        """


class Objective(Protocol):
    """What the student is trained on: an nn.Module; its own parameters, if any, are trained and then dropped.

    Lazy parameters (nn.LazyLinear) are allowed: they see one batch before the optimizer is made. An optional
    attribute `needs_generator`, false if absent, says whether the generator is to be trained at all; `uses_teacher`,
    true if absent, whether anything of the teacher is looked at: `evaluate` compares all others with those that do not;
    `uses_unlabelled`, false if absent, whether its batches hold shapes without a label; `uses_average`, false if
    absent, whether it needs `average_logits`.
    """

    def __call__(self, batch: "Distillation") -> "dict[str, torch.Tensor]":
        """One training step's tensors -> named scalar terms, already weighted; their sum is minimised."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pointcmt_cli.api' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
