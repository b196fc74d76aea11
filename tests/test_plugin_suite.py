"""One suite over every installed plug-in of every group, first-party or not; and the suite's own eyesight."""

import itertools
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from places import ROOT
from pointcmt_cli import discovery, testing
from pointcmt_cli.api import label_loss
from pointcmt_cli.errors import PluginError, PointCMTError

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "pointnet": [{}, {"transforms": True}],
    "pointnet2": [{}, {"variant": "msg", "bias": False}],
    "pointmlp": [{"variant": "elite"}],
    "pointnext": [{}, {"variant": "b", "width": 16}],
    "efficientnet-lite": [{"pretrained": False}],
    "timm": [{"pretrained": False}],
    "pointcmt": [{}, {"recipe": "reference"}],
    "raster": [{}, {"shading": "normal", "color": True}, {"normals": "smooth", "supersample": 2}],
}
"""Options worth a check of their own; every other plug-in is checked with its defaults."""
CASES = [
    pytest.param(group, plugin.name, options, id=f"{plugin.name}-{options}")
    for group in discovery.GROUPS
    for plugin in discovery.available(group)
    for options in OPTIONS.get(plugin.name, [{}])
]


@pytest.mark.parametrize(("group", "name", "options"), CASES)
def test_contract(group: str, name: str, options: dict[str, Any]) -> None:
    check = getattr(testing, f"check_{group[:-1]}")
    try:
        check(name, **options)
    except PluginError:
        raise
    except PointCMTError as error:  # its own line to a user whose machine lacks something
        pytest.skip(str(error))


class Encoder(nn.Module):
    """A good backbone, but for what a test breaks in it."""

    feature_dim: Any = 8

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.layer = nn.Linear(3, 8)
        self.spare = nn.Linear(3, 8) if fault == "spare" else None
        self.fault = fault
        self.scale = float(torch.rand(()))
        if fault == "width":
            self.feature_dim = "8"

    def forward(self, points: Tensor) -> Tensor:
        if self.fault == "in place":
            points -= points.mean(dim=1, keepdim=True)
        features: Tensor = self.layer(points).amax(dim=1)
        if self.fault == "shape":
            return features[:, :4]
        if self.fault == "rows":
            return features - features.mean(dim=0)
        if self.fault == "random":
            return features + torch.rand(())
        if self.fault == "nan":
            return features / (points.shape[1] != 1)
        if self.fault == "detached":
            return features.detach()
        if self.fault == "export" and float(features.detach().sum()) > 0:
            return features + 1
        if self.fault == "state":
            return features * self.scale
        return features


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("width", "expected an attribute feature_dim: int above 0, got '8'"),
        ("shape", r"a training batch: expected features \(4, 8\), got \(4, 4\)"),
        ("in place", "the forward pass changed its input in place"),
        ("spare", "no gradient reaches parameter 'spare.weight'"),
        ("detached", "features carry no gradient in training"),
        ("rows", "in eval mode a row must not depend on the others: alone it differs by"),
        ("random", "the same input gave other features in eval mode"),
        ("nan", "1 points: features are not finite"),
        ("export", "torch.export cannot take it: "),
        (
            "state",
            "after load_state_dict it computes something else: its state_dict is not complete",
        ),
    ],
)
def test_a_bad_backbone_is_told_what_is_wrong(fault: str, text: str) -> None:
    testing.check_backbone(Encoder)
    with pytest.raises(AssertionError, match=text):
        testing.check_backbone(Encoder, fault=fault)


def test_a_function_is_no_backbone() -> None:
    with pytest.raises(AssertionError, match=r"expected an nn\.Module, got int"):
        testing.check_backbone(lambda: 3)


COUNT = itertools.count(1)


