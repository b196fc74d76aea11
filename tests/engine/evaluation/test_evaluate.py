"""Scores: equal to a slow count and to what `distill` printed; votes done right; every doubt about the data is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import toy_student
from pointcmt_cli.commands.evaluate import evaluate as command
from pointcmt_cli.config import DistillConfig, EvaluateConfig
from pointcmt_cli.data.store.views import read_images, read_shapes
from pointcmt_cli.engine.evaluation.evaluate import evaluate
from pointcmt_cli.engine.evaluation.scoring import vote_points
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.metrics import predict_logits, scores
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Progress, Result
from toy_student import CLASSES, POINTS, save, write_data


def run(work: Path, name: str = "tiny.pt", **options: Any) -> tuple[dict[str, Any], list[str]]:
    """The Result's values and the warnings."""
    config = EvaluateConfig((Path(name),), work=work, device="cpu", **options)
    records = list(evaluate(config))
    assert isinstance(records[-1], Result)
    warned = [each.text for each in records if isinstance(each, Note) and each.warning]
    return dict(records[-1].values), warned


def of_test(document: dict[str, Any]) -> dict[str, Any]:
    """Of the first run."""
    found: dict[str, Any] = document["runs"][0]["scores"]["test"]
    return found


def count_by_hand(guesses: list[int], labels: list[int], classes: int) -> dict[str, Any]:
    """The definitions, one shape at a time."""
    confusion = [[0] * classes for _ in range(classes)]
    for guess, label in zip(guesses, labels, strict=True):
        confusion[label][guess] += 1
    recalls = [row[i] / sum(row) for i, row in enumerate(confusion) if sum(row)]
    right = sum(confusion[i][i] for i in range(classes))
    return {
        "oa": right / len(labels),
        "macc": sum(recalls) / len(recalls),
        "confusion": confusion,
    }


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_scores_are_those_of_a_count_by_hand(classes: int) -> None:
    numbers = np.random.default_rng(classes)
    labels = numbers.integers(0, classes - 1, 300)  # the last class has no shapes
    logits = torch.from_numpy(numbers.normal(size=(300, classes)) + 2 * np.eye(classes)[labels])
    names = [f"c{index}" for index in range(classes)]
    found = scores(logits, labels, names)
    slow = count_by_hand(logits.argmax(1).tolist(), labels.tolist(), classes)
    assert found["confusion"] == slow["confusion"]
    assert found["oa"] == pytest.approx(slow["oa"], abs=1e-6)
    assert found["macc"] == pytest.approx(slow["macc"], abs=1e-6)
    last = found["per_class"][-1]
    assert (last["name"], last["count"], last["recall"], last["f1"]) == (names[-1], 0, None, None)
    assert [row["count"] for row in found["per_class"]] == [sum(row) for row in slow["confusion"]]
    ranks = (logits > logits[range(300), labels][:, None]).sum(1)
    expected = float((ranks < 5).double().mean()) if classes > 5 else None
    assert found["top5"] == pytest.approx(expected)


def test_scores_of_one_class_of_none_and_of_nan() -> None:
    assert scores(torch.zeros(4, 1), np.zeros(4, np.int64), ["all"])["macc"] == 1.0
    with pytest.raises(DataError, match="no shapes to score"):
        scores(torch.zeros(0, 3), np.zeros(0, np.int64), CLASSES)
    with pytest.raises(DataError, match="NaN or infinite logits"):
        scores(torch.full((4, 3), float("nan")), np.zeros(4, np.int64), CLASSES)


def test_logits_are_of_the_first_points_whatever_the_batch_and_modes_are_kept(
    tmp_path: Path,
) -> None:
    model = save(tmp_path / "tiny.pt")
    model.train()
    model.encoder.eval()
    points = toy_student.clouds(10)
    logits = predict_logits(model, points, POINTS, 4, "cpu")
    assert (model.training, model.neck.training, model.encoder.training) == (True, True, False)
    model.eval()
    with torch.no_grad():
        alone = torch.cat([model(torch.from_numpy(each[None, :POINTS])) for each in points])
    torch.testing.assert_close(logits, alone)
    assert predict_logits(model, points, 10_000, 4, "cpu").shape == (10, 3)


