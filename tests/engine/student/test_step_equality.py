"""Whole networks, one training step: ours against conv2d images with the same weights, as the papers have it.

The twins are those that benchmarks/step.py measures. float64 shows that both are one function. In float32 a rounding
may change which of two nearly equal rows is a maximum, and with it all gradients before; this happens to the twin as
well. So of some clouds and weights the best must be right, or as right as the twin in float32.
"""

import copy
import importlib.util
import statistics
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from places import ROOT
from pointcmt_backbones.pointmlp import Plan, PointMLP
from pointcmt_cli import discovery

NETWORKS = [
    pytest.param("pointnet2", {"variant": "ssg", "centres": "48,16"}, id="pointnet2 ssg"),
    pytest.param("pointnet2", {"variant": "msg", "centres": "32,12"}, id="pointnet2 msg"),
    pytest.param("dgcnn", {"width": "32", "neighbours": "8"}, id="dgcnn"),
    pytest.param("pointnext", {"width": "8"}, id="pointnext s"),
    pytest.param("pointnext", {"width": "8", "variant": "b"}, id="pointnext b"),
    pytest.param("pointmlp", {}, id="a small pointmlp"),
]


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    path = ROOT / "benchmarks" / "step_plain.py"
    spec = importlib.util.spec_from_file_location("step_plain", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(name: str, options: dict[str, Any], seed: int) -> nn.Module:
    """With batch norms far from the identity."""
    torch.manual_seed(seed)
    made: nn.Module
    if name == "pointmlp":
        made = PointMLP(Plan(16, (2, 1, 1, 1), (1, 1, 1, 1), 0.5))
    else:
        made = discovery.build("backbones", name, options)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.normal_(norm.weight, 1, 0.5)
            nn.init.normal_(norm.bias, 0, 0.3)
    return made


def clouds() -> Tensor:
    """(3, 64, 3), in the unit sphere."""
    points = torch.rand(3, 64, 3) * 2 - 1
    return points / points.norm(dim=-1, keepdim=True).amax(dim=1, keepdim=True)


def step(net: nn.Module, points: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and the gradient of the points."""
    leaf = points.clone().requires_grad_()
    features = net(leaf)
    features.backward(upstream.to(features.dtype))
    assert leaf.grad is not None
    return features.detach(), leaf.grad


def as_twin(plain: ModuleType, name: str, ours: Any, gradients: bool) -> nn.Module:
    """Our parameters (or their gradients) and buffers where the twin has its own."""
    values = copy.deepcopy(ours)
    if gradients:
        for target, source in zip(values.parameters(), ours.parameters(), strict=True):
            target.data = source.grad
    made: nn.Module = plain.PLAIN[name](values)
    return made


def gap(found: list[Tensor], expected: list[Tensor]) -> float:
    """The norm of the difference, relative."""
    pairs = [
        (a.double().flatten(), b.double().flatten()) for a, b in zip(found, expected, strict=True)
    ]
    a, b = (torch.cat(each) for each in zip(*pairs, strict=True))
    return float((a - b).norm() / b.norm())


def gaps(
    plain: ModuleType, name: str, options: dict[str, Any], seed: int, dtype: torch.dtype
) -> tuple[dict[str, float], float]:
    """Ours in `dtype` against the twin in float64; and the gradients of the twin in `dtype` against itself."""
    ours = network(name, options, seed)
    twin = plain.PLAIN[name](ours).to(dtype)
    exact = plain.PLAIN[name](ours).double()
    ours = ours.to(dtype)
    points = clouds()
    upstream = torch.randn(3, ours.feature_dim)
    features, of_points = step(ours, points.to(dtype), upstream)
    expected, expected_of_points = step(exact, points.double(), upstream)
    step(twin, points.to(dtype), upstream)
    wanted = gradients(exact)
    found = {
        "features": gap([features], [expected]),
        "points": gap([of_points], [expected_of_points]),
        "weights": gap(
            [each.detach() for each in as_twin(plain, name, ours, True).parameters()], wanted
        ),
        "statistics": gap(list(as_twin(plain, name, ours, False).buffers()), list(exact.buffers())),
    }
    return found, gap(gradients(twin), wanted)


def gradients(net: nn.Module) -> list[Tensor]:
    return [each.grad for each in net.parameters() if each.grad is not None]


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_a_step_is_the_same_function(name: str, options: dict[str, Any], plain: ModuleType) -> None:
    found, _ = gaps(plain, name, options, 0, torch.float64)
    assert max(found.values()) < 1e-9, found


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_a_step_in_float32_is_within_a_ten_thousandth(
    name: str, options: dict[str, Any], plain: ModuleType
) -> None:
    found, of_twin = zip(
        *(gaps(plain, name, options, seed, torch.float32) for seed in range(3)), strict=True
    )
    for part in ("features", "statistics"):
        assert max(each[part] for each in found) < 1e-4, (part, found)
    for part in ("points", "weights"):
        assert min(each[part] for each in found) < max(1e-4, statistics.median(of_twin)), (
            part,
            found,
            of_twin,
        )


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_evaluation_is_the_same_function(
    name: str, options: dict[str, Any], plain: ModuleType
) -> None:
    ours = network(name, options, 1)
    points = clouds()
    with torch.no_grad():
        ours(points)  # the running statistics move
        expected = plain.PLAIN[name](ours).double().eval()(points.double())
        assert gap([ours.eval()(points)], [expected]) < 1e-4
