"""--half and --int8: smaller files, held to the accuracy that they keep on the held-out split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pointcmt_cli.commands import export as command
from pointcmt_cli.config import ExportConfig
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.deployed.opened_torch import of_trained
from pointcmt_cli.engine.export import export as stage
from pointcmt_cli.engine.export import int8
from pointcmt_cli.engine.training.trained import open_trained
from pointcmt_cli.errors import DataError, ParityError, UsageError
from pointcmt_cli.records import Result
from toy_student import POINTS, save, write_data


def run(work: Path, **options: Any) -> dict[str, Any]:
    *_, last = stage.export(ExportConfig(Path("net.pt"), work=work, compiled=False, **options))
    assert isinstance(last, Result)
    return dict(last.values)


def initializers(path: Path) -> dict[str, int]:
    """Bytes of weights by their type."""
    found: dict[str, int] = {}
    for each in onnx.load(path).graph.initializer:
        name = TensorProto.DataType.Name(each.data_type)
        found[name] = found.get(name, 0) + len(each.raw_data)
    return found


@pytest.mark.parametrize(
    "form",
    [*(pytest.param(each, marks=pytest.mark.slow) for each in ("onnx", "pt2")), "safetensors"],
)
def test_half_is_half_and_says_what_it_costs(form: Any, tmp_path: Path) -> None:
    write_data(tmp_path, 30)
    save(tmp_path / "net.pt", "pointnet")
    result = run(tmp_path, format=form, half=True, max_drop=1.0)
    assert (result["precision"], result["held_out"]) == ("half", 10)
    assert result["drop"] == pytest.approx(result["accuracy_eager"] - result["accuracy"])
    assert result["difference"] <= 1e-4
    assert result["bytes"] < 0.65 * (tmp_path / "net.pt").stat().st_size
    said = stage.OPEN[form](tmp_path / f"net.{form}").metadata
    assert said["precision"] == "half"
    if form == "onnx":
        kinds = initializers(tmp_path / "net.onnx")
        assert kinds["FLOAT16"] > 4 * kinds["FLOAT"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "share", "weights"),
    [
        ("pointnet", {}, 0.35, 100_000),
        ("pointnet2", {"centres": "16,8"}, 0.35, 700_000),
        ("dgcnn", {"neighbours": "8"}, 0.6, 500_000),  # its edge convolutions are in float64
    ],
)
def test_int8_is_a_quarter_and_takes_any_batch_and_number(
    name: str,
    options: dict[str, Any],
    share: float,
    weights: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_data(tmp_path, 30)
    model = save(tmp_path / "net.pt", name, options)
    command.export.__wrapped__(
        ExportConfig(tmp_path / "net.pt", int8=True, max_drop=1.0, work=tmp_path, compiled=False)
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "onnx, int8" in shown
    for text in ("clouds", "eager", "(rounding)"):
        assert text in shown
    assert (tmp_path / "net.onnx").stat().st_size < share * (tmp_path / "net.pt").stat().st_size
    assert initializers(tmp_path / "net.onnx")["INT8"] > weights
    exported = stage.OPEN["onnx"](tmp_path / "net.onnx")
    assert exported.metadata["precision"] == "int8"
    clouds = read_shapes(tmp_path / "views.h5").points[:5, :50]
    trained = open_trained(tmp_path / "net.pt", tmp_path, "backbones")
    assert trained.model.state_dict().keys() == model.state_dict().keys()
    apart = np.abs(exported.run(clouds) - of_trained(trained).run(clouds)).max()
    assert 1e-6 < apart < 0.5
    np.testing.assert_allclose(exported.run(clouds)[2:3], exported.run(clouds[2:3]), atol=1e-5)


def test_too_much_lost_fails_and_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 1e-9 are nothing in half: the network then says the same of every cloud."""
    write_data(tmp_path, 90)
    save(tmp_path / "net.pt", options={"scale": 1e-9}, seed=3)
    trained = open_trained(tmp_path / "net.pt", tmp_path, "backbones")
    points = read_shapes(tmp_path / "views.h5").points[:, :POINTS]
    labels = of_trained(trained).run(points).argmax(axis=1)  # eager is right on all
    assert len(set(labels.tolist())) > 1
    monkeypatch.setattr(stage, "held_out_clouds", lambda *_: stage.Clouds(points, labels))
    old = tmp_path / "net.safetensors"
    old.write_bytes(b"older and good")
    with pytest.raises(ParityError, match=r"half loses \d+\.\d points .* than --max-drop 0\.01 al"):
        run(tmp_path, half=True, format="safetensors")
    assert old.read_bytes() == b"older and good"
    assert not list(tmp_path.glob(".*"))


def test_the_drop_is_counted_and_one_cloud_too_many_is_refused(tmp_path: Path) -> None:
    write_data(tmp_path, 90)
    save(tmp_path / "net.pt")
    trained = open_trained(tmp_path / "net.pt", tmp_path, "backbones")
    shapes = read_shapes(tmp_path / "views.h5")
    points = stage.held_out_clouds(shapes, trained, tmp_path).points
    right = of_trained(trained).run(points).argmax(axis=1)
    held_out = stage.Clouds(points, right)  # eager is right on all 30
    wrong = {points[3].tobytes(), points[29].tobytes()}

    def two_wrong(clouds: Any) -> Any:
        found = of_trained(trained).run(clouds)
        for row, cloud in enumerate(clouds):
            if cloud.tobytes() in wrong:
                found[row] = np.roll(found[row], 1)
        return found

    def drive(allowed: float) -> dict[str, Any]:
        config = ExportConfig(Path("net.pt"), int8=True, max_drop=allowed)
        return last(stage.lost(two_wrong, trained, held_out, config))

    found = drive(0.07)
    assert (found["held_out"], found["accuracy_eager"]) == (30, 1.0)
    assert found["drop"] == pytest.approx(2 / 30)
    text = r"int8 loses 6\.7 points of accuracy .* \(100\.0 % to 93\.3 %, 30 clouds\)"
    with pytest.raises(ParityError, match=text):
        drive(0.06)


def last(steps: Iterator[Any]) -> Any:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_what_cannot_be_rounded_is_one_line(tmp_path: Path) -> None:
    write_data(tmp_path, 9)
    save(tmp_path / "net.pt")
    with pytest.raises(UsageError, match="--half and --int8: one of them"):
        run(tmp_path, half=True, int8=True)
    with pytest.raises(UsageError, match="--int8 is for --format onnx; pt2 has --half"):
        run(tmp_path, format="pt2", int8=True)
    shapes = read_shapes(tmp_path / "views.h5")
    trained = open_trained(tmp_path / "net.pt", tmp_path, "backbones")
    shapes.splits[:] = "train"
    with pytest.raises(DataError, match="has no held-out shapes to measure what --half or --int8"):
        stage.held_out_clouds(shapes, trained, tmp_path)
    shapes.classes[0] = "bowl"
    with pytest.raises(DataError, match="has other classes than"):
        stage.held_out_clouds(shapes, trained, tmp_path)


def test_calibration_sees_clouds_of_every_class() -> None:
    """They stand class by class, and more than are looked at."""
    labels = np.repeat(np.arange(40, dtype=np.float32), 25)
    seen = int8.evenly(np.broadcast_to(labels[:, None, None], (1000, 4, 3)))
    assert len(seen) == int8.CALIBRATION
    assert set(seen[:, 0, 0].tolist()) == set(labels.tolist())
    few = np.zeros((5, 4, 3), np.float32)
    assert len(int8.evenly(few)) == 5
