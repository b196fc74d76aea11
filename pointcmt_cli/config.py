"""One frozen dataclass per stage: every option, its one default, and where that default comes from; stdlib only.

`None` for a path means the default name in `work`; `resolve` fills it in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
Axis = Literal["z", "y"]
Projection = Literal["perspective", "orthographic"]
ViewsFormat = Literal["h5", "png"]
Rotations = Literal["z", "so3"]

HELD_OUT_FRACTION = 0.15
"""Share of the train split that the hash of the name sets apart as held-out; every selection uses it."""
IMAGE_SIZE = 224
"""Pixels of a view: the input size of ImageNet networks."""
RIG = "mvcnn12"
"""MVCNN's 12 views; the reference's 20 (`dodecahedron20`) cost more for little on a CPU."""
POINTS = 2048
"""Points kept per shape."""
DEFAULT_RENDERERS = {"mesh": "raster", "cloud": "points"}
"""Renderer plug-in for each kind of source."""
POINT_COUNTS = (1024, 512, 256, 128, 64)
"""Points per cloud of the curve that `evaluate --corrupt all` draws."""
ROTATIONS: tuple[Rotations, ...] = ("z", "so3")
EPOCHS, FROZEN_EPOCHS = 50, 100
"""Of a teacher: the reference's, and of the head of a frozen network, which is cheap."""
MICRO_BATCH, CPU_MICRO_BATCH = 32, 4
"""Shapes at once in a network that is trained end to end: the reference's, and what a CPU's memory takes."""
SMOOTHING = 0.2
"""Label smoothing of the reference (main_cls.py); torch's definition, not its (docs/method.md)."""


@dataclass(frozen=True)
class RenderConfig:
    """`pointcmt render`: meshes or clouds -> views.h5."""

    source: Path
    """Folder of meshes or clouds, or a known benchmark layout."""
    work: Path = Path(".")
    """Folder for every default file name."""
    out: Path | None = None
    """views.h5, or the folder of pictures."""
    rig: str | None = None
    """A rig's name, or a TOML or JSON file of cameras; None: RIG."""
    projection: Projection | None = None
    """None: perspective, or what the rig's file says."""
    margin: float | None = None
    """Between the unit sphere and the image's border, as a share of its radius; None: rigs.MARGIN."""
    image_size: int | None = None
    """Pixels; None: IMAGE_SIZE, or with `views_from` what the pictures have."""
    points: int | None = None
    """Points kept per shape; training draws its own number from them. None: POINTS."""
    renderer: str | None = None
    """Plug-in name; None: DEFAULT_RENDERERS."""
    renderer_options: Mapping[str, Any] = field(default_factory=dict)
    color: bool = False
    """Store RGB; the renderer's option `color`."""
    shading: str | None = None
    """The renderer's option `shading`; None: its own default."""
    up: Axis | None = None
    """The axis of the source that points up; None: y for .glb (its specification), else z. Stored shapes are z up."""
    test_fraction: float = 0.2
    """Test share, by hash of the name, where the source has no split of its own."""
    held_out_fraction: float = HELD_OUT_FRACTION
    variant: str | None = None
    """Which one, where a benchmark's folder holds several (ScanObjectNN: OBJ_ONLY, OBJ_BG, PB_T50_RS)."""
    workers: int | None = None
    """Processes; None: one per core."""
    cluster: str | None = None
    """`dask://HOST:PORT`, or `ray` or `ray://HOST:PORT`: draw there instead of in processes of this machine."""
    profile: bool = False
    """Also say where the time went."""
    strict: bool = False
    """Stop at the first shape that cannot be read."""
    force: bool = False
    """Draw everything anew and replace an existing file, whatever it was made with."""
    preview: Path | None = None
    """Contact sheet (PNG) of some shapes of each class; with `only`, of all views of these."""
    format: ViewsFormat = "h5"
    """png: only pictures, CLASS/SPLIT/NAME_VVV.png in the folder `out`."""
    views_from: Path | None = None
    """A tree of pictures that were rendered elsewhere, in place of a renderer."""
    only: tuple[str, ...] = ()
    """Names or patterns of shapes to draw anew, all others staying as they are."""


