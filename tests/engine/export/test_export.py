"""Exports: equal to eager or not there; what a file says of itself; one line when something is missing."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import toy_student
from pointcmt_backbones import curvenet, pointmlp, pointnext
from pointcmt_cli.commands import export as command
from pointcmt_cli.config import ExportConfig
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.export import export as stage
from pointcmt_cli.engine.export import parity
from pointcmt_cli.engine.export.export import OPEN
from pointcmt_cli.errors import DataError, ParityError, PluginError, PointCMTError, UsageError
from pointcmt_cli.records import Note, Result
from toy_student import CLASSES, POINTS, save, write_data

Format = Literal["onnx", "pt2", "safetensors"]
FORMATS: list[Format] = ["onnx", "pt2", "safetensors"]
GRAPHS: list[Format] = ["onnx", "pt2"]


def run(work: Path, form: Format, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """The Result's values and the warnings."""
    options = {"compiled": False, **options}
    config = ExportConfig(Path(options.pop("name", "tiny.pt")), form, work=work, **options)
    records = list(stage.export(config))
    assert isinstance(records[-1], Result)
    warned = [each.text for each in records if isinstance(each, Note) and each.warning]
    return dict(records[-1].values), warned


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Format, Any]]:
    """A folder with tiny.pt in every format, and the Results."""
    work = tmp_path_factory.mktemp("shipped")
    write_data(work, 200)
    save(
        work / "tiny.pt",
        variant="OBJ_BG",
        features_digest="abc",
        metrics={"test": {"oa": 0.5}},
        config={"features": Path("/home/somebody/private/features.h5")},
    )
    return work, {form: run(work, form) for form in FORMATS}


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_gives_eagers_probabilities_for_any_batch_and_number_of_points(
    form: Format, shipped: Any
) -> None:
    work, results = shipped
    model = save(work / "again.pt")
    result, warned = results[form]
    assert warned == []
    out = work / f"tiny.{form}"
    assert (result["out"], result["bytes"]) == (str(out), out.stat().st_size)
    assert result["difference"] <= 1e-5
    assert (result["clouds"], result["batch_sizes"]) == (64, [1, 7, 64])
    assert min(result["eager_ms"], result["exported_ms"]) > 0
    exported = OPEN[form](out)
    assert result["points_compared"] == [result["points_min"], 19, 57, 64, 96]
    assert (result["points_max"], result["points_fixed_because"]) == (None, None)
    for batch, count in ((1, POINTS), (2, 7), (13, 96)):
        points = toy_student.clouds(batch, seed=batch)[:, :count]
        with torch.no_grad():
            expected = model(torch.from_numpy(points)).softmax(1).numpy()
        np.testing.assert_allclose(exported.run(points), expected, atol=1e-5)


