"""PointMLP: the authors' sizes, the geometric affine module, and rows normed in one step."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pointcmt_backbones.pointmlp import deviation
from pointcmt_cli import discovery
from pointcmt_cli.api import farthest_points, k_nearest, normed_rows


@pytest.mark.parametrize(
    ("variant", "parameters", "multiply_adds"),
    [("full", 13_238_504, 15_603_673_088), ("elite", 716_232, 894_806_016)],
)
def test_parameters_and_multiply_adds_equal_the_authors(
    variant: str, parameters: int, multiply_adds: int
) -> None:
    """ma-xu/pointMLP-pytorch, classification_ModelNet40/models/pointmlp.py at 1ab7f04, 40 classes, 1,024 points."""
    network = discovery.build("backbones", "pointmlp", {"variant": variant})
    width = network.feature_dim
    head = width * 512 + 512 * 256 + 256 * 40
    biases_and_norms = 512 + 256 + 40 + 2 * 512 + 2 * 256
    found = sum(each.numel() for each in network.parameters())
    assert found == parameters - head - biases_and_norms
    work = 1024 * network.embedding.linear.weight.numel() + head
    for stage in network.stages:
        before, after = (
            sum(each.numel() for each in part.parameters() if each.dim() == 2)
            for part in (stage.before, stage.after)
        )
        first = stage.first.linear.weight.numel()
        work += stage.centres * (24 * (first + before) + after)
    assert work == multiply_adds


@pytest.mark.parametrize("training", [True, False])
def test_the_first_layer_is_the_papers_affine_module(training: bool) -> None:
    torch.manual_seed(0)
    stage = discovery.build("backbones", "pointmlp", {"variant": "elite"}).stages[0].double()
    nn.init.normal_(stage.scale)
    nn.init.normal_(stage.shift)
    stage.train(training)
    points, rows = torch.randn(3, 40, 3).double(), torch.randn(3, 40, 32).double()
    chosen = farthest_points(points, 10)
    centres = torch.stack([cloud[places] for cloud, places in zip(points, chosen, strict=True)])
    index = k_nearest(points, centres, 24)
    own = torch.stack([cloud[places] for cloud, places in zip(rows, chosen, strict=True)])
    near = torch.stack([cloud[places] for cloud, places in zip(rows, index, strict=True)])
    difference = near - own[:, :, None]
    spread = torch.stack([cloud.flatten().std() for cloud in difference])
    affine = stage.scale * difference / (spread[:, None, None, None] + 1e-5) + stage.shift
    both = torch.cat([affine, own[:, :, None].expand_as(near)], dim=-1)
    layer = copy.deepcopy(stage.first)
    normed = layer.norm(layer.linear(both).flatten(0, 2)).view(3, 10, 24, 64)
    torch.testing.assert_close(stage.grouped(rows, chosen, index), F.relu(normed))


@pytest.mark.parametrize("number", [1, 2, 23, 700])
def test_any_number_of_points(number: int) -> None:
    network = discovery.build("backbones", "pointmlp", {"variant": "elite"}).eval()
    with torch.no_grad():
        assert network(torch.rand(2, number, 3)).shape == (2, 256)


def norms() -> tuple[nn.BatchNorm1d, nn.BatchNorm1d]:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(7)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.double(), copy.deepcopy(norm).double()


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("with_added", [True, False])
def test_normed_rows_are_norm_sum_and_activation(slope: float, with_added: bool) -> None:
    mine, theirs = norms()
    given = [torch.randn(3, 50, 7, dtype=torch.float64) for _ in range(2)]
    ours = [each.clone().requires_grad_() for each in given]
    twins = [each.clone().requires_grad_() for each in given]
    found = normed_rows(ours[0], mine, slope, ours[1] if with_added else None)
    values = theirs(twins[0].flatten(0, 1)).view(3, 50, 7)
    expected = F.leaky_relu(values + twins[1] if with_added else values, slope)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    (found * upstream).sum().backward()
    (expected * upstream).sum().backward()
    for a, b in zip(ours[: 1 + with_added], twins, strict=False):
        torch.testing.assert_close(a.grad, b.grad)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    for a, b in zip(mine.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    found = normed_rows(given[0], mine.eval(), slope)
    torch.testing.assert_close(found, F.leaky_relu(theirs.eval()(given[0].mT).mT, slope))


def test_normed_rows_keep_their_digits_over_many_rows() -> None:
    mine, theirs = norms()
    rows = torch.randn(200_000, 7) + 5
    found = normed_rows(rows, mine.float()).double()
    expected = F.relu(theirs(rows.double()))
    assert float((found - expected).detach().norm() / expected.detach().norm()) < 5e-7


def test_normed_rows_do_not_depend_on_the_number_of_threads() -> None:
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            norm = norms()[0].float()
            rows = torch.randn(5000, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
            normed_rows(rows, norm).square().sum().backward()
            results.append((rows.grad, norm.weight.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_deviation_of_an_export_is_that_of_all_values(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(3, 20, 7, 5) * 2 + 9
    expected = deviation(values)
    torch.testing.assert_close(expected, values.flatten(1).std(dim=1))
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(deviation(values), expected)