@dataclass(frozen=True)
class TeacherConfig:
    """`pointcmt train-teacher`: views.h5 -> teacher.pt, features.h5."""

    work: Path = Path(".")
    views: Path | None = None
    """views.h5."""
    out: Path | None = None
    """teacher.pt."""
    features: Path | None = None
    """features.h5."""
    teacher: str | None = None
    """Plug-in name; None: the first of `preference` that can be built on this machine with the options given."""
    preference: tuple[str, ...] = ("efficientnet-lite", "mvcnn")
    """Tried in this order where no teacher is named: one that brings ImageNet weights first."""
    teacher_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    """Pretrained weights of the image network, handed to the plug-in's option `weights`."""
    freeze: bool | None = None
    """Compute image features once and train the head on them; None: on a CPU yes, on CUDA no."""
    view_size: int | None = None
    """Views are averaged down to this many pixels before the network sees them; None: as stored."""
    width: int = 512
    """Feature width D: ResNet-18's, and so the reference's. The neck is left out when 0, and when the network is
    trained end to end and has this width already (the reference's teacher)."""
    epochs: int | None = None
    """None: FROZEN_EPOCHS or EPOCHS, as `freeze` says."""
    batch_size: int = 128
    """The reference: 32 x 4 accumulated; "large batch is necessary"."""
    micro_batch: int | None = None
    """Shapes at once in an unfrozen network, accumulated to `batch_size`; None: MICRO_BATCH, or CPU_MICRO_BATCH."""
    lr: float = 1e-3
    """The reference: Adam 1e-3, constant."""
    weight_decay: float = 1e-4
    smoothing: float = SMOOTHING
    folds: int = 5
    """Out-of-fold heads, so that the student sees what the teacher says of shapes it was not trained on."""
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    """fp32 on a CPU, bf16 autocast on CUDA."""
    force: bool = False
    """Train again although an up-to-date result exists."""
    tensorboard: bool = False


@dataclass(frozen=True)
class DistillConfig:
    """`pointcmt distill`: features.h5 -> STUDENT.pt."""

    student: str = "pointnet2"
    """Backbone plug-in."""
    student_options: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "contrast"
    """Objective plug-in (`contrast`: docs/does-it-help.md says why); `none` trains the plain student."""
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    work: Path = Path(".")
    features: Path | None = None
    """features.h5."""
    generator: Path | None = None
    """generator.pt; trained when the objective needs it and no matching one is there."""
    init: Path | None = None
    """First weights of the encoder: a checkpoint of ours, or a public one of its paper."""
    out: Path | None = None
    """STUDENT.pt, or STUDENT-OBJECTIVE.pt where the objective is not the default one."""
    points: int = 1024
    """Drawn anew from the stored ones at every step (the reference: 1,024)."""
    epochs: int = 60
    """The reference trains 1,000 on a GPU; see docs/does-it-help.md for what 60 give."""
    batch_size: int = 32
    lr: float = 1e-3
    """AdamW with cosine to zero, as the reference."""
    weight_decay: float = 0.05
    select: Literal["last", "held-out"] = "last"
    """Which epoch is kept: the last (the learning rate ends at zero) or the best on the held-out split."""
    generator_layers: Literal[1, 3] = 1
    """1: the reference code; 3: the paper ("works equally", its author says)."""
    generator_epochs: int = 50
    generator_lr: float = 1e-3
    """Adam's; it and the batch are the generator's own, so that a student's settings do not retrain it."""
    generator_batch_size: int = 32
    generator_points: int = 1024
    """Of a generated cloud (the reference); the EMD costs about their square on a CPU."""
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    fast: bool | None = None
    """Record the step as a CUDA graph and replay it (docs/speed.md); None: on CUDA. The numbers are the same."""
    force: bool = False
    tensorboard: bool = False


@dataclass(frozen=True)
class EvaluateConfig:
    """`pointcmt evaluate CHECKPOINT…`: scores on the held-out and the test split."""

    checkpoints: tuple[Path, ...]
    """Students and teachers of one data set."""
    work: Path = Path(".")
    data: Path | None = None
    """features.h5 or views.h5; None: the one in `work`."""
    votes: int = 1
    """Passes averaged per shape; beyond the first, scaled U[0.85, 1.15] per axis (reference voting, but fixed N)."""
    corrupt: Literal["modelnet-c", "all"] | None = None
    """ModelNet-C's corruptions; all: also POINT_COUNTS, as far as they are stored, and ROTATIONS."""
    points: tuple[int, ...] = ()
    """Also score clouds of so many points."""
    rotations: tuple[Rotations, ...] = ()
    """Also score clouds turned about the vertical axis, or by any rotation."""
    batch_size: int = 64
    seed: int = 0
    """Of votes, corruptions, rotations and the bootstrap; no training is repeated."""
    device: Device = "auto"
    command: tuple[str, ...] = ()
    """What was typed; kept in the document."""


