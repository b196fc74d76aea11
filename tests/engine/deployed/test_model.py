"""`pointcmt_cli.load`: raw points in, classes out; the same from every format; an .onnx without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pointcmt_cli
import toy_student
from pointcmt_cli.config import ExportConfig
from pointcmt_cli.engine.export.export import export
from pointcmt_cli.engine.training.metrics import predict_logits
from pointcmt_cli.errors import DataError, PointCMTError
from toy_student import CLASSES, POINTS, save, write_data

ENDINGS = ["pt", "onnx", "pt2", "safetensors"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.pt and what it was exported to; fixed.onnx takes 64 points only."""
    work = tmp_path_factory.mktemp("models")
    write_data(work)
    save(work / "tiny.pt")
    save(work / "fixed.pt", options={"fixed": True})
    for form in ("onnx", "pt2", "safetensors"):
        list(export(ExportConfig(Path("tiny.pt"), form, work=work, compiled=False)))  # type: ignore[arg-type]
    list(export(ExportConfig(Path("fixed.pt"), "onnx", work=work, compiled=False)))
    return work


@pytest.mark.parametrize("ending", ENDINGS)
def test_raw_points_get_eagers_answer(models: Path, ending: str) -> None:
    clouds = toy_student.clouds(5)[:, :POINTS]
    clouds -= clouds.mean(axis=1, keepdims=True)
    clouds /= np.linalg.norm(clouds, axis=2).max(axis=1)[:, None, None]
    expected = predict_logits(save(models / "again.pt"), clouds, POINTS, 8, "cpu").softmax(1)
    model = pointcmt_cli.load(models / f"tiny.{ending}")
    assert (model.class_names, model.points) == (CLASSES, POINTS)
    found = model(70 + 3.5 * clouds.astype(np.float64))  # anywhere, of any size
    assert found.probabilities.shape == (5, 3)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    one = model(clouds[3].tolist())
    np.testing.assert_allclose(one.probabilities, expected[3], atol=1e-5)
    best = CLASSES[int(expected[3].argmax())]
    assert (one.label, one.top(1)[0][0], found.label[3]) == (best, best, best)
    assert [name for name, _ in one.top(9)] == [CLASSES[k] for k in np.argsort(-one.probabilities)]
    assert [len(each) for each in found.top(2)] == [2] * 5


def test_an_onnx_file_needs_no_torch(models: Path) -> None:
    np.save(models / "cloud.npy", toy_student.clouds(1)[0])
    code = f"""
import sys, pointcmt_cli
heavy = {{"torch", "numpy", "onnxruntime"}} & set(sys.modules)
assert not heavy, heavy
import numpy
model = pointcmt_cli.load(r"{models / "tiny.onnx"}")
print(model(numpy.load(r"{models / "cloud.npy"}")).top(1))
assert not {{"torch", "h5py", "numba", "onnx", "onnxscript", "scipy"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = pointcmt_cli.load(models / "tiny.pt")(np.load(models / "cloud.npy")).top(1)
    assert done.stdout.startswith(f"[('{expected[0][0]}', ")


def test_what_does_not_fit_is_one_line(models: Path) -> None:
    model, fixed = (pointcmt_cli.load(models / f"{name}.onnx") for name in ("tiny", "fixed"))
    for points, text in [
        (np.zeros((4, 2)), r"points must be \(N, 3\) or \(B, N, 3\), got \(4, 2\)"),
        (np.zeros((0, 3)), r"got \(0, 3\)"),
        (np.full((4, 3), np.nan), "points must be finite"),
        ([[0, 1, 2], [0, 1]], "points must be numbers"),
        (np.zeros((1, 3)), r"tiny\.onnx takes 2 or more points per cloud, got 1"),
    ]:
        with pytest.raises(DataError, match=text):
            model(points)
    with pytest.raises(DataError, match=r"fixed\.onnx takes exactly 64 points per cloud, got 96"):
        fixed(toy_student.clouds(1)[0])
    assert fixed(toy_student.clouds(1)[0, :POINTS]).label in CLASSES


def test_what_cannot_be_opened_is_one_line(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    with pytest.raises(DataError, match=r"absent\.onnx: no such file"):
        pointcmt_cli.load(tmp_path / "absent.onnx")
    with pytest.raises(DataError, match=r"model\.bin: not a model; there are \.pt, "):
        pointcmt_cli.load(tmp_path / "model.bin")
    for ending in ENDINGS:
        whole = (models / f"tiny.{ending}").read_bytes()
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=rf"cut\.{ending} .*damaged") as caught:
            pointcmt_cli.load(cut)
        assert "\n" not in str(caught.value)
    proto = onnx.load(models / "tiny.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "strange.onnx")
    with pytest.raises(DataError, match=r"strange\.onnx was not written by this `pointcmt export`"):
        pointcmt_cli.load(tmp_path / "strange.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PointCMTError, match=r"onnxruntime, .*pip install 'pointcmt\[export\]'"):
        pointcmt_cli.load(models / "tiny.onnx")


def test_the_package_has_load_and_nothing_else_late() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'save'"):
        pointcmt_cli.save  # noqa: B018
