"""What the settings of both trainings share."""

from typing import Annotated

from pointcmt_cli.config.setting import (
    RUN,
    TRAINING,
    Setting,
)

SMOOTHING = 0.2
"""Label smoothing of the reference (main_cls.py); torch's definition, not its (docs/method.md)."""

LearningRate = Annotated[float, Setting("Learning rate at the start.", TRAINING, positive=True)]
WeightDecay = Annotated[float, Setting("The optimizer's weight decay.", TRAINING, low=0.0)]
Tensorboard = Annotated[
    bool, Setting("Write TensorBoard scalars beside the checkpoint.", RUN, decides=False)
]
