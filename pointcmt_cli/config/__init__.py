"""Every setting of every stage, once: name, default, range, help, panel, source, and whether it decides the weights.

In: nothing; out: one frozen dataclass per stage, of which the command line and `--config` are made; stdlib only.
Imports from: none.
"""

from pointcmt_cli.config.demo import DemoConfig
from pointcmt_cli.config.deploying import ExportConfig, PredictConfig
from pointcmt_cli.config.rendering import (
    DEFAULT_RENDERERS,
    HELD_OUT_FRACTION,
    IMAGE_SIZE,
    POINTS,
    RIG,
    Axis,
    Projection,
    RenderConfig,
    ViewsFormat,
)
from pointcmt_cli.config.scoring import (
    POINT_COUNTS,
    ROTATIONS,
    EvaluateConfig,
    InfoConfig,
    Rotations,
)
from pointcmt_cli.config.setting import Device, Precision, Setting, deciding
from pointcmt_cli.config.sharing import DownloadConfig, PullConfig, PushConfig, VerifyConfig
from pointcmt_cli.config.student import (
    PLAIN_OBJECTIVE,
    Augmentation,
    DistillConfig,
    Optimizer,
)
from pointcmt_cli.config.teacher import (
    CPU_MICRO_BATCH,
    EPOCHS,
    FROZEN_EPOCHS,
    MICRO_BATCH,
    TeacherConfig,
)
from pointcmt_cli.config.training import SMOOTHING

__all__ = [
    "CPU_MICRO_BATCH",
    "DEFAULT_RENDERERS",
    "EPOCHS",
    "FROZEN_EPOCHS",
    "HELD_OUT_FRACTION",
    "IMAGE_SIZE",
    "MICRO_BATCH",
    "PLAIN_OBJECTIVE",
    "POINTS",
    "POINT_COUNTS",
    "RIG",
    "ROTATIONS",
    "SMOOTHING",
    "Augmentation",
    "Axis",
    "DemoConfig",
    "Device",
    "DistillConfig",
    "DownloadConfig",
    "EvaluateConfig",
    "ExportConfig",
    "InfoConfig",
    "Optimizer",
    "Precision",
    "PredictConfig",
    "Projection",
    "PullConfig",
    "PushConfig",
    "RenderConfig",
    "Rotations",
    "Setting",
    "TeacherConfig",
    "VerifyConfig",
    "ViewsFormat",
    "deciding",
]