def test_evaluate_gives_the_numbers_that_distill_printed(tmp_path: Path) -> None:
    write_data(tmp_path, 60)
    config = DistillConfig(
        student="toy_student:tiny",
        objective="none",
        work=tmp_path,
        points=POINTS,
        epochs=3,
        batch_size=10,
        device="cpu",
        precision="fp32",
    )
    *_, last = distill(config)
    assert isinstance(last, Result)
    document, warned = run(tmp_path, Path(last.values["checkpoint"]).name)
    (result,) = document["runs"]
    for label in ("held_out", "test"):
        single = result["scores"][label]["single"]
        assert single["oa"] == last.values[label]["oa"] == result["recorded"][label]["oa"]
        assert single["macc"] == last.values[label]["macc"]
    assert result["recorded"]["last_epoch"]["oa"] == last.values["last_epoch"]["oa"]
    assert warned == []


def test_votes_are_a_second_score_of_a_fixed_number_of_passes(tmp_path: Path) -> None:
    write_data(tmp_path)
    model = save(tmp_path / "tiny.pt")
    single, _ = run(tmp_path)
    voted, _ = run(tmp_path, votes=4, seed=7)
    assert "voted" not in of_test(single)
    assert of_test(voted)["single"]["confusion"] == of_test(single)["single"]["confusion"]
    shapes = read_shapes(tmp_path / "features.h5")
    rows = shapes.rows("test")
    mean = torch.zeros(len(rows), 3)
    for vote in range(4):
        points = vote_points(shapes.points[rows], vote, 7)
        mean += predict_logits(model, points, POINTS, 1000, "cpu").softmax(1) / 4
    by_hand = count_by_hand(mean.argmax(1).tolist(), shapes.labels[rows].tolist(), 3)
    assert of_test(voted)["voted"]["confusion"] == by_hand["confusion"]


def test_vote_scales_start_at_one_and_never_compound() -> None:
    points = toy_student.clouds(20)
    before = points.copy()
    np.testing.assert_array_equal(vote_points(points, 0, 0), points)
    seen = []
    for vote in range(1, 60):
        ratio = vote_points(points, vote, 0) / points
        assert 0.85 - 1e-6 <= ratio.min() <= ratio.max() <= 1.15 + 1e-6
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-4)
        seen.append(ratio[:, 0])
    assert np.ptp(np.stack(seen), axis=0).min() > 0.2  # every shape, every axis, over the passes
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(vote_points(points, 3, 1), vote_points(points, 3, 1))
    assert (vote_points(points, 3, 1) != vote_points(points, 3, 2)).any()