class Objective(nn.Module):
    def __init__(self, terms: Callable[[Any], Any]) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, batch: Any) -> Any:
        return self.terms(batch)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (lambda batch: batch.student_logits.sum(), "expected a dict of named terms, got Tensor"),
        (
            lambda batch: {"a": batch.student_logits},
            r"term 'a': expected a scalar tensor, got \(4, 5\)",
        ),
        (lambda batch: {"a": batch.student_logits.sum() * torch.inf}, "term 'a' is -?(inf|nan)"),
        (lambda batch: {"a": batch.labels.float().sum()}, "no term carries a gradient"),
        (
            lambda batch: {"a": 0 * batch.student_logits.sum()},
            "gives the student no finite gradient",
        ),
        (
            lambda batch: {"a": next(COUNT) * batch.student_features.sum()},
            "the same batch and seed gave other terms",
        ),
    ],
)
def test_a_bad_objective_is_told_what_is_wrong(terms: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        testing.check_objective(lambda: Objective(terms))


def test_an_objective_without_a_teacher_looks_at_none() -> None:
    def told(terms: Callable[[Any], Any]) -> nn.Module:
        objective = Objective(terms)
        objective.uses_teacher = False  # type: ignore[assignment]
        return objective

    testing.check_objective(lambda: told(lambda batch: {"a": batch.student_logits.std()}))
    with pytest.raises(AssertionError, match="uses_teacher is False, but another teacher gave"):
        testing.check_objective(
            lambda: told(lambda batch: {"a": (batch.student_logits * batch.oof_logits).sum()})
        )


def test_an_objective_reads_no_label_that_is_not_there() -> None:
    def told(terms: Callable[[Any], Any]) -> nn.Module:
        objective = Objective(terms)
        objective.uses_unlabelled = True  # type: ignore[assignment]
        return objective

    testing.check_objective(lambda: told(lambda batch: {"a": label_loss(batch)}))
    for name in ("labels", "bank_labels"):
        with pytest.raises(AssertionError, match="the label of a shape that has none was read"):
            testing.check_objective(
                lambda name=name: told(
                    lambda batch: {
                        "a": batch.student_features.sum() * getattr(batch, name).float().mean()
                    }
                )
            )


def draw(change: Callable[[Any], Any]) -> Callable[[], Any]:
    """A renderer of one dark pixel per view, and then `change`d."""

    def renderer(shape: Any, cameras: Any) -> Any:
        images = np.full((cameras.views, cameras.size, cameras.size), 255, np.uint8)
        images[:, 9, 9] = 0
        return change(images)

    return lambda: renderer


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda images: images.astype(float),
            r"expected images \(6, 64, 64\) uint8, got \(6, 64, 64\) float64",
        ),
        (lambda images: images[:, :32], r"got \(6, 32, 64\) uint8"),
        (
            lambda images: 255 - images,
            r"the background must be 255 \(white\), view 0 has \[0, 0, 0, 0\]",
        ),
        (lambda images: np.full_like(images, 255), "view 0 is empty"),
    ],
)
def test_a_bad_renderer_is_told_what_is_wrong(change: Callable[[Any], Any], text: str) -> None:
    testing.check_renderer(draw(lambda images: images))
    with pytest.raises(AssertionError, match=text):
        testing.check_renderer(draw(change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda images: images,
            r"expected images \(6, 64, 64, 3\) uint8, got \(6, 64, 64\) uint8 with color=True",
        ),
        (lambda images: 255 - images[..., None].repeat(3, -1), r"the background must be 255"),
    ],
)
def test_a_bad_renderer_in_colour_is_told_what_is_wrong(
    change: Callable[[Any], Any], text: str
) -> None:
    def factory(*, color: bool = False, change: Callable[[Any], Any] = change) -> Any:
        return draw(change if color else lambda images: images)()

    testing.check_renderer(factory, change=lambda images: images[..., None].repeat(3, -1))
    testing.check_renderer(factory, color=False)
    for options in ({}, {"color": True}):
        with pytest.raises(AssertionError, match=text):
            testing.check_renderer(factory, **options)


def test_a_renderer_may_refuse_orthographic_cameras_but_not_draw_them_badly() -> None:
    def factory(*, refuses: bool) -> Any:
        def renderer(shape: Any, cameras: Any) -> Any:
            if cameras.orthographic and refuses:
                raise PointCMTError("perspective cameras only")
            return draw(lambda images: images[:, : 8 if cameras.orthographic else None])()(
                shape, cameras
            )

        return renderer

    testing.check_renderer(factory, refuses=True)
    with pytest.raises(AssertionError, match=r"got \(6, 8, 64\) uint8"):
        testing.check_renderer(factory, refuses=False)


def test_the_example_distribution_passes_its_own_tests_once_installed(tmp_path: Path) -> None:
    """What an installer writes for it, then its tests in a fresh process; it shares nothing with this repository."""
    folder = ROOT / "examples" / "third_party_backbone"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    site = tmp_path / "site"
    information = site / f"{name}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    )
    points = project["entry-points"]["pointcmt.backbones"].items()
    lines = ["[pointcmt.backbones]", *(f"{key} = {value}" for key, value in points)]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / f"{name}.py").write_text((folder / f"{name}.py").read_text())
    tests = tmp_path / "tests"
    tests.mkdir()
    for test in (folder / "tests").glob("*.py"):
        (tests / test.name).write_text(test.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", str(tests)],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout, done.stdout
    assert "skipped" not in done.stdout, done.stdout
