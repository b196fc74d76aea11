"""`info`: what each kind of file is, made from what, and how to make it again; and that records decide nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import toy_distill
import toy_meshes
import toy_student
from places import SUPPORT
from pointcmt_cli.cli import app
from pointcmt_cli.config import DistillConfig, ExportConfig, InfoConfig
from pointcmt_cli.data.store.views import read_attributes
from pointcmt_cli.engine.export.export import export
from pointcmt_cli.engine.info.info import info
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.errors import DataError
from pointcmt_cli.provenance import TYPED, commit, record, without_folders
from pointcmt_cli.records import Result


def asked(path: Path) -> dict[str, Any]:
    *_, last = info(InfoConfig(path))
    assert isinstance(last, Result)
    return dict(last.values)


def shown(path: Path) -> str:
    done = CliRunner().invoke(app, ["info", str(path)])
    assert done.exit_code == 0, done.output
    return done.stdout


@contextmanager
def typed(*words: str) -> Iterator[None]:
    token = TYPED.set(words)
    try:
        yield
    finally:
        TYPED.reset(token)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    toy_distill.write_toy_features(tmp_path / "features.h5")
    with typed("distill", "--student", "toy_networks:tiny"):
        _train(tmp_path)
    return tmp_path / "tiny-none.pt"


def _train(tmp_path: Path) -> None:
    toy_distill.run(
        DistillConfig(
            student="toy_networks:tiny",
            objective="none",
            work=tmp_path,
            points=64,
            epochs=2,
            batch_size=8,
        )
    )


def test_a_student_says_what_it_is_and_how_to_make_it_again(student: Path) -> None:
    found = asked(student)
    assert (found["schema"], found["version"], found["kind"]) == ("pointcmt-info", 1, "student")
    assert found["network"]["name"] == "toy_networks:tiny"
    assert found["counts"]["test"] == 18
    assert found["settings"]["epochs"] == 2
    assert "lr" not in found["settings"]  # a default
    assert found["record"]["versions"]["torch"]
    [features] = found["inputs"]
    assert (features["role"], features["now"]) == ("features", "the same")
    assert features["digest"] == read_attributes(student.parent / "features.h5")["digest"]
    again = [
        "pointcmt distill --student toy_networks:tiny",
        f"pointcmt distill --config {student.with_suffix('.config.json')}",
    ]
    assert found["again"] == again
    screen = shown(student)
    for text in ("toy_networks:tiny, a student (none)", "(the same)", "18 test", *again):
        assert text in screen
    assert len(screen.splitlines()) <= 24


def test_a_changed_and_a_missing_input_are_said(student: Path) -> None:
    toy_distill.write_toy_features(student.parent / "features.h5", seed=1)
    assert asked(student)["inputs"][0]["now"] == "another one by now"
    (student.parent / "features.h5").unlink()
    assert asked(student)["inputs"][0]["now"] == "not here"


def test_views_keep_their_bytes_and_are_described_beside(tmp_path: Path) -> None:
    meshes = toy_meshes.write_meshes(tmp_path / "meshes", 4)
    toy_meshes.run(toy_meshes.config(meshes))
    found = asked(tmp_path / "views.h5")
    assert (found["kind"], len(found["classes"])) == ("views", 3)
    assert found["arrays"]["views"] == [12, 12, 32, 32]
    assert found["again"] == [f"pointcmt render --config {tmp_path / 'views.config.json'}"]
    first = (tmp_path / "views.h5").read_bytes()
    toy_meshes.run(toy_meshes.config(meshes, force=True))
    assert (tmp_path / "views.h5").read_bytes() == first
    said = json.loads((tmp_path / "views.config.json").read_text())
    said["record"]["output"] = "another file's"
    (tmp_path / "views.config.json").write_text(json.dumps(said))
    found = asked(tmp_path / "views.h5")
    assert (found["record"], found["again"]) == (None, [])
    assert "a pointcmt that kept no records yet" in shown(tmp_path / "views.h5")


@pytest.mark.parametrize("form", ["onnx", "pt2", "safetensors"])
def test_an_export_says_what_it_was_made_from(form: Any, tmp_path: Path) -> None:
    toy_student.write_data(tmp_path)
    toy_student.save(tmp_path / "tiny.pt")
    with typed("export", str(tmp_path / "tiny.pt")):
        list(export(ExportConfig(tmp_path / "tiny.pt", format=form, work=tmp_path, compiled=False)))
    found = asked(tmp_path / f"tiny.{form}")
    assert (found["kind"], found["network"]["name"]) == ("export", "toy_student:tiny")
    assert found["again"] == ["pointcmt export tiny.pt"]  # no folder of this machine
    [made_from] = found["inputs"]
    assert (made_from["role"], made_from["path"], made_from["now"]) == (
        "checkpoint",
        "tiny.pt",
        "the same",
    )
    assert "toy_student:tiny, exported" in shown(tmp_path / f"tiny.{form}")


@pytest.mark.parametrize("form", ["onnx", "h5"])
def test_torch_is_not_imported_for_it(form: str, tmp_path: Path) -> None:
    toy_student.write_data(tmp_path)
    toy_student.save(tmp_path / "tiny.pt")
    path = tmp_path / "features.h5"
    if form == "onnx":
        list(export(ExportConfig(tmp_path / "tiny.pt", work=tmp_path, compiled=False)))
        path = tmp_path / "tiny.onnx"
    code = (
        "import sys; from pathlib import Path; from pointcmt_cli.config import InfoConfig\n"
        "from pointcmt_cli.engine.info.info import info\n"
        "list(info(InfoConfig(Path(sys.argv[1])))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_a_folder_is_a_table_and_json_a_document(student: Path) -> None:
    (student.parent / "broken.pt").write_bytes(b"no")
    screen = shown(student.parent)
    assert "cannot be read" in screen
    assert "tiny-none.pt" in screen
    done = CliRunner().invoke(app, ["info", str(student.parent), "--json"])
    found = json.loads(done.stdout)
    kinds = {Path(each["path"]).name: each["kind"] for each in found["files"]}
    assert kinds == {
        "features.h5": "features",
        "tiny-none.pt": "student",
        "broken.pt": "unreadable",
    }


def test_what_is_no_file_of_ours_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "other.pt2").write_bytes(b"no")
    for name, said in (
        ("gone.pt", "no such file or folder"),
        ("notes.txt", "not a file of pointcmt's"),
        ("empty", "holds no file of pointcmt's"),
        ("other.pt2", "was not written by `pointcmt export`, or is damaged"),
    ):
        with pytest.raises(DataError, match=said):
            list(info(InfoConfig(tmp_path / name)))


def test_a_record_decides_nothing(student: Path) -> None:
    values = checkpoint.load(student)
    config = json.loads(student.with_suffix(".config.json").read_text())
    assert config["record"] == values["record"]
    again = DistillConfig(
        student="toy_networks:tiny",
        objective="none",
        work=student.parent,
        points=64,
        epochs=2,
        batch_size=8,
    )
    _, records = toy_distill.run(again)  # typed otherwise, and at another time
    assert "up to date" in str(records)


def test_the_command_is_kept_as_typed(tmp_path: Path) -> None:
    toy_distill.write_toy_features(tmp_path / "features.h5")
    words = [
        "--student",
        "toy_networks:tiny",
        "--epochs",
        "1",
        "--points",
        "64",
        "--work",
        "my work",
    ]
    (tmp_path / "my work").mkdir()
    (tmp_path / "features.h5").rename(tmp_path / "my work" / "features.h5")
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-m", "pointcmt_cli", "distill", *words, "--objective", "none"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    made = checkpoint.load(tmp_path / "my work" / "tiny-none.pt")["record"]
    assert made["command"] == (
        "pointcmt distill --student toy_networks:tiny --epochs 1 --points 64 --work 'my work' --objective none"
    )


def test_records_of_python_have_no_command_and_lose_their_folders(tmp_path: Path) -> None:
    made = record({"weights": (tmp_path / "weights.pt", None)})
    assert made["command"] is None
    assert without_folders(made)["inputs"]["weights"]["path"] == "weights.pt"
    typed = {**made, "command": f"pointcmt export '{tmp_path}/a b.pt' --half"}
    assert without_folders(typed)["command"] == "pointcmt export 'a b.pt' --half"
    known = commit()
    assert known is None or len(known.removesuffix("-dirty")) == 40
