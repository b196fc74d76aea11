"""What is known of one setting. In: the annotation of a config's field; out: its Setting, and those that decide.

A field reads `seed: Annotated[int, Setting("Seed of everything random.", RUN, low=0)] = 0`. A field without a
Setting is no option: the code alone gives its value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]

FILES = "Files"
"""Panel of the options that say where things are read and written."""
PLUGIN = "Plug-in"
"""Panel of the options that choose a plug-in and its options."""
RUN = "Run"
"""Panel of the options that say how a stage runs: seed, device, workers, force."""
TRAINING = "Training"
"""Panel of the options that say how a network is trained."""


@dataclass(frozen=True)
class Setting:
    """One setting, but for its name, type and default, which the field has."""

    help: str
    panel: str | None = None
    flag: str | None = None
    """None: the field's name with hyphens."""
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    positive: bool = False
    """A finite number above 0."""
    source: str = ""
    """Where the default comes from; `--print-config` shows it."""
    decides: bool | Literal["content"] = True
    """Whether the weights depend on it; content: on what the file holds, not on its name."""
    argument: bool = False
    """Given by its place on the command line."""
    shown: bool = True
    """Whether the help shows the default."""
    hidden: bool = False
    """Not in the help: `--config` and `--print-config` have it."""
    file: bool = True
    folder: bool = True
    """What a path may be."""
    readable: bool = True
    commas: str = ""
    """An example of the values that one option takes, separated by commas."""


Work = Annotated[
    Path,
    Setting(
        "Folder of every file that is not named explicitly; made when it is not there.",
        FILES,
        metavar="DIR",
        file=False,
        decides=False,
    ),
]
DeviceSetting = Annotated[Device, Setting("auto: CUDA when there is one.", RUN)]
PrecisionSetting = Annotated[Precision, Setting("auto: fp32 on a CPU, bf16 autocast on CUDA.", RUN)]
Seed = Annotated[int, Setting("Same seed, same machine: the same bytes.", RUN, low=0)]
Force = Annotated[
    bool,
    Setting(
        "Make the output again and replace what is there, whatever its settings were.",
        RUN,
        decides=False,
    ),
]


@cache
def settings_of(stage: type) -> dict[str, tuple[Any, Setting]]:
    """Type and Setting of every field of a config that has one, in their order."""
    hints = get_type_hints(stage, include_extras=True)
    found = {}
    for field in fields(stage):
        kind, *more = get_args(hints[field.name]) or (None,)
        for each in more:
            if isinstance(each, Setting):
                found[field.name] = (kind, each)
    return found


SIMPLE = (bool, int, float, str, type(None))


def deciding(settings: Any, stage: type | None = None) -> dict[str, Any]:
    """The settings that decide the weights, of a config or of what a file keeps of one of that `stage`.

    Of a setting whose file's content counts, the stage keeps a hash with what the weights were made from. A file of
    before there was a setting was made with its default.
    """
    if is_dataclass(settings) and not isinstance(settings, type):
        stage = type(settings)
        settings = {field.name: getattr(settings, field.name) for field in fields(settings)}
    assert isinstance(settings, Mapping)
    assert stage is not None
    idle = {name for name, (_, each) in settings_of(stage).items() if each.decides is not True}
    defaults = {
        field.name: field.default for field in fields(stage) if isinstance(field.default, SIMPLE)
    }
    return {name: value for name, value in {**defaults, **settings}.items() if name not in idle}
