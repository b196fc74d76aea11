"""PointNeXt: the authors' sizes, a stage as openpoints computes it, any number of points."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.api import PointCMTError, ball_query, farthest_points


@pytest.mark.parametrize(
    ("options", "parameters", "multiply_adds"),
    [
        ({}, 1_373_512, 811_149_312),
        ({"width": 64}, 4_523_112, 3_230_672_896),
        ({"variant": "b"}, 4_145_960, 1_975_068_672),
        ({"variant": "b", "width": 64}, 15_583_272, 7_842_310_144),
    ],
)
def test_parameters_and_multiply_adds_equal_the_authors(
    options: dict[str, Any], parameters: int, multiply_adds: int
) -> None:
    """openpoints, models/backbone/pointnext.py at 8c115a9, 40 classes, 1,024 points, counted by building it."""
    network = discovery.build("backbones", "pointnext", options)
    head = network.feature_dim * 512 + 512 * 256 + 256 * 40
    biases_and_norms = 40 + 2 * 512 + 2 * 256
    found = sum(each.numel() for each in network.parameters())
    assert found == parameters - head - biases_and_norms

    def products(part: nn.Module | None) -> int:
        return sum(each.numel() for each in part.parameters() if each.dim() == 2) if part else 0

    work, number = head + 1024 * products(network.stem), 1024
    for stage, blocks in zip(network.stages, network.blocks, strict=True):
        number //= 2
        work += number * (32 * products(stage.ball) + products(stage.shortcut))
        for block in blocks:
            work += number * (32 * products(block.ball) + products(block.wide))
            work += number * products(block.narrow)
    assert work + number * products(network.everything) == multiply_adds


def picked(rows: Tensor, index: Tensor) -> Tensor:
    return torch.stack([cloud[places] for cloud, places in zip(rows, index, strict=True)])


@pytest.mark.parametrize("training", [True, False])
def test_a_stage_is_the_papers(training: bool) -> None:
    torch.manual_seed(0)
    stage = discovery.build("backbones", "pointnext").stages[0].double().train(training)
    points, rows = torch.rand(2, 60, 3).double(), torch.randn(2, 60, 32).double()
    chosen = farthest_points(points, 30)
    centres = picked(points, chosen)
    (index,) = ball_query(points, centres, (0.15,), (32,))
    seen = (picked(points, index) - centres[:, :, None]) / 0.15
    values = torch.cat([seen, picked(rows, index)], dim=-1).flatten(0, 2)
    with torch.no_grad():
        found = stage(points, rows)
        values = stage.ball.norms[0](stage.ball.linears[0](values)).relu()
        values = stage.ball.norms[1](stage.ball.linears[1](values)).view(2, 30, 32, 64).amax(dim=2)
        expected = (values + stage.shortcut(picked(rows, chosen))).relu()
    torch.testing.assert_close(found[0], centres)
    torch.testing.assert_close(found[1], expected)


def test_an_inverted_residual_is_the_papers() -> None:
    torch.manual_seed(0)
    block = discovery.build("backbones", "pointnext", {"variant": "b"}).blocks[0][0].double()
    points, rows = torch.rand(2, 40, 3).double(), torch.randn(2, 40, 64).double()
    (index,) = ball_query(points, points, (0.15 * 1.5,), (32,))
    seen = (picked(points, index) - points[:, :, None]) / (0.15 * 1.5)
    values = torch.cat([seen, picked(rows, index)], dim=-1).flatten(0, 2)
    with torch.no_grad():
        found = block(points, rows)
        values = block.ball.norms[0](block.ball.linears[0](values)).relu()
        values = values.view(2, 40, 32, 64).amax(dim=2).flatten(0, 1)
        values = block.wide.norm(block.wide.linear(values)).relu()
        values = block.narrow.norm(block.narrow.linear(values)).view(2, 40, 64)
    torch.testing.assert_close(found, (values + rows).relu())


@pytest.mark.parametrize("variant", ["s", "b"])
def test_any_number_of_points(variant: str) -> None:
    network = discovery.build("backbones", "pointnext", {"variant": variant, "width": 4}).eval()
    with torch.no_grad():
        for number in (1, 3, 100):
            assert network(torch.rand(2, number, 3)).shape == (2, 64)
    with pytest.raises(PointCMTError, match="width: at least 1, got 0"):
        discovery.build("backbones", "pointnext", {"width": "0"})