def test_nothing_else_is_left_or_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    run(tmp_path, "pt2")
    assert capfd.readouterr() == ("", "")  # none of torch's own talk
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["features.h5", "tiny.pt", "tiny.pt2", "views.h5"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_says_what_goes_in_and_where_it_came_from(form: Format, shipped: Any) -> None:
    said = OPEN[form](shipped[0] / f"tiny.{form}").metadata
    assert said["class_names"] == CLASSES
    assert (said["points"], said["stored_points"]) == (POINTS, toy_student.STORED)
    fewest = {"safetensors": 1}.get(form, 2)
    takes = f"(batch, points, 3), from {fewest} points on, any number (trained with 64)"
    assert said["input"].startswith(f"points: float32 {takes}")
    assert "unit sphere" in said["input"]
    assert (said["points_min"], said["points_max"], said["precision"]) == (fewest, None, "float32")
    assert said["output"] == "probabilities: float32 (batch, 3), in the order of class_names"
    assert (said["name"], said["variant"]) == ("toy_student:tiny", "OBJ_BG")
    assert said["provenance"]["features_digest"] == "abc"
    assert said["metrics"]["test"] == {"oa": 0.5}


def test_other_tools_read_the_metadata(shipped: Any) -> None:
    import onnx
    from safetensors import safe_open

    work, _ = shipped
    proto = onnx.load(work / "tiny.onnx")
    onnx.checker.check_model(proto, full_check=True)
    said = {each.key: each.value for each in proto.metadata_props}
    assert json.loads(said["class_names"]) == CLASSES
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_value for each in shape] == [0, 0, 3]
    assert shape[0].dim_param
    assert shape[1].dim_param
    with safe_open(work / "tiny.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["class_names"]) == CLASSES
        assert file.get_tensor("encoder.layer.weight").shape == (12, 3)
    with zipfile.ZipFile(work / "tiny.pt2") as archive:
        name = next(each for each in archive.namelist() if each.endswith("metadata.json"))
        assert json.loads(archive.read(name))["class_names"] == CLASSES


def test_no_folder_of_this_machine_and_no_cloud_is_in_the_file(shipped: Any) -> None:
    """The exporters write where each node stood in which source file, and what it was traced with."""
    for form in FORMATS:
        path = shipped[0] / f"tiny.{form}"
        content = path.read_bytes()
        if form == "pt2":
            with zipfile.ZipFile(path) as archive:
                content = b"".join(archive.read(name) for name in archive.namelist())
            assert torch.export.load(path).example_inputs is None
        for place in ("toy_student.py", "site-packages", "pointcmt_cli/", "somebody", "private/"):
            assert place.encode() not in content, (form, place)


def test_what_branches_on_the_number_of_points_takes_one_number_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt", options={"fixed": True})
    command.export.__wrapped__(
        ExportConfig(tmp_path / "tiny.pt", format="onnx", work=tmp_path, compiled=False)
    )
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "64 only: its graph depends on their number" in shown
    exported = OPEN["onnx"](tmp_path / "tiny.onnx")
    assert exported.metadata["input"].startswith("points: float32 (batch, 64, 3);")
    assert (exported.metadata["points_min"], exported.metadata["points_max"]) == (POINTS, POINTS)
    with pytest.raises(DataError, match=r"fails on points \(2, 96, 3\): .*Expected: 64"):
        exported.run(toy_student.clouds(2))


def test_what_is_wrong_with_another_number_of_points_takes_one_number(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt", options={"drift_in_export": True})
    result, (warned,) = run(tmp_path, "pt2")
    assert (result["points_min"], result["points_max"]) == (POINTS, POINTS)
    assert result["points_compared"] == [POINTS]
    assert "takes clouds of 64 points only: " in warned
    assert "nothing was written" not in warned
    assert "at batch size 16 and 2 points" in warned
    assert OPEN["pt2"](tmp_path / "tiny.pt2").metadata["points_max"] == POINTS


@pytest.mark.parametrize(("form", "scale"), [("onnx", 1.01), ("pt2", 1.01), ("pt2", float("nan"))])
def test_a_wrong_export_fails_and_leaves_the_older_file(
    form: Format, scale: float, tmp_path: Path
) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt", options={"scale_in_export": scale})
    (tmp_path / f"tiny.{form}").write_bytes(b"older and good")
    with pytest.raises(ParityError, match=rf"{form} export does not equal eager: .* nothing was"):
        run(tmp_path, form)
    assert (tmp_path / f"tiny.{form}").read_bytes() == b"older and good"
    assert not list(tmp_path.glob(".*"))


def test_the_comparison_sees_one_wrong_cloud_one_wrong_batch_size_and_a_changed_class() -> None:
    clouds = toy_student.clouds(64)[:, :POINTS]
    expected = np.random.default_rng(0).dirichlet(np.ones(3), 64).astype(np.float32)
    rows = {cloud.tobytes(): row for row, cloud in enumerate(clouds)}
    config = ExportConfig(Path("x.pt"))
    checks = list(parity.CHECKS.items())

    def right(points: Any) -> Any:
        return expected[[rows[cloud.tobytes()] for cloud in points]]

    def drive(run: Any, target: Any = expected) -> float:
        def eager(points: Any) -> Any:
            return target[[rows[cloud.tobytes()] for cloud in points]]

        steps = parity.compare(run, eager, clouds, checks, config)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return float(end.value)

    assert drive(right) == 0
    last = clouds[63].tobytes()

    def wrong_cloud(points: Any) -> Any:
        return (
            right(points)
            + np.array([2e-4 * (cloud.tobytes() == last) for cloud in points])[:, None]
        )

    def wrong_size(points: Any) -> Any:
        return right(points) + 2e-4 * (len(points) == 1)

    def wrong_shape(points: Any) -> Any:
        return right(points)[:, :2]

    with pytest.raises(ParityError, match=r"by up to 0\.0002"):
        drive(wrong_cloud)
    with pytest.raises(ParityError, match="at batch size 1 and 64 points;"):
        drive(wrong_size)
    with pytest.raises(ParityError, match=r"gives shape \(64, 2\) where eager gives \(64, 3\)"):
        drive(wrong_shape)
    close = np.tile(np.float32([0.50001, 0.49999, 0]), (64, 1))
    with pytest.raises(ParityError, match="64 of 64 clouds change class"):
        drive(lambda points: close[: len(points), [1, 0, 2]], close)


def test_real_clouds_are_of_all_classes_and_of_test_first(tmp_path: Path) -> None:
    path = write_data(tmp_path, 600)
    shapes = read_shapes(path)
    chosen = stage.real_clouds(shapes, POINTS, path)
    assert chosen.shape == (64, toy_student.STORED, 3)
    rows = [np.flatnonzero((shapes.points == each).all((1, 2)))[0] for each in chosen]
    assert len(set(rows)) == 64
    assert set(shapes.splits[rows]) == {"test"}
    assert np.ptp(rows) > 190
    few = read_shapes(write_data(tmp_path, 90))
    assert len(stage.real_clouds(few, POINTS, path)) == 64


def test_few_clouds_are_said(tmp_path: Path) -> None:
    write_data(tmp_path, 9)
    save(tmp_path / "tiny.pt")
    result, warned = run(tmp_path, "pt2")
    assert "has only 9 clouds to compare with" in warned[0]
    assert result["batch_sizes"] == [1, 7, 9]


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "tiny.pt")
    with pytest.raises(DataError, match=r"no data: needs .*features\.h5 .* or .*views\.h5"):
        run(tmp_path, "onnx")
    write_data(tmp_path)
    with pytest.raises(UsageError, match="is the checkpoint itself"):
        run(tmp_path, "onnx", out=tmp_path / "tiny.pt")
    save(tmp_path / "more.pt", points=97)
    with pytest.raises(DataError, match="stores 96 points per shape, the export takes 97"):
        run(tmp_path, "onnx", name="more.pt")
    save(tmp_path / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    with pytest.raises(DataError, match="takes the checkpoint of a student"):
        run(tmp_path, "onnx", name="teacher.pt")
    for module in ("onnx", "onnxscript", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(
                PointCMTError, match=rf"{module}, .*pip install 'pointcmt\[export\]'"
            ):
                run(tmp_path, "onnx")
    assert not (tmp_path / "tiny.onnx").exists()


@pytest.mark.parametrize("form", GRAPHS)
def test_a_backbone_that_cannot_be_exported_is_named(form: Format, tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt", options={"branch": True})
    with pytest.raises(
        PluginError, match=rf"'toy_student:tiny' of .* cannot be exported to {form}: "
    ) as caught:
        run(tmp_path, form)
    assert "\n" not in str(caught.value)


def test_the_command_shows_size_difference_and_latency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    command.export.__wrapped__(
        ExportConfig(tmp_path / "tiny.pt", format="pt2", work=tmp_path, compiled=False)
    )
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "MiB",
        "2 or more",
        "64 clouds, in batches of 1, 7, 64",
        "2, 19, 57, 64, 96",
        "- (not asked for)",
        "equal to",
    ):
        assert text in out, text


@pytest.mark.parametrize(
    ("name", "options", "form"),
    [
        ("pointnet", {}, "onnx"),
        pytest.param("pointnet2", {}, "onnx", marks=pytest.mark.slow),
        pytest.param("pointnet2", {}, "pt2", marks=pytest.mark.slow),
        pytest.param("dgcnn", {}, "onnx", marks=pytest.mark.slow),
        pytest.param("pct", {}, "onnx", marks=pytest.mark.slow),
        pytest.param("rscnn", {}, "onnx", marks=pytest.mark.slow),
    ],
)
def test_first_party_backbones_take_a_free_number_of_points(
    name: str, options: dict[str, Any], form: Format, tmp_path: Path
) -> None:
    write_data(tmp_path, 12)
    save(tmp_path / "student.pt", name, options)
    result, _ = run(tmp_path, form, name="student.pt")
    assert result["difference"] <= 1e-4
    assert len(result["points_compared"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("pointmlp", {"variant": "elite"}), ("pointnext", {}), ("curvenet", {})],
)
def test_deep_first_party_backbones_do_so_too(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two stages of four, of the same blocks."""
    shorten(name, monkeypatch)
    write_data(tmp_path, 12)
    save(tmp_path / "student.pt", name, options)
    result, _ = run(tmp_path, "onnx", name="student.pt")
    assert result["difference"] <= 1e-4
    assert len(result["points_compared"]) >= 4


def shorten(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "pointmlp":
        elite = replace(pointmlp.PLANS["elite"], growth=(2, 2), blocks=(1, 1))
        monkeypatch.setitem(pointmlp.PLANS, "elite", elite)
        monkeypatch.setattr(pointmlp, "CENTRES", pointmlp.CENTRES[:2])
    elif name == "pointnext":
        monkeypatch.setitem(pointnext.BLOCKS, "s", pointnext.BLOCKS["s"][:2])
    else:
        block = (32, *curvenet.BLOCKS[4][1:])
        monkeypatch.setattr(curvenet, "BLOCKS", (curvenet.BLOCKS[0], block))


def test_a_network_that_is_unsteady_at_another_number_keeps_the_trained_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CurveNet is at twice its points: it does not give its own answers again in another batch."""
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    honest = stage.compare

    def unsteady(run: Any, eager: Any, clouds: Any, checks: Any, config: Any) -> Any:
        if clouds.shape[1] == toy_student.STORED:
            raise ParityError("probabilities differ")
        return (yield from honest(run, eager, clouds, checks, config))

    monkeypatch.setattr(stage, "compare", unsteady)
    result, (warned,) = run(tmp_path, "safetensors")
    assert (result["points_min"], result["points_max"]) == (POINTS, POINTS)
    assert "takes clouds of 64 points only: " in warned


def test_what_is_in_the_way_is_said_before_the_work(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "tiny.pt")
    (tmp_path / "tiny.onnx").mkdir()
    with pytest.raises(DataError, match=r"tiny\.onnx: it is a folder; name a file"):
        run(tmp_path, "onnx")
    with pytest.raises(UsageError, match=r"--format onnx is known by its ending \.onnx"):
        run(tmp_path, "onnx", out=tmp_path / "tiny.pt2")
    with pytest.raises(DataError, match=r"tiny\.pt is not a folder"):
        run(tmp_path, "onnx", out=tmp_path / "tiny.pt" / "x.onnx")
