"""The papers' own recipes: each is taken, cites its source line by line, and builds what it names; what they need."""

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from places import ROOT
from pointcmt_cli import discovery
from pointcmt_cli.cli import app
from pointcmt_cli.config import Augmentation, DistillConfig, Optimizer, deciding
from pointcmt_cli.data.clouds.augmentation import CHANGES, augment, drop, turn
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.student import distill as stage
from pointcmt_cli.engine.student.provenance import other_settings, run_key
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.files import digest
from pointcmt_cli.records import Progress
from toy_distill import run, write_toy_features

RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.toml"))


@pytest.fixture
def config(tmp_path: Path) -> DistillConfig:
    write_toy_features(tmp_path / "features.h5")
    return DistillConfig(
        student="toy_networks:tiny",
        objective="none",
        work=tmp_path,
        points=64,
        epochs=4,
        batch_size=8,
        lr=1e-2,
        device="cpu",
        precision="fp32",
    )


def weights(path: Path) -> dict[str, Tensor]:
    return checkpoint.load(path)["state_dict"]


# The files.


def test_there_is_one_for_every_paper_with_a_recipe_of_its_own() -> None:
    students = {tomllib.loads(path.read_text())["student"] for path in RECIPES}
    assert students == {"dgcnn", "pct", "pointmlp", "pointnext"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_taken_as_it_is(path: Path) -> None:
    line = ["distill", "--config", str(path), "--print-config"]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said, taken = tomllib.loads(path.read_text()), tomllib.loads(done.output)
    for key, value in said.items():
        if isinstance(value, dict):  # a plug-in's options are words until it is built
            value = {name: str(each) for name, each in value.items()}
        assert taken[key] == value
    encoder = discovery.build("backbones", said["student"], taken.get("student-option", {}))
    assert encoder.feature_dim > 0
    for objective in ("contrast", "pointcmt", "none"):
        discovery.build("objectives", objective, taken["objective-option"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_line_of_a_recipe_is_cited(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^# \S+/\S+ at [0-9a-f]{7}", text, re.MULTILINE)
    settings = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    assert len(settings) == len(tomllib.loads(text))
    for line in settings[1:]:
        assert re.search(r"# .*\blines? \d+", line), line


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_smoothing_over_the_wrong_classes_is_translated(path: Path) -> None:
    """The authors' (1 - e, e / (K - 1)) is torch's of e K / (K - 1)."""
    line = next(line for line in path.read_text().splitlines() if "smoothing" in line)
    amount, classes = float(re.search(r": (0\.\d)", line)[1]), int(re.search(r"K = (\d+)", line)[1])  # type: ignore[index]
    said = float(re.search(r"smoothing = ([\d.]+)", line)[1])  # type: ignore[index]
    assert classes == (15 if "scanobjectnn" in path.stem else 40)
    assert said == pytest.approx(amount * classes / (classes - 1), abs=1e-5)
    logits = torch.randn(6, classes, dtype=torch.float64)
    labels = torch.randint(classes, (6,))
    theirs = torch.full((6, classes), amount / (classes - 1), dtype=torch.float64)
    theirs[torch.arange(6), labels] = 1 - amount
    expected = -(theirs * logits.log_softmax(1)).sum(1).mean()
    ours = nn.functional.cross_entropy(logits, labels, label_smoothing=said)
    assert float(ours) == pytest.approx(float(expected), abs=1e-4)


# What they need: optimizer, schedule, clipping.


def test_sgd_and_clipping_are_the_obvious_formulas() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    made = setup.optimizer("sgd", layer, 0.1, 0.01, clip=0.5)
    own = [each.detach().clone() for each in layer.parameters()]
    speed = [torch.zeros_like(each) for each in own]
    lengths = []
    for step in range(6):
        batch = torch.randn(5, 4) * step
        made.zero_grad()
        layer(batch).square().mean().backward()
        gradients = [each.grad.clone() for each in layer.parameters() if each.grad is not None]
        length = math.sqrt(sum(float(each.square().sum()) for each in gradients))
        lengths.append(length)
        made.step()
        for row, gradient in enumerate(gradients):
            shortened = gradient * min(1.0, 0.5 / (length + 1e-6))
            speed[row] = 0.9 * speed[row] + shortened + 0.01 * own[row]
            own[row] = own[row] - 0.1 * speed[row]
    assert min(lengths) < 0.5 < max(lengths)
    for ours, expected in zip(layer.parameters(), own, strict=True):
        torch.testing.assert_close(ours.detach(), expected)


def test_the_rate_goes_from_the_first_to_the_last(
    config: DistillConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    known = setup.set_rate
    monkeypatch.setattr(
        stage.setup, "set_rate", lambda optimizer, lr: (seen.append(lr), known(optimizer, lr))
    )
    run(replace(config, optimizer="sgd", lr=0.1, last_lr=0.02, epochs=2))
    assert seen[0] == 0.1
    steps = len(seen)
    expected = [0.02 + 0.08 * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]
    assert seen == pytest.approx(expected)


def test_without_a_last_rate_the_rate_is_what_it_was_to_the_bit() -> None:
    for progress in (0.0, 0.1, 1 / 3, 0.7, 0.999):
        assert setup.rate(progress, 1e-3, 0.0) == 1e-3 * setup.cosine(progress)


def test_an_interrupted_run_of_sgd_ends_in_the_same_weights(
    config: DistillConfig, tmp_path: Path
) -> None:
    config = replace(config, optimizer="sgd", lr=0.05, clip=1.0, augmentation="drop")
    run(replace(config, out=tmp_path / "whole.pt"))
    parts = replace(config, out=tmp_path / "parts.pt")
    for record in stage.distill(parts):
        if isinstance(record, Progress) and record.done == 2:
            break
    run(parts)
    left, right = weights(tmp_path / "whole.pt"), weights(tmp_path / "parts.pt")
    assert all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    "change",
    [{"optimizer": "sgd"}, {"last_lr": 1e-3}, {"clip": 0.01}, {"augmentation": "turn"}],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_is_another_run(config: DistillConfig, change: dict[str, Any]) -> None:
    """It changes the weights, and a finished checkpoint of others is not replaced unasked."""
    features = read_features(config.work / "features.h5")
    device, other = torch.device("cpu"), replace(config, **change)
    assert run_key(config, features, device) != run_key(other, features, device)
    run(replace(config, out=config.work / "a.pt"))
    run(replace(other, out=config.work / "b.pt"))
    left, right = weights(config.work / "a.pt"), weights(config.work / "b.pt")
    assert not all(torch.equal(left[key], right[key]) for key in left)
    [difference] = other_settings(checkpoint.load(config.work / "a.pt"), other, features)  # type: ignore[arg-type]
    assert difference.startswith(next(iter(change)))


def test_a_checkpoint_of_before_these_settings_stays_up_to_date(config: DistillConfig) -> None:
    later = ("labelled_share", "augmentation", "optimizer", "last_lr", "clip")
    features = read_features(config.work / "features.h5")
    before = {key: value for key, value in deciding(config).items() if key not in later}
    plugins = [discovery.find("backbones", config.student), discovery.find("objectives", "none")]
    versions = [(plugin.distribution, plugin.version) for plugin in plugins]
    key = digest(before, features.shapes.digest, versions, "cpu")
    assert run_key(config, features, torch.device("cpu")) == key
    run(config)
    values = checkpoint.load(config.work / "tiny-none.pt")
    for name in later:
        del values["config"][name]
    assert other_settings(values, config, features) == []  # type: ignore[arg-type]


def test_names_are_those_of_the_settings() -> None:
    assert set(CHANGES) == set(get_args(Augmentation))
    assert set(setup.OPTIMIZERS) == set(get_args(Optimizer))


# What they need: augmentations.


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_drop_puts_a_share_of_the_points_on_the_first() -> None:
    """U[0, 7/8] of them: 7/16 on average; the rest is scaled and shifted as a whole."""
    points = torch.randn(2000, 50, 3, generator=numbers())
    changed = drop(points, numbers(1))
    fallen = (changed == changed[:, :1]).all(dim=2)[:, 1:].float().mean(dim=1)
    assert float(fallen.mean()) == pytest.approx(7 / 16, abs=0.02)
    assert float(fallen.min()) < 0.05
    assert float(fallen.max()) > 0.75
    kept = ~(changed[0] == changed[0, 0]).all(dim=1)
    kept[0] = True
    ratio = (changed[0, kept] - changed[0, 0]) / (points[0, kept] - points[0, 0])
    torch.testing.assert_close(ratio[1:], ratio[1:2].expand(len(ratio) - 1, 3), rtol=1e-3, atol=0)
    assert bool(((ratio[1] > 0.66) & (ratio[1] < 1.51)).all())


def test_turn_keeps_what_is_up_and_turns_by_any_angle() -> None:
    """Undone by a twin that knows the angle: what is left is a scale per axis of at most a tenth."""
    cloud = torch.randn(1, 40, 3, generator=numbers()) * torch.tensor([1.0, 0.3, 0.6])
    cloud -= cloud.mean(dim=1, keepdim=True)
    clouds = cloud.expand(400, -1, -1)
    changed = turn(clouds, numbers(1))
    torch.testing.assert_close(changed.mean(dim=1), torch.zeros(400, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(changed.norm(dim=2).amax(dim=1), torch.ones(400))
    quarters = torch.zeros(4, dtype=torch.int64)
    for each in changed.double():
        matrix = torch.linalg.lstsq(cloud[0].double(), each).solution.T  # each = matrix @ cloud
        torch.testing.assert_close(cloud[0].double() @ matrix.T, each, atol=1e-5, rtol=0)
        torch.testing.assert_close(matrix[2, :2], torch.zeros(2).double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(matrix[:2, 2], torch.zeros(2).double(), atol=1e-5, rtol=0)
        scales = matrix.norm(dim=0)
        assert float(scales.max() / scales.min()) < 1.1 / 0.9 + 1e-4
        assert float(torch.linalg.det(matrix)) > 0
        quarters[int(torch.atan2(matrix[1, 0], matrix[0, 0]) // (math.pi / 2))] += 1
    assert int(quarters.min()) > 60


@pytest.mark.parametrize("name", get_args(Augmentation))
def test_an_augmentation_is_of_its_numbers_alone(name: Augmentation) -> None:
    points = torch.randn(5, 30, 3, generator=numbers())
    first = augment(points, 20, numbers(1), None, name)
    assert first.shape == (5, 20, 3)
    assert torch.equal(first, augment(points, 20, numbers(1), None, name))
    assert not torch.equal(first, augment(points, 20, numbers(2), None, name))
    assert torch.isfinite(first).all()
