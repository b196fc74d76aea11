"""The robustness part of the evaluation document: of a run its numbers, of a group their spread over its runs."""

from typing import Annotated, TypedDict

from pointcmt_cli.engine.training.stored import Length, Share
from pointcmt_cli.wording import Spread

Severities = Annotated[list[Share], Length(5)]


class CorruptionErrors(TypedDict):
    """`modelnet-c`: what the corruptions of ModelNet-C do."""

    clean: Annotated[Share, "overall accuracy of uncorrupted test clouds"]
    corruptions: Annotated[
        dict[str, Severities],
        "`scale`, `jitter`, `rotate`, `drop-global`, `drop-local`, `add-global`, `add-local`: "
        "overall accuracy at severities 1 to 5",
    ]
    ce: Annotated[dict[str, float], "per corruption, the error as a multiple of DGCNN's"]
    rce: Annotated[
        dict[str, float], "per corruption, the loss against clean as a multiple of DGCNN's"
    ]
    mce: Annotated[float, "mean of `ce`"]
    rmce: Annotated[float, "mean of `rce`"]


Robustness = TypedDict(
    "Robustness",
    {
        "modelnet-c": Annotated[CorruptionErrors, "what the corruptions of ModelNet-C do"],
        "points": Annotated[
            dict[str, Share], "overall accuracy by points per cloud, the number as text"
        ],
        "rotations": Annotated[dict[str, Share], "overall accuracy under `none`, `z`, `so3`"],
    },
    total=False,
)


class CorruptionSpread(TypedDict):
    """`modelnet-c` of a group."""

    clean: Spread
    corruptions: Annotated[dict[str, Spread], "of the mean over the severities"]
    ce: dict[str, Spread]
    rce: dict[str, Spread]
    mce: Spread
    rmce: Spread


RobustnessSpread = TypedDict(
    "RobustnessSpread",
    {
        "modelnet-c": CorruptionSpread,
        "points": dict[str, Spread],
        "rotations": dict[str, Spread],
    },
    total=False,
)
