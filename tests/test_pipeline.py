"""The five commands as a user types them, in one folder; and a kill -9 in each, then the same line again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from pointcmt_cli.data.demo_shapes import write_demo_meshes
from processes import running, wait_for

SMALL_TEACHER = ["--teacher", "mvcnn", "--epochs", "3"]
SMALL_STUDENT = [
    "--student",
    "pointnet",
    "--epochs",
    "2",
    "--points",
    "128",
    "--generator-epochs",
    "2",
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pointcmt_cli", *words]


def pointcmt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"pointcmt {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "meshes"
    write_demo_meshes(folder, 4, 2, seed=1)
    return folder


LINES = [
    ["render", "MESHES", "--rig", "orthogonal6", "--image-size", "48", "--points", "256"],
    ["train-teacher", *SMALL_TEACHER],
    ["distill", *SMALL_STUDENT],
]
OUTPUTS = ["views.h5", "teacher.pt", "pointnet.pt"]


def lines(meshes: Path) -> list[list[str]]:
    return [[str(meshes) if word == "MESHES" else word for word in line] for line in LINES]


@pytest.fixture(scope="module")
def stages(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders in which the first 0, 1, 2 and 3 commands have run."""
    folders = [tmp_path_factory.mktemp("work")]
    for line in lines(meshes):
        folder = tmp_path_factory.mktemp("work")
        shutil.copytree(folders[-1], folder, dirs_exist_ok=True)
        pointcmt(folder, *line)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def finished(stages: list[Path]) -> Path:
    """A folder in which the first three commands have run."""
    return stages[-1]


@pytest.mark.slow
def test_five_commands_in_one_folder(finished: Path, meshes: Path) -> None:
    for name in ("views.h5", "teacher.pt", "features.h5", "pointnet.pt"):
        assert (finished / name).is_file(), name
    found = json.loads(pointcmt(finished, "evaluate", "pointnet.pt", "--json").stdout)["runs"][0]
    values = torch.load(finished / "pointnet.pt", weights_only=True)
    assert found["scores"]["test"]["single"]["oa"] == pytest.approx(values["metrics"]["test"]["oa"])
    pointcmt(finished, "export", "pointnet.pt", "--format", "onnx", "--no-compiled")
    pointcmt(finished, "export", "pointnet.pt", "--format", "pt2", "--no-compiled")
    assert (finished / "pointnet.onnx").is_file()
    assert (finished / "pointnet.pt2").is_file()
    file = next(meshes.glob("mug/test/*.off"))
    answer = json.loads(pointcmt(finished, "predict", "pointnet.pt", str(file), "--json").stdout)
    assert "mug" in json.dumps(answer)


@pytest.mark.slow
def test_other_objectives_stand_beside_the_default_one(finished: Path) -> None:
    pointcmt(finished, "distill", *SMALL_STUDENT, "--objective", "none")
    words = ["--objective", "pointcmt", "--generator-points", "64", "--generator-layers", "3"]
    done = pointcmt(finished, "distill", *SMALL_STUDENT, *words)
    assert "generator: held-out EMD" in done.stderr
    for name in ("pointnet-none.pt", "pointnet-pointcmt.pt", "generator.pt"):
        assert (finished / name).is_file(), name


def states(folder: Path) -> int:
    """How much a stage has left behind so far, finished or not."""
    return sum(1 for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2], ids=[line[0] for line in LINES])
def test_kill_9_then_the_same_line_again(
    stages: list[Path], meshes: Path, tmp_path: Path, stage: int
) -> None:
    shutil.copytree(stages[stage], tmp_path, dirs_exist_ok=True)
    before = states(tmp_path)
    line = lines(meshes)[stage]
    said = tmp_path.with_name(f"{tmp_path.name}.said")
    with running(command(*line), said, cwd=tmp_path, env=ENVIRONMENT) as started:
        wait_for(lambda: states(tmp_path) > before or started.process.poll() is not None)
    pointcmt(tmp_path, *line)
    assert same(stages[-1] / OUTPUTS[stage], tmp_path / OUTPUTS[stage])


def same(left: Path, right: Path) -> bool:
    if left.suffix == ".h5":
        with h5py.File(left) as one, h5py.File(right) as two:
            return set(one) == set(two) and all(
                np.array_equal(one[key][()], two[key][()]) for key in one
            )
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in (left, right)]
    return weights[0].keys() == weights[1].keys() and all(
        torch.equal(weights[0][key], weights[1][key]) for key in weights[0]
    )
