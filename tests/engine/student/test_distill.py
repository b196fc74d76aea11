"""The student's stage: learns, resumes to the same weights, notices changed inputs, never uses a stale generator."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from pointcmt_cli.cli import app
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.evaluation.document import training
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.student.provenance import run_key
from pointcmt_cli.engine.student.step import Resident
from pointcmt_cli.engine.student.train_generator import generator_key
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.trained import open_trained
from pointcmt_cli.errors import DataError, PointCMTError, StaleError, UsageError
from pointcmt_cli.records import Note, Progress, Record
from toy_distill import CLASSES, run, write_toy_features


@pytest.fixture
def config(tmp_path: Path) -> DistillConfig:
    write_toy_features(tmp_path / "features.h5")
    return DistillConfig(
        student="toy_networks:tiny",
        student_options={"dropout": 0.1},
        objective="none",
        work=tmp_path,
        points=64,
        epochs=6,
        batch_size=8,
        lr=1e-2,
        generator_epochs=2,
    )


def weights(path: Path) -> dict[str, Tensor]:
    return checkpoint.load(path)["state_dict"]


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_a_student_learns_and_is_scored_apart(config: DistillConfig, tmp_path: Path) -> None:
    config = replace(config, epochs=30)
    result, records = run(config)
    assert result["checkpoint"] == str(tmp_path / "tiny-none.pt")
    assert result["test"]["oa"] > 0.7
    assert result["test"]["count"] == 18
    assert result["held_out"]["count"] > 0
    assert result["selected_epoch"] == config.epochs
    assert [each.done for each in records if isinstance(each, Progress)] == list(range(1, 31))
    rows = (tmp_path / "tiny-none.metrics.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,cross_entropy,loss,train_accuracy")
    assert len(rows) == 31
    assert json.loads((tmp_path / "tiny-none.config.json").read_text())["epochs"] == 30
    assert not list(tmp_path.glob(".*"))


def test_auto_and_what_it_comes_to_are_one_run(config: DistillConfig, tmp_path: Path) -> None:
    short = replace(config, epochs=2, device="auto", precision="auto")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run(short)
    recorded = json.loads((tmp_path / "tiny-none.config.json").read_text())
    assert (recorded["device"], recorded["precision"]) == (
        device,
        "bf16" if device == "cuda" else "fp32",
    )
    _, records = run(replace(short, device=device, precision=recorded["precision"]))
    assert "is up to date" in str(records[0])


def test_same_seed_same_bytes_other_seed_other_bytes(config: DistillConfig, tmp_path: Path) -> None:
    run(config)
    run(replace(config, out=tmp_path / "again.pt"))
    run(replace(config, out=tmp_path / "other.pt", seed=1))
    first = weights(tmp_path / "tiny-none.pt")
    assert same(first, weights(tmp_path / "again.pt"))
    assert not same(first, weights(tmp_path / "other.pt"))


def test_a_finished_run_is_kept_and_a_changed_input_is_noticed(
    config: DistillConfig, tmp_path: Path
) -> None:
    first, _ = run(config)
    again, records = run(config)
    assert again == first
    assert "up to date" in notes(records)
    write_toy_features(tmp_path / "features.h5", seed=5)
    _, records = run(config)
    assert "up to date" not in notes(records)


def notes(records: list[Record]) -> str:
    return "\n".join(record.text for record in records if isinstance(record, Note))


def test_an_interrupted_run_ends_in_the_same_weights(config: DistillConfig, tmp_path: Path) -> None:
    run(replace(config, out=tmp_path / "whole.pt"))
    out = tmp_path / "parts.pt"
    for record in distill(replace(config, out=out)):
        if isinstance(record, Progress) and record.done == 3:
            break
    assert not out.exists()
    _, records = run(replace(config, out=out))
    assert "going on after epoch" in notes(records)
    assert same(weights(tmp_path / "whole.pt"), weights(out))


def test_a_resume_state_of_other_settings_is_not_used(
    config: DistillConfig, tmp_path: Path
) -> None:
    for record in distill(config):
        if isinstance(record, Progress):
            break
    _, records = run(replace(config, lr=1e-3))
    assert "going on" not in notes(records)


KILLED = """
import os, signal, sys
from pathlib import Path
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.records import Progress
config = DistillConfig(**eval(sys.argv[1]))
for record in distill(config):
    if isinstance(record, Progress) and record.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_sigkill_in_the_middle_ends_in_the_same_weights(tmp_path: Path) -> None:
    write_toy_features(tmp_path / "features.h5")
    given = {"student": "pointnet", "objective": "none", "device": "cpu", "points": 64}
    given |= {"epochs": 6, "batch_size": 8, "work": tmp_path, "out": tmp_path / "killed.pt"}
    words = repr(given).replace("PosixPath", "Path")
    done = subprocess.run([sys.executable, "-c", KILLED, words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    killed, whole = tmp_path / "killed.pt", tmp_path / "whole.pt"
    assert not killed.exists()
    _, records = run(DistillConfig(**given))
    assert re.search(r"going on after epoch [123] of 6", notes(records))
    run(DistillConfig(**given | {"out": whole}))
    assert same(weights(killed), weights(whole))


def test_held_out_selection_keeps_the_best_epoch(config: DistillConfig, tmp_path: Path) -> None:
    result, _ = run(replace(config, select="held-out", epochs=30))
    rows = (tmp_path / "tiny-none.metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("held_out_oa")
    cells = [row.split(",") for row in rows[1:]]
    values = {int(row[0]): float(row[column]) for row in cells if row[column]}
    best = max(values.values())
    assert result["held_out"]["oa"] == pytest.approx(best)
    assert result["selected_epoch"] == min(epoch for epoch in values if values[epoch] == best)


def test_the_generator_is_trained_once_and_again_when_its_input_changed(
    config: DistillConfig, tmp_path: Path
) -> None:
    taught = replace(
        config, objective="pointcmt", objective_options={"recipe": "reference"}, epochs=1
    )
    result, records = run(taught)
    assert result["checkpoint"] == str(tmp_path / "tiny-pointcmt.pt")
    assert "generator: held-out EMD" in notes(records)

    def curves() -> set[str]:
        trained = open_trained(tmp_path / "tiny-pointcmt.pt", tmp_path, "backbones")
        return set(training(trained, tmp_path / "features.h5", True, False))

    assert curves() == {"student", "generator"}
    generator = checkpoint.load(tmp_path / "generator.pt")
    made = {**generator["provenance"], "run_key": "another"}
    checkpoint.save(tmp_path / "generator.pt", {**generator, "provenance": made})
    assert curves() == {
        "student"
    }  # the curves beside it are of a generator that this student never had
    checkpoint.save(tmp_path / "generator.pt", generator)
    _, records = run(replace(taught, epochs=2, out=tmp_path / "longer.pt"))
    assert "generator.pt matches: held-out EMD" in notes(records)
    write_toy_features(tmp_path / "features.h5", seed=5)
    _, records = run(taught)
    assert "was made from other features or settings: retraining it" in notes(records)


def test_a_non_finite_loss_names_the_step(config: DistillConfig) -> None:
    with pytest.raises(
        PointCMTError, match=r"the loss is nan at epoch 1, step 2; try a lower --lr"
    ):
        run(replace(config, objective="toy_networks:explodes"))


def test_too_few_points_and_no_file_are_one_line(config: DistillConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes at least 4 points, got 2: raise --points"):
        run(replace(config, points=2))
    with pytest.raises(
        DataError, match=r"features\.h5: no such file; `pointcmt train-teacher` makes it"
    ):
        run(replace(config, work=tmp_path / "empty"))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="this torch sees no CUDA device; use --device cpu"):
            run(replace(config, device="cuda"))


def test_the_checkpoint_rebuilds_the_model(config: DistillConfig, tmp_path: Path) -> None:
    run(config)
    path = tmp_path / "tiny-none.pt"
    values = torch.load(path, weights_only=True)
    assert values["class_names"] == CLASSES
    assert values["options"] == {"dropout": 0.1}
    model = checkpoint.rebuild(checkpoint.load(path), path)
    points = torch.randn(3, 50, 3)
    assert model(points).shape == (3, 3)
    assert torch.allclose(model(points)[1:2], model(points[1:2]), atol=1e-6)


def test_a_changed_neighbour_is_noticed(config: DistillConfig, tmp_path: Path) -> None:
    run(config)
    with h5py.File(tmp_path / "views.h5", "w") as file:
        file.attrs.update(format="pointcmt-views", version=1, digest="rendered again")
    stale = (
        "views.h5 is not the one that .*features.h5 was made from; `pointcmt train-teacher` makes"
    )
    with pytest.raises(StaleError, match=stale):
        run(config)
    _, records = run(replace(config, features=tmp_path / "features.h5"))
    assert "views.h5 is not the one that" in notes(records)


def test_a_changed_teacher_is_noticed(config: DistillConfig, tmp_path: Path) -> None:
    checkpoint.save(
        tmp_path / "teacher.pt",
        {
            "format": checkpoint.FORMAT,
            "version": 1,
            "provenance": {"kind": "teacher", "digest": "x"},
        },
    )
    with pytest.raises(
        StaleError, match=r"teacher\.pt is not the one that .*features\.h5 was made from"
    ):
        run(config)


def test_no_stage_replaces_the_file_of_another(config: DistillConfig, tmp_path: Path) -> None:
    teacher = tmp_path / "precious.pt"
    checkpoint.save(
        teacher, {"format": checkpoint.FORMAT, "version": 1, "provenance": {"kind": "teacher"}}
    )
    before = teacher.read_bytes()
    with pytest.raises(
        DataError, match=r"precious\.pt holds a teacher, not a student: name another file"
    ):
        run(replace(config, out=teacher))
    with pytest.raises(DataError, match=r"precious\.pt holds a teacher, not a generator"):
        run(replace(config, objective="pointcmt", generator=teacher))
    assert teacher.read_bytes() == before
    text = tmp_path / "notes.pt"
    text.write_text("mine")
    with pytest.raises(
        DataError, match="a student would replace it: name another file with --out, or"
    ):
        run(replace(config, out=text))
    assert text.read_text() == "mine"


def test_a_finished_student_of_other_settings_is_not_replaced(
    config: DistillConfig, tmp_path: Path
) -> None:
    out = tmp_path / "tiny-none.pt"
    run(replace(config, epochs=2))
    before = out.read_bytes()
    said = r"other settings \(epochs 2 -> 1\): name another file with --out, or .* with --force"
    with pytest.raises(DataError, match=said):
        run(replace(config, epochs=1))
    with pytest.raises(DataError, match=r"\(--init None -> .*tiny-none\.pt\)"):
        run(replace(config, epochs=2, init=out))
    assert out.read_bytes() == before
    run(replace(config, epochs=1, force=True))
    assert checkpoint.load(out)["config"]["epochs"] == 1


def test_a_named_generator_of_other_settings_is_not_replaced(
    config: DistillConfig, tmp_path: Path
) -> None:
    named = replace(config, objective="pointcmt", epochs=1, generator=tmp_path / "mine.pt")
    run(named)
    before = (tmp_path / "mine.pt").read_bytes()
    with pytest.raises(
        DataError, match=r"mine\.pt is .*\(--generator-epochs 2 -> 1\).*--generator,"
    ):
        run(replace(named, generator_epochs=1, out=tmp_path / "other.pt"))
    assert (tmp_path / "mine.pt").read_bytes() == before


def test_what_is_trained_anew_or_given_up_is_said(config: DistillConfig, tmp_path: Path) -> None:
    run(replace(config, epochs=2))
    write_toy_features(tmp_path / "features.h5", seed=1)
    _, records = run(replace(config, epochs=2))
    assert "; changed: the features" in notes(records)
    out = tmp_path / "other.pt"
    for record in distill(replace(config, out=out)):
        if isinstance(record, Progress):
            break
    _, records = run(replace(config, out=out, epochs=2))
    assert "discarding the interrupted run of" in notes(records)


def test_more_points_than_stored_is_said_and_recorded(
    config: DistillConfig, tmp_path: Path
) -> None:
    _, records = run(replace(config, points=5000, epochs=1))
    assert "stores 96 points per shape: training on 96" in notes(records)
    values = checkpoint.load(tmp_path / "tiny-none.pt")
    assert (values["config"]["points"], values["provenance"]["up"]) == (96, "y")


def test_two_runs_of_one_output_are_refused(config: DistillConfig) -> None:
    first = distill(config)
    while not isinstance(next(first), Progress):
        pass
    with pytest.raises(DataError, match=r"another run is writing .*tiny-none\.pt"):
        run(config)
    first.close()


def test_features_with_nan_are_refused(config: DistillConfig, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "a") as file:
        file["points"][3, 0] = float("nan")
    with pytest.raises(DataError, match="points holds NaN or infinity; make the file again"):
        run(config)


@pytest.mark.parametrize("content", [b"", b"text", {"a": 1}, {"format": "pointcmt-checkpoint"}])
def test_what_is_no_checkpoint_is_one_line(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DataError, match=r"x\.pt is not a pointcmt checkpoint \([^)]*\)$"):
        checkpoint.load(path)


def test_weights_of_another_shape_are_listed(config: DistillConfig, tmp_path: Path) -> None:
    run(replace(config, epochs=1))
    values = checkpoint.load(tmp_path / "tiny-none.pt")
    values["state_dict"]["head.bias"] = torch.zeros(7)
    with pytest.raises(DataError, match=r"missing none, unexpected \['head\.bias'\]"):
        checkpoint.rebuild(values, tmp_path / "tiny-none.pt")


@pytest.mark.parametrize("objective", ["none", "pointcmt"])
def test_a_runs_own_config_trains_the_same_weights_again(
    objective: str, config: DistillConfig, tmp_path: Path
) -> None:
    """Everything that is not at its default, an option that shows in no help among it, comes from the file."""
    settings: dict[str, Any] = {"epochs": 3, "seed": 4, "generator_lr": 2e-3, "weight_decay": 0.1}
    run(replace(config, objective=objective, out=tmp_path / "first.pt", **settings))
    line = ["distill", "--config", str(tmp_path / "first.config.json")]
    for out, more in (("again.pt", []), ("other.pt", ["--seed", "5"])):
        done = CliRunner().invoke(app, [*line, "--out", str(tmp_path / out), *more])
        assert done.exit_code == 0, done.output
    first = weights(tmp_path / "first.pt")
    assert same(first, weights(tmp_path / "again.pt"))
    assert not same(first, weights(tmp_path / "other.pt"))


def test_repeats_that_fill_a_cloud_up_are_not_trained_on(config: DistillConfig) -> None:
    """Of 96 stored points 40 are the source's own: training draws what scoring takes, under a key of its own."""
    features = read_features(config.work / "features.h5")
    device = torch.device("cpu")
    before = run_key(config, features, device), generator_key(config, features, device)
    features.shapes.points[:, 40:80] = features.shapes.points[:, :40]
    features.shapes.points[:, 80:] = features.shapes.points[:, 20:36]
    data = Resident(features, device, features.shapes.rows("train"))
    for count in (32, 40, 64):
        for _, points in data.batches(0, replace(config, points=count)):
            assert points.shape[1] == count
            different = [len(np.unique(cloud, axis=0)) for cloud in points.numpy()]
            assert different == [min(count, 40)] * len(points)
    after = run_key(config, features, device), generator_key(config, features, device)
    assert not set(before) & set(after)
