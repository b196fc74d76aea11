"""`train-teacher --labels-per-class`: who keeps a label, and that nothing of the others is in what a student reads."""

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from pointcmt_cli.config import DistillConfig, TeacherConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.teacher.few_labels import few_labels
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.temperature import fit_temperature
from pointcmt_cli.errors import UsageError
from pointcmt_cli.records import Note, Result
from toy_student import write_data


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """30 train, 30 held-out and 30 test shapes of three classes."""
    write_data(tmp_path)
    return tmp_path


def taught(work: Path, per_class: str | None, seed: int = 0) -> list[str]:
    config = TeacherConfig(
        work=work,
        teacher="toy_student:tiny_teacher",
        labels_per_class=per_class,
        seed=seed,
        epochs=2,
        folds=2,
        width=12,
        device="cpu",
        force=True,
    )
    return [each.text for each in train_teacher(config) if isinstance(each, Note)]


def test_each_class_keeps_as_many_and_a_larger_number_keeps_them_too(work: Path) -> None:
    shapes = read_shapes(work / "views.h5")
    kept = {}
    for number in ("1", "4", "10%", "100%", "99"):
        found = few_labels(shapes, number, seed=3)
        counts = Counter(found.labels[found.rows("train")].tolist())
        wanted = {"1": 1, "4": 4, "10%": 2}.get(number, 20)
        assert counts == {0: wanted, 1: wanted, 2: wanted}
        assert found.counts().get("unlabelled", 0) == 60 - 3 * wanted
        assert found.counts()["held-out"] == 0
        kept[number] = set(found.rows("train").tolist())
        np.testing.assert_array_equal(found.rows("test"), shapes.rows("test"))
    assert kept["1"] < kept["4"] < kept["100%"]
    assert set(few_labels(shapes, "4", seed=4).rows("train").tolist()) != kept["4"]


def test_nothing_of_what_is_hidden_is_in_the_file_that_the_student_reads(work: Path) -> None:
    notes = taught(work, "2")
    said = "6 labelled shapes (and asked about 54 unlabelled ones)"
    assert any(said in each for each in notes), notes
    with h5py.File(work / "features.h5") as file:
        hidden = file["split"].asstr()[:] == "unlabelled"
        assert hidden.sum() == 54
        assert set(file["label"][hidden]) == {-1}
        names = [str(each) for each in file["name"].asstr()[hidden]]
        assert len(set(names)) == 54
        assert all(each.startswith("unlabelled/") for each in names)
        assert not any(word in each for each in names for word in ("ball", "box", "rod"))
        assert file.attrs["labels_per_class"] == "2"
    *records, last = distill(
        DistillConfig(student="toy_student:tiny", work=work, points=32, epochs=1, device="cpu")
    )
    assert isinstance(last, Result)
    assert any(
        isinstance(each, Note) and "learns from 6 labelled and 54 unlabelled" in each.text
        for each in records
    )
    made = checkpoint.load(work / "tiny.pt")["provenance"]
    assert made["labels_per_class"] == "2"
    assert made["counts"] == {"train": 6, "held-out": 0, "test": 30, "unlabelled": 54}


def test_another_number_is_another_teacher(work: Path) -> None:
    keys = set()
    for number in (None, "2", "3"):
        taught(work, number)
        keys.add(checkpoint.load(work / "teacher.pt")["provenance"]["run_key"])
    assert len(keys) == 3


@pytest.mark.parametrize("per_class", ["0", "-1", "few", "0%", "101%", "1.5", "%"])
def test_what_is_no_number_of_labels_is_refused(work: Path, per_class: str) -> None:
    with pytest.raises(UsageError, match="a number of shapes, or a share such as 10%"):
        taught(work, per_class)


def test_a_students_teacher_is_as_sure_as_it_is_right(work: Path) -> None:
    """The temperature is fitted on the out-of-fold answers, and both kinds of answers are divided by it."""
    taught(work, "8")
    features = read_features(work / "features.h5")
    rows = features.shapes.rows("train")
    oof = torch.from_numpy(features.oof_logits[rows])
    labels = torch.from_numpy(features.shapes.labels[rows])
    assert features.temperature == pytest.approx(fit_temperature(oof, labels.numpy()), rel=1e-4)
    assert features.temperature == features.shapes.attributes["temperature"] != 1.0
    data = Resident(features, torch.device("cpu"), None)
    np.testing.assert_allclose(
        data.teacher_logits.numpy() * features.temperature, features.teacher_logits[rows], rtol=1e-5
    )
    np.testing.assert_allclose(
        data.oof_logits.numpy() * features.temperature, oof.numpy(), rtol=1e-5
    )