@dataclass(frozen=True)
class ExportConfig:
    """`pointcmt export CHECKPOINT`: a file to deploy, proved equal."""

    checkpoint: Path
    format: Literal["onnx", "pt2", "safetensors"] = "onnx"
    work: Path = Path(".")
    out: Path | None = None
    """CHECKPOINT's name with the format's ending."""
    data: Path | None = None
    """Where the 64 real clouds of the comparison come from: features.h5 or views.h5."""
    tolerance: float = 1e-4
    """Largest difference in any probability that passes."""
    half: bool = False
    """Matrices in float16 in the file, computed with in float32."""
    int8: bool = False
    """Static 8 bits, calibrated on the held-out split (ONNX)."""
    max_drop: float = 0.01
    """Share of the held-out split that `half` or `int8` may lose."""
    compiled: bool = True
    """Also say what torch.compile would bring; it takes a while."""


@dataclass(frozen=True)
class PredictConfig:
    """`pointcmt predict CHECKPOINT FILES…`: class of each file."""

    checkpoint: Path
    files: tuple[Path, ...]
    work: Path = Path(".")
    top: int = 3
    up: Axis | None = None
    """The axis of the files that points up; None: as the data set was rendered that the checkpoint was trained on."""
    device: Device = "auto"


@dataclass(frozen=True)
class InfoConfig:
    """`pointcmt info PATH`: what a file is, what it was made from, how to make it again."""

    path: Path
    """A views.h5, features.h5, .pt, .onnx, .pt2, .safetensors, or a folder of them."""


@dataclass(frozen=True)
class DownloadConfig:
    """`pointcmt data download NAME`: a public data set -> its folder."""

    name: str
    """In data/catalogue.py."""
    work: Path = Path(".")
    out: Path | None = None
    """The data set's folder; None: its name in `work`."""
    accept_terms: bool = False
    """The user has read and accepted the terms of use, where there are any."""


@dataclass(frozen=True)
class VerifyConfig:
    """`pointcmt data verify DIR`: is a data set whole?"""

    source: Path
    variant: str | None = None
    """Which one, where a folder holds several; None: all of ScanObjectNN's."""
    workers: int | None = None
    """Processes; None: one per core."""


@dataclass(frozen=True)
class PushConfig:
    """`pointcmt push CHECKPOINT REPO_ID`: a checkpoint -> a repository of the Hugging Face hub."""

    checkpoint: Path
    repo_id: str
    """`OWNER/NAME`."""
    work: Path = Path(".")
    revision: str | None = None
    """A branch, made when it is not there; None: main."""
    private: bool = False
    """Of a repository that is made by this."""
    card: Path | None = None
    """The model card; None: MODEL_CARD.md beside the checkpoint where it names it, else a short one."""


@dataclass(frozen=True)
class PullConfig:
    """`pointcmt pull REPO_ID`: a repository of the Hugging Face hub -> a checkpoint."""

    repo_id: str
    revision: str | None = None
    """Branch, tag or commit; None: main."""
    work: Path = Path(".")
    out: Path | None = None
    """The .pt; None: the repository's name, in `work`."""
    force: bool = False
    """Replace an existing file."""
    trust_code: bool = False
    """Take a checkpoint whose network is `module:attribute`: using it calls what it names."""


@dataclass(frozen=True)
class DemoConfig:
    """`pointcmt demo`: the whole pipeline on shapes it generates, sized for 2 CPU cores in under 5 minutes."""

    work: Path = Path("pointcmt-demo")
    shapes: int = 30
    """Train shapes per class; half as many again are test."""
    student: str = "pointnet"
    rig: str = "orthogonal6"
    image_size: int = 112
    points: int = 512
    epochs: int = 40
    seed: int = 0
    device: Device = "auto"


IDLE = ("work", "features", "generator", "init", "out", "fast", "force", "tensorboard")
"""A student's settings that say where or how, not what."""


def relevant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the weights."""
    return {name: value for name, value in settings.items() if name not in IDLE}
