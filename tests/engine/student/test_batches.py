"""Batches of labelled and unlabelled shapes: their shares, who is seen how often, and the same steps for everybody."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.clouds.strong import hole, jitter, strengthen, turn
from pointcmt_cli.data.store.features import Features, read_features
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.records import Note, Progress, Result
from toy_distill import run, write_toy_features

PLAIN = SimpleNamespace()
MIXED = SimpleNamespace(uses_unlabelled=True)
BOTH = SimpleNamespace(uses_unlabelled=True, uses_average=True)
CONFIG = DistillConfig(points=64, batch_size=8, labelled_share=0.25)


def hide(path: Path, keep: int = 2) -> None:
    """Take the label of all train shapes but the first `keep` of each class out of a features.h5."""
    import h5py

    with h5py.File(path, "r+") as file:
        splits, labels = file["split"].asstr()[:].astype(object), file["label"][:]
        for label in range(3):
            rows = np.flatnonzero((splits == "train") & (labels == label))[keep:]
            splits[rows], labels[rows] = "unlabelled", -1
        file["split"][:], file["label"][:] = splits, labels


@pytest.fixture
def features(tmp_path: Path) -> Features:
    write_toy_features(tmp_path / "features.h5")
    hide(tmp_path / "features.h5")
    return read_features(tmp_path / "features.h5")


def data(features: Features, objective: object) -> Resident:
    return Resident(features, torch.device("cpu"), objective)


def test_a_batch_has_its_share_of_labels_and_an_epoch_shows_every_shape(features: Features) -> None:
    unlabelled = len(features.shapes.rows("unlabelled"))
    resident = data(features, MIXED)
    assert resident.counts == (6, unlabelled, unlabelled)
    seen = []
    for rows, points in resident.batches(0, CONFIG):
        assert len(rows) == 8
        assert points.shape == (8, 64, 3)
        assert resident.labelled[rows].sum() == 2
        seen += rows.tolist()
    assert len(seen) == 8 * resident.steps(CONFIG)
    times = np.bincount(seen, minlength=6 + unlabelled)
    assert times[6:].min() >= 1
    assert times[6:].max() <= 2  # the last batch is filled up
    assert times[:6].max() - times[:6].min() <= 1
    assert (resident.labels[6:] == -1).all()
    assert (resident.labels[:6] >= 0).all()


def test_every_objective_takes_as_many_steps(features: Features) -> None:
    plain, mixed = data(features, PLAIN), data(features, MIXED)
    assert plain.steps(CONFIG) == mixed.steps(CONFIG) == -(-plain.counts[2] // 6)
    batches = list(plain.batches(0, CONFIG))
    assert len(batches) == plain.steps(CONFIG)
    for rows, _ in batches:
        assert len(rows) == 8
        assert plain.labelled[rows].all()
    assert not plain.mixed


def test_many_labels_and_few_others_are_a_pass_over_the_labels(tmp_path: Path) -> None:
    write_toy_features(tmp_path / "features.h5")
    hide(tmp_path / "features.h5", keep=12)
    resident = data(read_features(tmp_path / "features.h5"), MIXED)
    assert resident.steps(CONFIG) == resident.counts[0] // 8


def test_the_average_sees_a_gentler_twin(features: Features) -> None:
    resident = data(features, BOTH)
    for rows, points in resident.batches(0, CONFIG):
        assert points.shape == (16, 64, 3)
        assert not torch.equal(points[: len(rows)], points[len(rows) :])


def test_strong_augmentation_keeps_number_and_size() -> None:
    points = torch.randn(5, 200, 3)
    numbers = torch.Generator().manual_seed(0)
    turned = turn(points, numbers)
    torch.testing.assert_close(turned.norm(dim=2), points.norm(dim=2))
    assert not torch.allclose(turned, points, atol=0.01)
    holed = hole(points, numbers)
    for before, after in zip(points, holed, strict=True):
        kept = torch.unique(after, dim=0)
        assert 200 * 2 / 3 - 1 <= len(kept) <= 200
        assert {tuple(row) for row in kept.tolist()} <= {tuple(row) for row in before.tolist()}
    assert 0 < (jitter(points, numbers) - points).abs().max() <= 0.05 + 1e-6
    assert strengthen(points, numbers).shape == points.shape


@pytest.mark.parametrize(
    "objective", ["none", "soft-labels", "self-training", "contrast", "pointcmt"]
)
def test_every_objective_learns_from_few_labels(tmp_path: Path, objective: str) -> None:
    write_toy_features(tmp_path / "features.h5")
    hide(tmp_path / "features.h5")
    config = DistillConfig(
        student="pointnet",
        objective=objective,
        work=tmp_path,
        points=64,
        epochs=3,
        batch_size=8,
        generator_epochs=1,
        generator_points=64,
        device="cpu",
    )
    result, records = run(config)
    said = [each.text for each in records if isinstance(each, Note)]
    unlabelled = len(read_features(tmp_path / "features.h5").shapes.rows("unlabelled"))
    idle = ", which this objective does not use," if objective == "none" else ""
    assert any(
        f"learns from 6 labelled and {unlabelled} unlabelled shapes{idle} of 3 classes" in each
        for each in said
    )
    assert result["test"]["oa"] > 0.3
    assert checkpoint.load(Path(result["checkpoint"]))["provenance"]["counts"] == {
        "train": 6,
        "held-out": len(read_features(tmp_path / "features.h5").shapes.rows("held-out")),
        "test": 18,
        "unlabelled": unlabelled,
    }


def test_an_interrupted_self_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    write_toy_features(tmp_path / "features.h5")
    hide(tmp_path / "features.h5")
    config = DistillConfig(
        student="pointnet",
        objective="self-training",
        work=tmp_path,
        points=64,
        epochs=4,
        batch_size=8,
        device="cpu",
    )
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    run(replace(config, out=whole))
    for record in distill(replace(config, out=parts)):
        if isinstance(record, Progress) and record.done == 2:
            break
    run(replace(config, out=parts))
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (whole, parts)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_contrast_survives_shapes_that_are_all_alike(tmp_path: Path) -> None:
    write_toy_features(tmp_path / "features.h5")
    import h5py

    with h5py.File(tmp_path / "features.h5", "r+") as file:
        file["encoder_features"][:] = 1.0
    config = DistillConfig(student="pointnet", work=tmp_path, points=64, epochs=1, device="cpu")
    *_, last = distill(config)
    assert isinstance(last, Result)


def test_a_share_out_of_range_is_refused() -> None:
    from typer.testing import CliRunner

    from pointcmt_cli.cli import app

    done = CliRunner().invoke(app, ["distill", "--labelled-share", "1.5"])
    assert done.exit_code == 2
    assert not isinstance(done.exception, PointCMTError)
