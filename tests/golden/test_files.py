"""Files of every format version are read for ever: those in format1/ were written once (make.py) and never change."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import pointcmt_cli
from pointcmt_cli.config import DistillConfig, EvaluateConfig, TeacherConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.data.store.views import ShapeSet, read_images, read_index, read_shapes
from pointcmt_cli.engine.evaluation.evaluate import evaluate
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.records import Note, Records, Result

GOLDEN = Path(__file__).parent / "format1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
DATA = EXPECTED["data"]
POINTS = 32
SPLITS = {"train": "train", "val": "held-out", "test": "test"}
"""What the files say, and what a reader calls it."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A copy of the files, as a folder that someone worked in."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "work"))


def last(records: Records) -> dict[str, Any]:
    *_, result = records
    assert isinstance(result, Result)
    return dict(result.values)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def check_shapes(shapes: ShapeSet) -> None:
    assert shapes.classes == DATA["classes"]
    assert shapes.names == DATA["names"]
    assert shapes.labels.tolist() == DATA["labels"]
    for said, split in SPLITS.items():
        assert shapes.rows(split).tolist() == DATA["rows"][said]
    same(shapes.points.sum(axis=(1, 2), dtype=np.float64), DATA["points_sum"])


def test_the_files_are_of_format_1() -> None:
    """Written anew by a later version, they would test nothing."""
    for name in ("views.h5", "features.h5"):
        with h5py.File(GOLDEN / name) as file:
            assert file.attrs["version"] == 1
            assert set(file["split"].asstr()[:]) == {"train", "val", "test"}
    for path in GOLDEN.glob("*.pt"):
        assert torch.load(path, weights_only=True)["version"] == 1
    assert sorted(path.stem for path in GOLDEN.glob("*.pt")) == [
        "generator",
        "pointnext",
        "student-pointcmt",
        "teacher",
    ]


def test_views_are_read() -> None:
    path = GOLDEN / "views.h5"
    shapes = read_shapes(path)
    check_shapes(shapes)
    assert shapes.digest == DATA["digest"]
    images = read_images(path, range(len(shapes.names)))
    assert images.shape == (27, 3, 16, 16)
    assert images.sum(axis=(1, 2, 3), dtype=np.int64).tolist() == DATA["views_sum"]
    index = read_index(path)
    assert index.names == DATA["names"]
    assert all(len(each) == 64 for each in index.source_hashes)
    assert index.attributes["rig"] == "circle:3@30"


def test_features_are_read() -> None:
    features = read_features(GOLDEN / "features.h5")
    check_shapes(features.shapes)
    assert features.shapes.digest == DATA["features_digest"]
    assert features.shapes.attributes["views_digest"] == DATA["digest"]
    same(features.teacher_logits, DATA["teacher_logits"])
    same(features.oof_logits, DATA["oof_logits"])
    same(features.teacher_features.sum(axis=1), DATA["teacher_features_sum"])
    same(features.encoder_features.sum(axis=1), DATA["encoder_features_sum"])


@pytest.mark.parametrize("name", list(EXPECTED["models"]))
def test_models_give_their_probabilities(name: str) -> None:
    model = pointcmt_cli.load(GOLDEN / name)
    assert model.points == EXPECTED["models"][name]["points"] == POINTS
    assert model.class_names == DATA["classes"]
    clouds = read_shapes(GOLDEN / "views.h5").points[:, :POINTS]
    same(model(clouds).probabilities, EXPECTED["models"][name]["probabilities"])


@pytest.mark.parametrize("name", list(EXPECTED["scores"]))
def test_checkpoints_get_their_scores(work: Path, name: str) -> None:
    document = last(evaluate(EvaluateConfig((work / name,), work=work, device="cpu")))
    (run,) = document["runs"]
    for split, expected in EXPECTED["scores"][name].items():
        found = run["scores"][split]["single"]
        assert found["confusion"] == expected["confusion"]
        for key in ("count", "oa", "macc"):
            assert found[key] == pytest.approx(expected[key])
    assert run["trained_on_this_data"]
    assert run["training"]["teacher"]  # the history beside teacher.pt, found by its hash
    counts = {split: len(rows) for split, rows in DATA["rows"].items()}
    counts["held_out"] = counts.pop("val")
    assert document["data"]["counts"] == counts


def test_the_stages_go_on_from_them(work: Path) -> None:
    """A student and its generator from features.h5, a teacher from views.h5, in a folder of format 1."""
    settings: dict[str, Any] = {"points": POINTS, "batch_size": 8, "epochs": 1, "device": "cpu"}
    config = DistillConfig(
        student="golden_networks:student",
        objective="pointcmt",
        work=work,
        out=work / "new.pt",
        generator_epochs=3,
        generator_points=16,
        **settings,
    )
    *records, result = distill(config)
    notes = [each.text for each in records if isinstance(each, Note)]
    assert any("generator.pt matches: held-out EMD 0." in text for text in notes), notes
    assert isinstance(result, Result)
    assert pointcmt_cli.load(work / "new.pt").class_names == DATA["classes"]
    teacher = TeacherConfig(
        work=work,
        out=work / "new-teacher.pt",
        features=work / "new-features.h5",
        teacher="golden_networks:teacher",
        freeze=True,
        width=8,
        epochs=1,
        folds=0,
        device="cpu",
    )
    assert last(train_teacher(teacher))["frozen"]
    check_shapes(read_features(work / "new-features.h5").shapes)
