"""train-teacher on a tiny data set and a tiny teacher: results, selection, hashes, resume after SIGKILL, messages."""

import csv
import json
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pointcmt_cli.cli import app
from pointcmt_cli.config import TeacherConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.data.store.views import ViewsRow, read_attributes, read_images, write_views
from pointcmt_cli.engine.teacher.fit import Task, even, out_of_fold, train_epoch
from pointcmt_cli.engine.teacher.image_features import Views
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.metrics import scores
from pointcmt_cli.errors import DataError, PluginError, PointCMTError, UsageError
from pointcmt_cli.records import Note, Progress, Result
from pointcmt_cli.splits import fold_of

TINY = '''
"""A teacher of a few hundred numbers."""
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, pretrained, norm):
        super().__init__()
        self.feature_dim = 24
        self.pretrained = pretrained
        middle = [nn.BatchNorm2d(24)] if norm else []
        self.layers = nn.Sequential(nn.Conv2d(3, 24, 5, 4), *middle, nn.ReLU(), nn.Dropout2d(0.1 * norm))

    def forward(self, views):
        images = views.flatten(0, 1)
        return self.layers(images).amax(dim=(2, 3)).reshape(*views.shape[:2], -1).amax(dim=1)


def tiny(*, weights: str | None = None, pretrained: bool = True, norm: bool = True):
    teacher = Tiny(pretrained, norm)
    if weights is not None:
        teacher.load_state_dict(torch.load(weights, weights_only=True))
    return teacher


def narrow(*, size: int = 3):
    teacher = Tiny(True, True)
    teacher.feature_dim = size
    return teacher


def absent():
    from pointcmt_cli.errors import PointCMTError

    raise PointCMTError("teacher 'absent' needs a package")
'''
NAME = "tiny_teacher:tiny"
CLASSES = ["blank", "bars", "spots"]
COUNTS = {"train": 42, "held-out": 12, "test": 12}


