"""Settings of `export` and `predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pointcmt_cli.config.rendering import Axis
from pointcmt_cli.config.setting import FILES, DeviceSetting, Setting, Work

FORMAT, PROOF, ANSWER = "Format", "Proof", "Answer"


@dataclass(frozen=True)
class ExportConfig:
    """`pointcmt export CHECKPOINT`: a file to deploy, proved equal."""

    checkpoint: Annotated[
        Path,
        Setting("A student's .pt; looked for here, then in --work.", argument=True, shown=False),
    ]
    format: Annotated[
        Literal["onnx", "pt2", "safetensors"],
        Setting(
            "onnx (any runtime), pt2 (torch.export), or safetensors (weights and what rebuilds the network).",
            FORMAT,
        ),
    ] = "onnx"
    half: Annotated[bool, Setting("Weights in 16 bits: half the size, computed in 32.", FORMAT)] = (
        False
    )
    int8: Annotated[
        bool, Setting("Layers in 8 bits (ONNX), calibrated on the held-out split.", FORMAT)
    ] = False
    max_drop: Annotated[
        float,
        Setting(
            "Share of the held-out split that --half or --int8 may lose.", PROOF, low=0.0, high=1.0
        ),
    ] = 0.01
    tolerance: Annotated[
        float,
        Setting("Largest difference of any probability from eager's that passes.", PROOF, low=0.0),
    ] = 1e-4
    data: Annotated[
        Path | None,
        Setting(
            "features.h5 or views.h5 with the 64 real clouds of the comparison; by default the one in --work.",
            PROOF,
        ),
    ] = None
    compiled: Annotated[
        bool,
        Setting(
            "Also time torch.compile, which takes up to a minute to compile.",
            PROOF,
            flag="--compiled/--no-compiled",
        ),
    ] = True
    out: Annotated[
        Path | None,
        Setting(
            "The file to write; default: CHECKPOINT's name with the format's ending, in --work.",
            FILES,
        ),
    ] = None
    work: Work = Path(".")


@dataclass(frozen=True)
class PredictConfig:
    """`pointcmt predict CHECKPOINT FILES…`: class of each file."""

    checkpoint: Annotated[
        Path,
        Setting(
            "A student's .pt, .onnx, .safetensors or .pt2; looked for here, then in --work.",
            metavar="MODEL",
            argument=True,
            shown=False,
        ),
    ]
    files: Annotated[
        tuple[Path, ...],
        Setting(
            "Meshes (.off .obj .ply .stl .glb) or clouds (.npy .npz .ply .xyz .txt .pcd).",
            metavar="FILES...",
            argument=True,
            shown=False,
            readable=False,  # said file by file
        ),
    ]
    top: Annotated[int, Setting("Classes shown per file.", ANSWER, low=1)] = 3
    up: Annotated[
        Axis | None,
        Setting(
            "The axis of the files that points up; by default as in the data set that it was trained on.",
            ANSWER,
            shown=False,
        ),
    ] = None
    work: Work = Path(".")
    device: DeviceSetting = "auto"