def test_a_teacher_is_scored_on_its_views(tmp_path: Path) -> None:
    write_data(tmp_path)
    model = save(tmp_path / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    result, _ = run(tmp_path, "teacher.pt")
    rows = read_shapes(tmp_path / "views.h5").rows("test")
    images = torch.from_numpy(read_images(tmp_path / "views.h5", rows))
    with torch.no_grad():
        logits = model((images / 255)[:, :, None].repeat(1, 1, 3, 1, 1))
    assert result["runs"][0]["is_teacher"]
    by_hand = count_by_hand(logits.argmax(1).tolist(), (rows % 3).tolist(), 3)
    assert of_test(result)["single"]["confusion"] == by_hand["confusion"]
    with pytest.raises(DataError, match=r"features\.h5 has no views; a teacher needs views\.h5"):
        run(tmp_path, "teacher.pt", data=tmp_path / "features.h5")
    with pytest.raises(UsageError, match=r"--votes scales points; .* is a teacher"):
        run(tmp_path, "teacher.pt", votes=2)


def test_what_the_reader_must_know_of_the_data_is_said(tmp_path: Path) -> None:
    write_data(tmp_path, variant="PB_T50_RS")
    digest = str(read_shapes(tmp_path / "views.h5").digest)
    save(tmp_path / "same.pt", views_digest=digest, variant="PB_T50_RS")
    save(tmp_path / "other.pt", views_digest="else", variant="OBJ_ONLY", points=200)
    result, warned = run(tmp_path, "same.pt")
    data = result["data"]
    assert (data["variant"], data["layout"], warned) == ("PB_T50_RS", "mesh tree", [])
    assert result["runs"][0]["trained_on_this_data"] is True
    assert data["counts"] == {"train": 30, "held_out": 30, "test": 30}
    result, warned = run(tmp_path, "other.pt")
    assert result["runs"][0]["trained_on_this_data"] is False
    assert result["runs"][0]["points"] == toy_student.STORED
    assert "is not the data that" in warned[0]
    assert "was trained on variant OBJ_ONLY" in warned[1]
    assert "stores 96 points per shape" in warned[2]


def test_absent_classes_and_splits_are_said(tmp_path: Path) -> None:
    write_data(tmp_path, 5)  # train 0 1, held-out 2 3, test 4
    save(tmp_path / "tiny.pt")
    result, warned = run(tmp_path)
    counts = [row["count"] for row in of_test(result)["single"]["per_class"]]
    assert counts == [0, 1, 0]
    assert ("test: no shapes of 2 of 3 classes (ball, rod); they are in no mAcc") in warned
    write_data(tmp_path, 2)  # train 0, held-out 1
    result, warned = run(tmp_path)
    assert "test" not in result["runs"][0]["scores"]
    assert any("has no test shapes" in text for text in warned)


def test_bad_inputs_are_one_line(tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt")
    with pytest.raises(DataError, match=r"no data: needs .*features\.h5 .*train-teacher"):
        run(tmp_path)
    write_data(tmp_path, classes=["ball", "box", "sofa"])
    with pytest.raises(DataError, match="only in the file: sofa; only in the checkpoint: rod"):
        run(tmp_path)
    write_data(tmp_path, classes=["box", "ball", "rod"])
    with pytest.raises(DataError, match="the same names in another order"):
        run(tmp_path)
    points = toy_student.clouds(90)
    points[40, 3, 1] = np.nan
    write_data(tmp_path, points=points)
    with pytest.raises(DataError, match="1 shapes have NaN or infinite points, box/040 first"):
        run(tmp_path)
    with pytest.raises(DataError, match=r"absent\.pt: no such file, and none in .*tiny\.pt"):
        run(tmp_path, "absent.pt")
    values = checkpoint.load(tmp_path / "tiny.pt")
    checkpoint.save(tmp_path / "generator.pt", {**values, "group": "generator"})
    with pytest.raises(DataError, match=r"generator\.pt holds a generator"):
        run(tmp_path, "generator.pt")


def test_progress_counts_shapes_over_all_passes(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    config = EvaluateConfig((tmp_path / "tiny.pt",), work=tmp_path, votes=3, batch_size=20)
    done = [each for each in evaluate(config) if isinstance(each, Progress) and each.task == "test"]
    assert [each.done for each in done] == [20, 30, 50, 60, 80, 90]
    assert {each.total for each in done} == {90}


def test_json_is_alone_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path, variant="OBJ_BG")
    save(tmp_path / "tiny.pt", metrics={"test": {"oa": 0.5, "macc": 0.4, "count": 30}})
    config = EvaluateConfig((tmp_path / "tiny.pt",), work=tmp_path, votes=2)
    command.evaluate.__wrapped__(config, json=True)
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert of_test(document)["voted"]["count"] == 30
    assert document["data"]["variant"] == "OBJ_BG"
    assert "mesh tree OBJ_BG, 3 classes, 30 train, 30 held-out, 30 test" in shown.err


def test_the_tables_label_what_was_computed_and_what_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pointcmt_cli import console

    monkeypatch.setattr(console.out, "_width", 160)
    monkeypatch.setattr(console.out, "_height", 50)
    write_data(tmp_path, variant="OBJ_BG")
    recorded = {"oa": 0.987, "macc": 0.4, "count": 30}
    save(tmp_path / "tiny.pt", metrics={"held_out": recorded, "test": {}})
    command.evaluate.__wrapped__(EvaluateConfig((tmp_path / "tiny.pt",), work=tmp_path, votes=10))
    out = capsys.readouterr().out
    for words in (
        "OA %, 10 votes",
        "held-out",
        "recorded when it was trained: held-out OA 98.7 %",
        "OBJ_BG",
        "ECE",
    ):
        assert words in out, words
    assert "most often taken for" not in out
    config = EvaluateConfig((tmp_path / "tiny.pt",), work=tmp_path)
    command.evaluate.__wrapped__(config, per_class=True)
    out = capsys.readouterr().out
    assert "most often taken for" in out
    assert "recorded" in out
