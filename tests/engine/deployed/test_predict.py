"""Files to classes: the same points as `render`, the same answer as `evaluate`, bad files beside good ones."""

import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import typer

import toy_student
from pointcmt_cli.commands import predict as command
from pointcmt_cli.config import ExportConfig, PredictConfig
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.reading import read
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.deployed.predict import file_points, predict
from pointcmt_cli.engine.export.export import export
from pointcmt_cli.engine.training.metrics import predict_logits
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Result, Row
from toy_student import CLASSES, POINTS, STORED, save, write_data

Format = Literal["onnx", "pt2", "safetensors"]
FORMATS: list[Format] = ["onnx", "pt2", "safetensors"]
TETRAHEDRON = "OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def run(work: Path, *files: Path, name: str = "tiny.pt", **options: Any) -> dict[str, Any]:
    *_, last = predict(PredictConfig(Path(name), files, work=work, device="cpu", **options))
    assert isinstance(last, Result)
    return dict(last.values)


def cloud_tree(root: Path, count: int = 12) -> list[Path]:
    """CLASS/test/NAME.npy with 300 points each, in the order of `write_data`'s rows."""
    numbers = np.random.default_rng(0)
    files = []
    for index in range(count):
        path = root / CLASSES[index % 3] / "test" / f"{index:03d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, numbers.normal(size=(300, 3)) * numbers.uniform(0.1, 2, 3))
        files.append(path)
    return files


def test_a_file_gets_the_answer_that_evaluate_computes(tmp_path: Path) -> None:
    files = cloud_tree(tmp_path / "data")
    points = []
    for index, path in enumerate(files):
        name = f"{CLASSES[index % 3]}/{path.stem}"
        shape, _ = read(Item(name, index % 3, "test", "cloud", path))
        points.append(sample_points(shape, STORED))
    shapes = read_shapes(write_data(tmp_path, len(files), points=np.stack(points)))
    assert shapes.names[5] == "rod/005"
    model = save(tmp_path / "tiny.pt")
    expected = predict_logits(model, shapes.points, POINTS, 32, "cpu").softmax(1)
    result = run(tmp_path, *files, top=3)
    for row, probabilities in zip(result["files"], expected, strict=True):
        found = {each["class"]: each["probability"] for each in row["predictions"]}
        assert [found[name] for name in CLASSES] == pytest.approx(probabilities.tolist(), abs=1e-6)


def test_a_mesh_is_named_by_its_folder_and_stem(tmp_path: Path) -> None:
    path = tmp_path / "chair" / "train" / "a.off"
    path.parent.mkdir(parents=True)
    path.write_text(TETRAHEDRON)
    shape, _ = read(Item("chair/a", 0, "train", "mesh", path))
    np.testing.assert_array_equal(file_points(path, 200), sample_points(shape, 200))


