"""The model card: metadata that Hugging Face's own reader takes, and the document's figures."""

from pathlib import Path
from typing import Any

import pytest

import toy_report
from pointcmt_cli.engine.report.card import model_card
from pointcmt_cli.engine.training.card import plain


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A checkpoint, its document and its card."""
    work = tmp_path_factory.mktemp("card")
    toy_report.make(work, toy_report.HOSTILE)
    document, _ = toy_report.run(work, work / "out", votes=2)
    return work, document, (work / "out" / "MODEL_CARD.md").read_text()


def test_the_hub_reads_the_metadata(made: tuple[Path, dict[str, Any], str]) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    _, document, text = made
    card = hub.ModelCard(text)
    data = card.data.to_dict()
    assert data["library_name"] == "pointcmt"
    assert {"pointcmt", "point-cloud", "toy-student-tiny"} < set(data["tags"])
    assert data["metrics"] == ["accuracy"]
    assert "datasets" not in data  # that would name a data set of the hub
    assert card.data.model_name == "first"
    results = {each.metric_name: each for each in card.data.eval_results}
    assert set(results) == {
        "Overall accuracy",
        "Mean class accuracy",
        "Overall accuracy, voted",
        "Mean class accuracy, voted",
    }
    scores = document["runs"][0]["scores"]["test"]
    assert results["Overall accuracy"].metric_value == round(scores["single"]["oa"], 4)
    assert results["Mean class accuracy, voted"].metric_value == round(scores["voted"]["macc"], 4)
    assert {each.dataset_split for each in results.values()} == {"test"}


def test_the_card_says_how_to_use_it_and_how_it_was_measured(
    made: tuple[Path, dict[str, Any], str],
) -> None:
    work, document, text = made
    assert text == model_card(document, str(work / "first.pt"))
    assert "pointcmt predict first.pt shape.off" in text
    assert "scored on 30 shapes" in text
    assert "how it does on noisy or partial or turned scans was not measured" in text
    assert all(plain(sentence) in text for sentence in document["protocol"]["sentences"])


def test_the_card_says_what_was_measured_and_what_was_not(
    made: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    work = made[0]
    document, _ = toy_report.run(work, tmp_path, points=(64, 16), rotations=("z",))
    text = (tmp_path / "MODEL_CARD.md").read_text()
    found = document["runs"][0]["robustness"]
    by_points = ", ".join(f"{count} {100 * oa:.1f} %" for count, oa in found["points"].items())
    assert f"Overall accuracy by points per cloud: {by_points}." in text
    assert "Overall accuracy by rotation: none " in text
    assert "how it does on noisy scans was not measured" in text


def test_a_teacher_has_a_card_of_its_own(
    made: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    work = made[0]
    toy_report.save(work / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    values = toy_report.checkpoint.load(work / "teacher.pt")
    toy_report.checkpoint.save(work / "teacher.pt", {**values, "class_names": toy_report.HOSTILE})
    toy_report.run(work, tmp_path / "out", "teacher")
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "tells 3 classes of shapes apart by rendered views" in text
    assert "pointcmt predict" not in text
