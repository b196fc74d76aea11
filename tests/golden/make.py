"""The golden files: what every stage writes of shapes that it generates itself, and what must be read from it.

In: an empty folder; out: the files in it, and expected.json. Run by hand, once for each new format version, into a
folder of its own; the files of a version are never made again (CONTRIBUTING.md).

    .venv/bin/python tests/golden/make.py tests/golden/format2
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import pointcmt_cli
from pointcmt_cli.data.demo_shapes import write_demo_meshes

CLASSES = ("chair", "lamp", "mug")
TRAIN, TEST, SEED = 6, 3, 4
SUPPORT = Path(__file__).resolve().parent.parent / "support"
POINTS = 32
SMALL = ["--points", str(POINTS), "--batch-size", "8", "--lr", "0.01", "--device", "cpu"]
COMMANDS = [
    ["render", "meshes", "--rig", "circle:3", "--image-size", "16", "--points", "48"],
    [
        *("train-teacher", "--teacher", "golden_networks:teacher", "--width", "8", "--freeze"),
        *("--folds", "2", "--epochs", "60", "--lr", "0.05", "--device", "cpu"),
    ],
    [
        *("distill", "--student", "pointnext", "--student-option", "width=1", *SMALL),
        *("--epochs", "60"),
    ],
    [
        *("distill", "--student", "golden_networks:student", "--objective", "pointcmt", *SMALL),
        *("--epochs", "30", "--generator-epochs", "3", "--generator-points", "16"),
    ],
    ["export", "pointnext.pt", "--format", "safetensors", "--no-compiled"],
    ["export", "student-pointcmt.pt", "--format", "onnx", "--no-compiled"],
]
MODELS = ("pointnext.pt", "pointnext.safetensors", "student-pointcmt.pt", "student-pointcmt.onnx")
CHECKPOINTS = ("teacher.pt", "pointnext.pt", "student-pointcmt.pt")


def main(target: Path) -> None:
    """Run the commands in a folder of their own, and keep the files alone."""
    if target.exists():
        sys.exit(f"{target} is there: the files of a format version are made once")
    sys.path.insert(0, str(SUPPORT))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_demo_meshes(work / "all", TRAIN, TEST, SEED)
        for name in CLASSES:
            shutil.move(work / "all" / name, work / "meshes" / name)
        for words in COMMANDS:
            pointcmt(work, *words)
        (work / "expected.json").write_text(json.dumps(expected(work), indent=1) + "\n")
        target.mkdir()
        for path in sorted(work.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                shutil.copy(path, target)


def pointcmt(work: Path, *words: str) -> str:
    """What a command writes on standard output."""
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "pointcmt_cli", *words]
    done = subprocess.run(line, cwd=work, env=environment, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def expected(work: Path) -> dict[str, Any]:
    """What a reader must find, read here by plain h5py where the file is HDF5."""
    with h5py.File(work / "views.h5") as views, h5py.File(work / "features.h5") as features:
        points = views["points"][:]
        splits = [str(split) for split in views["split"].asstr()[:]]
        data = {
            "classes": [str(name) for name in views.attrs["class_names"]],
            "names": [str(name) for name in views["name"].asstr()[:]],
            "labels": views["label"][:].tolist(),
            "rows": {each: [k for k, s in enumerate(splits) if s == each] for each in set(splits)},
            "digest": str(views.attrs["digest"]),
            "points_sum": points.sum(axis=(1, 2), dtype=np.float64).tolist(),
            "views_sum": views["views"][:].sum(axis=(1, 2, 3), dtype=np.int64).tolist(),
            "features_digest": str(features.attrs["digest"]),
            "teacher_logits": features["teacher_logits"][:].tolist(),
            "oof_logits": features["oof_logits"][:].tolist(),
            "teacher_features_sum": features["teacher_features"][:].sum(1, np.float64).tolist(),
            "encoder_features_sum": features["encoder_features"][:].sum(1, np.float64).tolist(),
        }
    models = {}
    for name in MODELS:
        model = pointcmt_cli.load(work / name)
        models[name] = {
            "points": model.points,
            "probabilities": model(points[:, :POINTS]).probabilities.astype(float).tolist(),
        }
    scores = {}
    for name in CHECKPOINTS:
        (run,) = json.loads(pointcmt(work, "evaluate", name, "--json"))["runs"]
        scores[name] = {
            split: {key: found["single"][key] for key in ("count", "oa", "macc", "confusion")}
            for split, found in run["scores"].items()
        }
    return {"data": data, "models": models, "scores": scores}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