def test_top_classes_come_best_first(tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt")
    (file, *_) = cloud_tree(tmp_path / "data", 1)
    (row,) = run(tmp_path, file, top=2)["files"]
    first, second = row["predictions"]
    assert first["probability"] > second["probability"]
    assert len(run(tmp_path, file, top=50)["files"][0]["predictions"]) == len(CLASSES)


def test_answers_come_before_the_last_file_is_read(tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt")
    files = cloud_tree(tmp_path / "data", 12)
    records = predict(PredictConfig(Path("tiny.pt"), tuple(files), work=tmp_path))
    row = next(each for each in records if isinstance(each, Row))
    assert row.values["file"] == str(files[0])
    files[11].unlink()
    rest = list(records)
    assert sum(isinstance(each, Row) for each in rest) == 11
    assert "error" in rest[-1].values["files"][11]  # type: ignore[union-attr]


def test_bad_files_are_reported_and_the_others_go_on(tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt")
    good = cloud_tree(tmp_path / "data", 2)
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((10, 3), np.nan))
    odd = tmp_path / "odd.docx"
    odd.write_text("x")
    absent = tmp_path / "absent.off"
    files = (good[0], nan, odd, absent, tmp_path, good[1])
    records = list(predict(PredictConfig(Path("tiny.pt"), files, work=tmp_path)))
    warned = [each.text for each in records if isinstance(each, Note) and each.warning]
    assert len(warned) == 4
    assert all(str(path) in text for path, text in zip(files[1:5], warned, strict=True))
    values = records[-1].values  # type: ignore[union-attr]
    assert values["failed"] == 4
    assert ["error" in row for row in values["files"]] == [False, True, True, True, True, False]
    assert [row["file"] for row in values["files"]] == [str(path) for path in files]
    alone = run(tmp_path, good[1])["files"][0]["predictions"]
    assert [each["class"] for each in values["files"][5]["predictions"]] == [
        each["class"] for each in alone
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_an_exported_file_predicts_the_same(form: Format, tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    list(export(ExportConfig(Path("tiny.pt"), form, work=tmp_path, compiled=False)))
    files = cloud_tree(tmp_path / "data", 6)
    eager, shipped = run(tmp_path, *files), run(tmp_path, *files, name=f"tiny.{form}")
    assert (shipped["kind"], shipped["checkpoint"]) == ("export", str(tmp_path / f"tiny.{form}"))
    for left, right in zip(eager["files"], shipped["files"], strict=True):
        for one, other in zip(left["predictions"], right["predictions"], strict=True):
            assert one["class"] == other["class"]
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


@pytest.mark.parametrize("name", ["tiny.pt", "tiny.onnx"])
def test_files_stand_as_those_that_it_was_trained_on(tmp_path: Path, name: str) -> None:
    """A set rendered with --up y: the same answer as of the turned files, unless --up says otherwise."""
    (tmp_path / "y").mkdir()
    save(tmp_path / "y" / "tiny.pt", up="y")
    save(tmp_path / "tiny.pt", up="auto")
    write_data(tmp_path)
    if name == "tiny.onnx":
        pytest.importorskip("onnxruntime")
        for work in (tmp_path, tmp_path / "y"):
            data = tmp_path / "features.h5"
            list(export(ExportConfig(Path("tiny.pt"), work=work, data=data, compiled=False)))
    (file,) = cloud_tree(tmp_path / "data", 1)
    points = np.load(file)
    upright = tmp_path / "upright" / file.parent.parent.name / file.name  # z up: (x, -z, y)
    upright.parent.mkdir(parents=True)
    np.save(upright, points[:, [0, 2, 1]] * [1, -1, 1])
    found = run(tmp_path / "y", file, name=name)
    assert found["up"] == "y"
    expected = run(tmp_path, upright, name=name)
    assert expected["up"] is None
    assert found["files"][0]["predictions"] == expected["files"][0]["predictions"]
    told = run(tmp_path, file, name=name, up="y")
    assert told["files"][0]["predictions"] == expected["files"][0]["predictions"]
    notes = {
        up: [
            each.text
            for each in predict(PredictConfig(Path(name), (file,), work=tmp_path / "y", up=up))
            if isinstance(each, Note)
        ]
        for up in (None, "z")
    }
    assert "files are read y up, as its data set was (--up says otherwise)" in notes[None]
    assert not any(" up" in text for text in notes["z"])
    unturned = run(tmp_path / "y", file, name=name, up="z")
    assert unturned["files"][0]["predictions"] != found["files"][0]["predictions"]
    assert unturned["files"] == run(tmp_path, file, name=name)["files"]


def test_what_cannot_predict_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    (file,) = cloud_tree(tmp_path / "data", 1)
    with pytest.raises(DataError, match=r"holds a teacher; this command takes .* a student"):
        run(tmp_path, file, name="teacher.pt")
    with pytest.raises(UsageError, match=r"tiny\.onnx is run on the CPU; give the \.pt instead"):
        list(predict(PredictConfig(Path("tiny.onnx"), (file,), work=tmp_path, device="cuda")))
    for ending in ("onnx", "pt2", "safetensors", "pt"):
        bad = tmp_path / f"bad.{ending}"
        bad.write_bytes(b"nothing")
        with pytest.raises(DataError, match=rf"bad\.{ending} (cannot be read|is not a)") as caught:
            run(tmp_path, file, name=bad.name)
        assert "\n" not in str(caught.value)


def test_the_command_ends_with_1_when_a_file_failed_and_json_stands_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "tiny.pt")
    files = cloud_tree(tmp_path / "data", 2)
    command.predict.__wrapped__(PredictConfig(tmp_path / "tiny.pt", tuple(files)))
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{files[0]}: \w+ [\d.]+ %, \w+ [\d.]+ %, \w+ [\d.]+ %", first)
    assert second.startswith(f"{files[1]}: ")
    several = (*files, tmp_path / "absent.off")
    with pytest.raises(typer.Exit) as caught:
        command.predict.__wrapped__(PredictConfig(tmp_path / "tiny.pt", several), json=True)
    assert caught.value.exit_code == 1
    shown = capsys.readouterr().out
    document = json.loads(shown)
    assert document["failed"] == 1
    assert document["files"][0]["predictions"][0]["class"] in CLASSES
    assert "absent.off" in document["files"][2]["error"]


def test_the_number_of_points_is_the_trained_one(tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt", points=33)
    files = cloud_tree(tmp_path / "data", 1)
    assert run(tmp_path, *files)["points"] == 33
    assert toy_student.STORED > 33


@pytest.mark.parametrize(
    "changed",
    [{"class_names": ["a"]}, {"class_names": "abc"}, {"points": "many"}, {"stored_points": -1}],
    ids=str,
)
def test_damaged_metadata_is_one_line(changed: dict[str, Any], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    list(export(ExportConfig(Path("tiny.pt"), work=tmp_path, compiled=False)))
    proto = onnx.load(tmp_path / "tiny.onnx")
    for each in proto.metadata_props:
        if each.key in changed:
            each.value = json.dumps(changed[each.key])
    onnx.save(proto, tmp_path / "tiny.onnx")
    files = cloud_tree(tmp_path / "data", 1)
    with pytest.raises(DataError, match=r"its metadata are (damaged|another model's)"):
        run(tmp_path, *files, name="tiny.onnx")