def write_shapes(path: Path, *, seed: int = 0, counts: dict[str, int] = COUNTS) -> None:
    """Views (4, 20, 20) of three kinds of texture, in noise."""
    numbers = np.random.default_rng(seed)
    rows = []
    for split, count in counts.items():
        for index in range(count):
            label = index % 3
            images = numbers.integers(0, 120, (4, 20, 20))
            images[:, :: 4 if label == 1 else 20] += 100 * (label > 0)
            images[:, 5:9, 5:9] += 100 * (label == 2)
            name = f"{CLASSES[label]}/{split}{index}"
            points = numbers.normal(size=(16, 3)).astype(np.float32)
            data = zlib.compress(images.astype(np.uint8).tobytes())
            rows.append(
                ViewsRow(name, label, split, f"{seed}{name}", f"{seed}{name}", points, data)
            )
    attributes = {"class_names": CLASSES, "rig": "test", "image_size": 20, "variant": "OBJ_BG"}
    write_views(path, rows, len(rows), (4, 20, 20), 16, attributes)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with views.h5 and the module of the tiny teacher on the path."""
    (tmp_path / "tiny_teacher.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_teacher", raising=False)
    write_shapes(tmp_path / "views.h5")
    return tmp_path


def configured(work: Path, **settings: Any) -> TeacherConfig:
    values = {"teacher": NAME, "epochs": 4, "batch_size": 16, "folds": 3, "width": 8, **settings}
    return TeacherConfig(work=work, device="cpu", **values)


def run(config: TeacherConfig) -> tuple[dict[str, Any], list[str], list[Any]]:
    """Result, notes, and every record."""
    records = list(train_teacher(config))
    assert isinstance(records[-1], Result)
    notes = [record.text for record in records if isinstance(record, Note)]
    return dict(records[-1].values), notes, records


def state(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = checkpoint.load(path)["state_dict"]
    return found


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first | second)


@pytest.mark.parametrize("freeze", [True, False])
def test_the_files_agree_with_each_other(work: Path, freeze: bool) -> None:
    result, _, records = run(configured(work, freeze=freeze))
    values = checkpoint.load(work / "teacher.pt")
    features = read_features(work / "features.h5")
    attributes = features.shapes.attributes
    views = read_attributes(work / "views.h5")
    assert values["provenance"]["views_digest"] == attributes["views_digest"] == views["digest"]
    assert values["provenance"]["digest"] == attributes["teacher_digest"]
    assert attributes["teacher"] == NAME
    assert attributes["variant"] == result["variant"] == "OBJ_BG"
    model = checkpoint.rebuild(values, work / "teacher.pt")
    assert checkpoint.state_digest(model) == attributes["teacher_digest"]

    rows = range(sum(COUNTS.values()))
    images = torch.from_numpy(read_images(work / "views.h5", list(rows))).float() / 255
    with torch.no_grad():
        encoded = model.encode(images[:, :, None].expand(-1, -1, 3, -1, -1))
        np.testing.assert_allclose(encoded.numpy(), features.encoder_features, atol=1e-5)
        np.testing.assert_allclose(
            model.neck(encoded).numpy(), features.teacher_features, atol=1e-5
        )
        logits = model.head(model.neck(encoded)).numpy()
    np.testing.assert_allclose(logits, features.teacher_logits, atol=1e-5)
    assert features.teacher_features.shape == (len(rows), 8)
    assert features.shapes.names[0] == "blank/train0"
    for split, label in (("held-out", "held_out"), ("test", "test")):
        chosen = features.shapes.rows(split)
        share = (logits[chosen].argmax(axis=1) == features.shapes.labels[chosen]).mean()
        assert result[label]["oa"] == pytest.approx(share)
    totals = {record.task: record.total for record in records if isinstance(record, Progress)}
    assert totals["image features"] == len(rows)
    assert totals["teacher"] == 4 * 3


def test_a_run_writes_its_config_and_its_metrics(work: Path) -> None:
    result, _, _ = run(configured(work, epochs=3))
    config = json.loads((work / "teacher.config.json").read_text())
    assert config["teacher"] == NAME
    assert config["freeze"] is True
    with (work / "teacher.metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["held_out_oa"]) == result["last_epoch"]["oa"]
    best = max(rows, key=lambda row: float(row["held_out_oa"]))
    assert result["selected_epoch"] == int(best["epoch"])
    assert result["held_out"]["oa"] == pytest.approx(float(best["held_out_oa"]))
    assert not list(work.glob(".*.resume"))


def test_it_learns(work: Path) -> None:
    result, _, _ = run(configured(work, epochs=40, batch_size=64))
    assert result["test"]["oa"] > 0.6
    assert result["out_of_fold"]["oa"] > 0.6


def test_same_seed_same_weights_other_seed_other_weights(work: Path) -> None:
    run(configured(work))
    first, features = state(work / "teacher.pt"), read_features(work / "features.h5")
    run(configured(work, force=True))
    again = read_features(work / "features.h5")
    assert same(first, state(work / "teacher.pt"))
    assert np.array_equal(features.oof_logits, again.oof_logits)
    assert features.shapes.digest == again.shapes.digest
    run(configured(work, seed=1, force=True))
    assert not same(first, state(work / "teacher.pt"))


def test_up_to_date_and_what_changed_is_said(work: Path) -> None:
    first, _, _ = run(configured(work))
    again, notes, _ = run(configured(work))
    assert again == first
    out, features = work / "teacher.pt", work / "features.h5"
    assert notes == [f"{out} and {features} are up to date (--force trains again)"]
    run(configured(work, epochs=5, lr=0.01, force=True))
    write_shapes(work / "views.h5", seed=1)
    _, notes, _ = run(configured(work, epochs=5, lr=0.01))
    assert f"retraining {out}; changed: the views" in notes


@pytest.mark.parametrize("freeze", [True, False])
def test_a_lost_features_file_is_made_again_from_the_checkpoint(work: Path, freeze: bool) -> None:
    run(configured(work, freeze=freeze))
    before = read_features(work / "features.h5")
    stamp = (work / "teacher.pt").stat().st_mtime_ns
    (work / "features.h5").unlink()
    run(configured(work, freeze=freeze))
    after = read_features(work / "features.h5")
    assert (work / "teacher.pt").stat().st_mtime_ns == stamp
    for name in ("teacher_features", "teacher_logits", "oof_logits", "encoder_features"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_a_finished_teacher_of_other_settings_is_not_replaced(work: Path) -> None:
    run(configured(work))
    before = (work / "teacher.pt").read_bytes()
    said = (
        r"settings \(epochs 4 -> 5, lr 0.001 -> 0.01\): name another file with --out, or .* --force"
    )
    with pytest.raises(DataError, match=said):
        run(configured(work, epochs=5, lr=0.01))
    assert (work / "teacher.pt").read_bytes() == before


def test_features_of_another_teacher_are_not_taken_for_these(work: Path) -> None:
    run(configured(work))
    own = read_features(work / "features.h5")
    other = configured(work, seed=3, out=work / "other.pt")
    with pytest.raises(DataError, match=r"features\.h5 .*name another file with --features, or"):
        run(other)
    run(replace(other, force=True))
    assert (
        read_attributes(work / "features.h5")["teacher_digest"]
        != own.shapes.attributes["teacher_digest"]
    )
    _, notes, _ = run(configured(work))
    assert not any("up to date" in note for note in notes)
    assert np.array_equal(read_features(work / "features.h5").teacher_logits, own.teacher_logits)


def test_image_features_are_computed_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(configured(work))

    def fail(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(Views, "__call__", fail)
    run(configured(work, epochs=2, force=True))
    with pytest.raises(AssertionError, match="an image was read"):
        run(configured(work, epochs=2, view_size=10, force=True))


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pointcmt_cli.config import TeacherConfig
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.records import Progress
config = TeacherConfig(work=Path(sys.argv[1]), device="cpu", teacher="tiny_teacher:tiny", epochs=4, batch_size=16,
                       folds=3, width=8, freeze=sys.argv[2] == "True")
for record in train_teacher(config):
    if isinstance(record, Progress) and (record.task, record.done) == (sys.argv[3], int(sys.argv[4])):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("freeze", "task", "done"),
    [
        (True, "image features", 32),
        (True, "teacher", 8),
        (False, "teacher", 8),
        (False, "image features", 64),
    ],
)
def test_killed_and_run_again_ends_in_the_same_weights(
    work: Path, freeze: bool, task: str, done: int
) -> None:
    command = [sys.executable, "-c", KILLED, str(work), str(freeze), task, str(done)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not (work / "teacher.pt").exists()
    _, _, records = run(configured(work, freeze=freeze))
    first = next(r for r in records if isinstance(r, Progress) and r.task == "teacher")
    assert first.done > (
        3 if task == "teacher" else 0
    )  # the first epoch's 3 steps were not taken again
    resumed, features = state(work / "teacher.pt"), read_features(work / "features.h5")
    run(configured(work, freeze=freeze, force=True))
    assert same(resumed, state(work / "teacher.pt"))
    assert np.array_equal(features.oof_logits, read_features(work / "features.h5").oof_logits)


def test_out_of_fold_logits_know_nothing_of_their_shapes(work: Path) -> None:
    run(configured(work))
    features = read_features(work / "features.h5")
    shapes = features.shapes
    train = shapes.rows("train")
    inside = np.array([row for row in train if fold_of(shapes.names[row], 3) == 1])
    labels = shapes.labels.copy()
    labels[inside] = (labels[inside] + 1) % 3
    lied = replace(features, shapes=replace(shapes, labels=labels))
    config = configured(work, freeze=True)

    def logits(given: Any) -> Any:
        stage = out_of_fold(given, 8, config, torch.device("cpu"), 2)
        while True:
            try:
                next(stage)
            except StopIteration as end:
                return end.value

    honest, other = logits(features), logits(lied)
    assert np.array_equal(honest[inside], other[inside])
    rest = np.setdiff1d(train, inside)
    assert not np.array_equal(honest[rest], other[rest])
    outside = np.setdiff1d(np.arange(len(labels)), train)
    assert np.array_equal(honest[outside], features.teacher_logits[outside])
    assert not np.array_equal(honest[train], features.teacher_logits[train])


def test_a_network_trained_end_to_end_has_no_out_of_fold_logits(work: Path) -> None:
    result, _, _ = run(configured(work, freeze=False))
    features = read_features(work / "features.h5")
    assert features.shapes.attributes["folds"] == 0
    assert np.array_equal(features.oof_logits, features.teacher_logits)
    assert result["out_of_fold"] == {}


def test_the_reference_has_no_neck_where_the_width_fits(work: Path) -> None:
    for freeze, width, expected in (
        (False, 24, None),
        (True, 24, 24),
        (False, 8, 8),
        (True, 0, None),
    ):
        run(configured(work, freeze=freeze, width=width, force=True))
        assert checkpoint.load(work / "teacher.pt")["width"] == expected


def test_no_first_weights_are_needed_to_rebuild(work: Path) -> None:
    import tiny_teacher

    torch.save(tiny_teacher.tiny().state_dict(), work / "first.pt")
    run(configured(work, weights=work / "first.pt"))
    (work / "first.pt").unlink()
    values = checkpoint.load(work / "teacher.pt")
    assert values["options"]["weights"] == str(work / "first.pt")
    model: Any = checkpoint.rebuild(values, work / "teacher.pt")
    assert model.encoder.pretrained is False


def test_the_first_teacher_that_can_be_built_is_taken_and_the_others_named(work: Path) -> None:
    order = ("tiny_teacher:absent", NAME)
    result, notes, _ = run(configured(work, teacher=None, preference=order))
    assert result["teacher"] == NAME
    assert notes[0] == (
        f"teacher '{NAME}': 'tiny_teacher:absent' cannot be used here (teacher 'absent' needs a package)"
    )
    with pytest.raises(PluginError, match=r"no teacher can be built: 'tiny_teacher:absent' cannot"):
        run(configured(work, teacher=None, preference=order[:1]))
    with pytest.raises(PointCMTError, match=r"^teacher 'absent' needs a package$"):
        run(configured(work, teacher=order[0]))


def test_a_frozen_random_network_draws_a_warning(work: Path) -> None:
    _, notes, _ = run(configured(work, teacher_options={"pretrained": False}))
    assert any("has random weights and is frozen" in note for note in notes)
    _, notes, _ = run(
        configured(work, teacher_options={"pretrained": False}, freeze=False, force=True)
    )
    assert not any("random weights" in note for note in notes)


def test_a_broken_contract_is_named(work: Path) -> None:
    with pytest.raises(
        PluginError, match=r"'tiny_teacher:narrow' breaks its contract: expected features \(2, 3\)"
    ):
        run(configured(work, teacher="tiny_teacher:narrow"))


def test_without_held_out_shapes_the_last_epoch_is_kept_and_said(work: Path) -> None:
    write_shapes(work / "views.h5", counts={"train": 30})
    result, notes, _ = run(configured(work))
    assert (result["selected_by"], result["selected_epoch"]) == ("last", 4)
    assert result["test"] == result["held_out"] == {}
    assert any("no held-out shapes: the last epoch is kept" in note for note in notes)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"folds": 1}, UsageError, "--folds 1: 0"),
        ({"view_size": 21}, UsageError, "--view-size 21: the views are stored at 20 pixels"),
        ({"weights": Path("a"), "teacher_options": {"weights": "b"}}, UsageError, "given twice"),
        ({"teacher_options": {"depth": 3}}, PluginError, "no option 'depth'"),
        (
            {"lr": 1e30, "epochs": 9},
            PointCMTError,
            r"train-teacher: the loss is (nan|inf) at epoch \d, step",
        ),
        (
            {"views": Path("none.h5")},
            DataError,
            "none.h5: no such file; `pointcmt render` makes it",
        ),
    ],
)
def test_bad_input_is_one_line(
    work: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run(configured(work, **settings))
    assert "\n" not in str(caught.value)


def test_too_few_shapes(work: Path) -> None:
    write_shapes(work / "views.h5", counts={"train": 1, "test": 3})
    with pytest.raises(DataError, match=r"views.h5: a teacher needs 2 train shapes or more"):
        run(configured(work))


def test_micro_batches_add_up_to_their_batch(work: Path) -> None:
    from pointcmt_cli.data.store.views import read_shapes

    shapes = read_shapes(work / "views.h5")
    rows = torch.from_numpy(shapes.rows("train"))[:13]
    found = []
    for micro in (2, 16):
        config = configured(work, freeze=False, micro_batch=micro)
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 400, 3))
        views = Views(work / "views.h5", None, torch.device("cpu"))
        task = Task(module, views, shapes, config, torch.device("cpu"))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        found.append((list(train_epoch(task, rows, optimizer, 0)), module[1].weight.detach()))
    assert found[0][0][0] == pytest.approx(found[1][0][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def test_the_loss_is_cross_entropy_smoothed_over_all_classes(work: Path) -> None:
    from pointcmt_cli.data.store.views import read_shapes

    shapes = read_shapes(work / "views.h5")
    rows = torch.from_numpy(shapes.rows("train"))[:8]
    logits = torch.randn(len(shapes.names), 3, generator=setup.stream(0))
    module = nn.Linear(3, 3, bias=False)
    nn.init.eye_(module.weight)
    config = configured(work, freeze=True, smoothing=0.2)
    task = Task(module, lambda wanted: logits[wanted], shapes, config, torch.device("cpu"))
    ((loss, right),) = train_epoch(task, rows, torch.optim.SGD(module.parameters(), lr=0.0), 0)
    terms, hits = [], []
    for row in rows.tolist():
        chances = logits[row].exp() / logits[row].exp().sum()
        target = [0.2 / 3 + 0.8 * (k == shapes.labels[row]) for k in range(3)]
        terms.append(-sum(t * float(p.log()) for t, p in zip(target, chances, strict=True)))
        hits.append(int(chances.argmax()) == shapes.labels[row])
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)
    assert right == pytest.approx(np.mean(hits))
    assert scores(logits[rows], shapes.labels[rows.numpy()], CLASSES)["oa"] == pytest.approx(right)


def test_even_parts_never_leave_one_alone() -> None:
    for count in range(2, 60):
        for size in range(2, 20):
            parts = even(torch.arange(count), size)
            assert torch.equal(torch.cat(parts), torch.arange(count))
            assert min(map(len, parts)) >= 2
            assert max(map(len, parts)) <= size + 1


def test_views_are_averaged_down(work: Path) -> None:
    views = Views(work / "views.h5", 10, torch.device("cpu"))
    images = read_images(work / "views.h5", [3, 5])
    expected = images.reshape(2, 4, 10, 2, 10, 2).mean(axis=(3, 5)) / 255
    found = views(torch.tensor([3, 5]))
    assert found.shape == (2, 4, 3, 10, 10)
    for channel in range(3):
        np.testing.assert_allclose(found[:, :, channel].numpy(), expected, atol=1e-6)


def write_colours(path: Path) -> None:
    """Views (2, 20, 20, 3): the classes differ in hue alone, noise in each channel is alike."""
    numbers = np.random.default_rng(0)
    rows = []
    for index in range(60):
        label, split = index % 3, ("train", "train", "held-out", "test")[index // 3 % 4]
        images = numbers.integers(0, 100, (2, 20, 20, 3)).astype(np.uint8)
        images[..., label] += 100
        name, points = f"{CLASSES[label]}/{index}", numbers.normal(size=(16, 3)).astype(np.float32)
        rows.append(
            ViewsRow(name, label, split, name, name, points, zlib.compress(images.tobytes()))
        )
    about = {"class_names": CLASSES, "color": True}
    write_views(path, rows, len(rows), (2, 20, 20, 3), 16, about)


def test_colour_reaches_the_network_in_rgb_order(work: Path) -> None:
    path = work / "views.h5"
    write_colours(path)
    images = read_images(path, [3, 5])  # (2, 2, 20, 20, 3)
    expected = images.reshape(2, 2, 10, 2, 10, 2, 3).mean(axis=(3, 5)).transpose(0, 1, 4, 2, 3)
    found = Views(path, 10, torch.device("cpu"))(torch.tensor([3, 5]))
    np.testing.assert_allclose(found.numpy(), expected / 255, atol=1e-6)
    whole = Views(path, None, torch.device("cpu"))(torch.tensor([3, 5]))
    assert whole.shape == (2, 2, 3, 20, 20)
    np.testing.assert_allclose(whole.numpy(), images.transpose(0, 1, 4, 2, 3) / 255, atol=1e-6)
    for freeze in (False, True):
        result, _, _ = run(configured(work, freeze=freeze, epochs=30, lr=0.01, force=True))
        assert result["test"]["oa"] == 1


def test_tensorboard(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    run(configured(work, tensorboard=True))
    assert list((work / "teacher-tensorboard").glob("events.*"))
    for module in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        PointCMTError,
        match=r"--tensorboard needs tensorboard, .*pip install 'pointcmt\[tensorboard\]'",
    ):
        run(configured(work, tensorboard=True))


def test_the_command_prints_figures_apart(work: Path) -> None:
    import typer

    from pointcmt_cli.commands.train_teacher import train_teacher as command

    app = typer.Typer()
    app.command()(command)
    arguments = [
        "--work",
        work,
        "--teacher",
        NAME,
        "--epochs",
        2,
        "--device",
        "cpu",
        "--option",
        "norm=no",
    ]
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    for text in (
        "(selected by held-out)",
        "held-out, last epoch",
        "out of fold",
        "test",
        "next: pointcmt distill",
    ):
        assert text in result.stdout
    assert checkpoint.load(work / "teacher.pt")["options"] == {"norm": "no"}


def test_first_weights_count_by_their_content_not_by_how_their_path_is_typed(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run for train-teacher is one group for evaluate: absolute, relative, copied, or as the plug-in's option."""
    from tiny_teacher import tiny  # type: ignore[import-not-found]

    monkeypatch.chdir(work)
    torch.save(tiny().state_dict(), work / "first.pt")
    (work / "copy.pt").write_bytes((work / "first.pt").read_bytes())
    torch.manual_seed(7)
    torch.save({key: each + 1 for key, each in tiny().state_dict().items()}, work / "random.pt")
    given: dict[str, dict[str, Any]] = {
        "absolute": {"weights": work / "first.pt"},
        "relative": {"weights": Path("first.pt"), "seed": 1},
        "copied": {"weights": Path("copy.pt"), "seed": 2},
        "option": {"teacher_options": {"weights": "first.pt"}, "seed": 3},
        "other": {"weights": Path("random.pt")},
    }
    for name, settings in given.items():
        run(configured(work, out=work / f"{name}.pt", features=work / f"{name}.h5", **settings))
    _, notes, _ = run(
        configured(
            work,
            out=work / "absolute.pt",
            features=work / "absolute.h5",
            weights=Path("copy.pt"),
        )
    )
    assert any("up to date" in note for note in notes)
    line = ["evaluate", *(f"{name}.pt" for name in given), "--data", "views.h5", "--json"]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    runs = {Path(each["checkpoint"]).stem: each for each in json.loads(done.stdout)["runs"]}
    assert len({runs[name]["group"] for name in given if name != "other"}) == 1
    assert runs["other"]["group"] != runs["absolute"]["group"]


@pytest.mark.parametrize("freeze", [True, False])
def test_a_teachers_own_config_trains_the_same_weights_again(work: Path, freeze: bool) -> None:
    run(configured(work, freeze=freeze, seed=3, micro_batch=4, out=work / "first.pt"))
    line = ["train-teacher", "--config", str(work / "first.config.json")]
    for out, more in (("again", []), ("other", ["--seed", "5"])):
        places = ["--out", str(work / f"{out}.pt"), "--features", str(work / f"{out}.h5")]
        done = CliRunner().invoke(app, [*line, *places, *more])
        assert done.exit_code == 0, done.output
    assert same(state(work / "first.pt"), state(work / "again.pt"))
    assert not same(state(work / "first.pt"), state(work / "other.pt"))
