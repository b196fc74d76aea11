"""Few labels, from `render` to `info`: classes that a split lacks are named, and unlabelled shapes are in no way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import toy_report
from pointcmt_cli.config import (
    DistillConfig,
    EvaluateConfig,
    ExportConfig,
    InfoConfig,
    TeacherConfig,
)
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.evaluation.evaluate import evaluate
from pointcmt_cli.engine.export.export import export
from pointcmt_cli.engine.info.info import info
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.engine.report.report import report
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.errors import DataError
from pointcmt_cli.records import Note, Record, Result
from pointcmt_cli.splits import NO_LABEL, TEST, TRAIN, UNLABELLED, gaps
from toy_meshes import config, write_mesh, write_meshes

LACKS = (
    "no train shapes of 1 of 3 classes (table): nobody learns them; "
    "no test shapes of 1 of 3 classes (lamp): no test score counts them"
)


def outcome(records: Iterable[Record]) -> tuple[dict[str, Any], list[str]]:
    """The result, and every warning."""
    *before, last = records
    assert isinstance(last, Result)
    return dict(last.values), [
        each.text for each in before if isinstance(each, Note) and each.warning
    ]


def take_labels_away(work: Path, count: int) -> None:
    """Make the last `count` train shapes of `write_data` unlabelled, in both files."""
    for path in (work / "views.h5", work / "features.h5"):
        with h5py.File(path, "a") as file:
            train = np.flatnonzero(file["split"].asstr()[:] == TRAIN)[-count:]
            file["split"][train] = UNLABELLED
            file["label"][train] = NO_LABEL


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """Of lamps no test shape, of tables no train shape, and some of no class."""
    root = write_meshes(tmp_path / "meshes", 4)
    (root / "lamp/test/lamp_0003.off").unlink()
    for path in (root / "table/train").iterdir():
        path.unlink()
    for number in range(3):
        write_mesh(root / f"unlabelled/{number}.off", 700 + number)
    return root


def test_every_command_that_meets_a_gap_says_it(meshes: Path) -> None:
    asked = config(meshes, held_out_fraction=0.0)
    _, said = outcome(render(asked))
    assert said == [LACKS]
    work = meshes.parent
    teacher = TeacherConfig(
        work=work, teacher="toy_student:tiny_teacher", device="cpu", epochs=1, batch_size=4, folds=2
    )
    result, said = outcome(train_teacher(teacher))
    assert LACKS in said
    features = read_features(work / "features.h5")
    assert features.shapes.counts() == {TRAIN: 6, "held-out": 0, TEST: 2, UNLABELLED: 3}
    student = DistillConfig(
        student="toy_networks:tiny", objective="none", work=work, points=32, epochs=1, batch_size=4
    )
    result, said = outcome(distill(student))
    assert LACKS in said
    assert result["test"]["count"] == 2


def test_nothing_scores_the_unlabelled_and_counts_show_them(tmp_path: Path) -> None:
    toy_report.make(tmp_path, ["ball", "box", "rod"])
    asked = EvaluateConfig((Path("first.pt"),), work=tmp_path, device="cpu", corrupt="all")
    before, _ = outcome(evaluate(asked))
    take_labels_away(tmp_path, 8)
    after, said = outcome(report(asked, tmp_path / "out"))
    counts = {"train": 22, "held_out": 30, "test": 30, "unlabelled": 8}
    assert (after["data"]["counts"], said) == (counts, [])
    assert after["runs"][0]["scores"] == before["runs"][0]["scores"]
    assert after["runs"][0]["robustness"] == before["runs"][0]["robustness"]
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "22 train, 30 held-out, 30 test, 8 unlabelled" in page
    told, _ = outcome(info(InfoConfig(tmp_path / "features.h5")))
    assert told["counts"] == {TRAIN: 22, "held-out": 30, TEST: 30, UNLABELLED: 8}
    outcome(export(ExportConfig(tmp_path / "first.pt", work=tmp_path, compiled=False)))
    assert (tmp_path / "first.onnx").exists()


def test_a_file_of_unlabelled_shapes_alone_cannot_be_scored(tmp_path: Path) -> None:
    toy_report.make(tmp_path, ["ball", "box", "rod"])
    for path in (tmp_path / "views.h5", tmp_path / "features.h5"):
        with h5py.File(path, "a") as file:
            file["split"][:], file["label"][:] = UNLABELLED, NO_LABEL
    with pytest.raises(DataError, match="has neither held-out nor test shapes: nothing to score"):
        outcome(evaluate(EvaluateConfig((Path("first.pt"),), work=tmp_path, device="cpu")))
    with pytest.raises(DataError, match="has no shapes to compare with"):
        outcome(export(ExportConfig(tmp_path / "first.pt", work=tmp_path, compiled=False)))


def test_one_that_is_damaged_can_make_a_gap(meshes: Path) -> None:
    (meshes / "chair/test/chair_0003.off").write_text("OFF\n")
    _, said = outcome(render(config(meshes)))
    assert LACKS in said
    assert said[-1].endswith(
        "no test shapes of 2 of 3 classes (chair, lamp): no test score counts them"
    )
    _, said = outcome(render(config(meshes, only=("chair_0000",))))
    assert not any("no test shapes" in each for each in said)


def test_a_whole_split_is_no_list_of_classes_and_no_gap_is_no_line() -> None:
    classes = ["chair", "lamp"]
    assert gaps(classes, [0, 1], [TRAIN, TRAIN]) == "no test shapes"
    assert gaps(classes, [0, 1, 0, 1], [TRAIN, TRAIN, TEST, TEST]) is None
    assert gaps(classes, [-1, -1], [UNLABELLED] * 2) == "no train shapes; no test shapes"
