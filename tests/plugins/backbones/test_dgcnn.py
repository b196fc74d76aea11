"""DGCNN: the authors' sizes, their edge convolution, and the one-layer `pooled_mlp` without its tensors."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.api import PointCMTError, k_nearest
from pointcmt_cli.ops.rows import pooled_mlp as module
from pointcmt_cli.ops.rows.folded import pooled_folded
from pointcmt_cli.ops.rows.pooled_mlp import pooled_mlp, straightforward

HEAD = 2048 * 512 + 2 * 512 + (512 * 256 + 256) + 2 * 256 + (256 * 40 + 40)
"""linear1, bn6, linear2, bn7, linear3 of the authors' classifier with 40 classes."""


def test_parameters_and_multiply_adds_equal_the_authors() -> None:
    """WangYueFt/dgcnn, pytorch/model.py at f765b46, 40 classes, k = 20, 1,024 points, counted by building it."""
    network = discovery.build("backbones", "dgcnn")
    assert sum(each.numel() for each in network.parameters()) == 1_809_576 - HEAD
    edges = sum(edge.linear.weight.numel() for edge in network.edges)
    head = 2048 * 512 + 512 * 256 + 256 * 40
    published = 1024 * 20 * edges + 1024 * network.joined.linear.weight.numel() + head
    assert published == 2_391_418_880


def plain_edge_convolution(edge: Any, rows: Tensor) -> Tensor:
    """As the paper writes it: (x_j - x_i, x_i) of every pair through layer, norm and activation, then the maximum."""
    index = k_nearest(rows, rows, edge.neighbours)
    near = torch.stack([cloud[places] for cloud, places in zip(rows, index, strict=True)])
    own = rows[:, :, None].expand_as(near)
    pairs = edge.linear(torch.cat([near - own, own], dim=-1))
    normed = edge.norm(pairs.flatten(0, 2)).view_as(pairs)
    return F.leaky_relu(normed, 0.2).amax(dim=2)


@pytest.mark.parametrize("training", [True, False])
def test_an_edge_convolution_is_the_papers(training: bool) -> None:
    torch.manual_seed(0)
    edge = discovery.build("backbones", "dgcnn", {"neighbours": 7}).edges[1].double()
    nn.init.normal_(edge.norm.weight)
    nn.init.normal_(edge.norm.running_mean)
    plain = copy.deepcopy(edge)
    rows = torch.randn(3, 40, 64, dtype=torch.float64, requires_grad=True)
    twin = rows.detach().clone().requires_grad_()
    found, expected = (
        edge.train(training)(rows),
        plain_edge_convolution(plain.train(training), twin),
    )
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    (found * upstream).sum().backward()
    (expected * upstream).sum().backward()
    torch.testing.assert_close(rows.grad, twin.grad)
    for (name, a), b in zip(edge.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for a, b in zip(edge.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def lone_layer(bias: bool) -> tuple[Any, ...]:
    """A layer with a norm of both signs, and points, centres and groups, some of them of one point alone."""
    torch.manual_seed(1)
    linear, norm = nn.Linear(3, 11, bias=bias), nn.BatchNorm1d(11)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    index = torch.randint(0, 30, (5, 8, 6))
    index[0, 0] = 4
    index[:, :, -2:] = index[:, :, :1]
    return linear, norm, torch.randn(5, 30, 11), torch.randn(5, 8, 11), index


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_layer_equals_the_straightforward_one(
    relu: bool, bias: bool, dtype: torch.dtype
) -> None:
    linear, norm, points, centres, index = lone_layer(bias)
    exact = [linear.double(), norm.double()]
    fast = [copy.deepcopy(each).to(dtype) for each in exact]
    given = [points.double().requires_grad_(), centres.double().requires_grad_()]
    leaves = [each.detach().to(dtype).requires_grad_() for each in given]
    expected = straightforward(*given, index, exact[:1], exact[1:], last_relu=relu)
    found = pooled_mlp(*leaves, index, fast[:1], fast[1:], last_relu=relu)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found.double(), expected, **close)
    upstream = torch.randn_like(expected)
    (expected * upstream).sum().backward()
    (found * upstream).sum().backward()
    for a, b in zip(leaves, given, strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, **close)
    for a, b in zip(fast[1].parameters(), exact[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, **close)
    if bias:
        assert fast[0].bias.grad.eq(0).all()
    for a, b in zip(fast[1].buffers(), exact[1].buffers(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), **close)
    with torch.no_grad():
        found = pooled_mlp(*leaves, index, fast[:1], [fast[1].eval()], last_relu=relu)
        expected = straightforward(*given, index, exact[:1], [exact[1].eval()], last_relu=relu)
        graph = pooled_folded(*leaves, index, fast[:1], fast[1:], last_relu=relu)
    torch.testing.assert_close(found.double(), expected, **close)
    torch.testing.assert_close(graph.double(), expected, **close)


def test_gradcheck_of_one_layer() -> None:
    linear, norm, points, centres, index = lone_layer(bias=False)
    norm.double()
    points, centres = points[:2].double().requires_grad_(), centres[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, c: pooled_mlp(p, c, index[:2], [linear], [norm], last_relu=False),
        (points, centres),
        atol=1e-5,
    )


def test_a_mean_far_from_zero_keeps_the_statistics_accurate() -> None:
    linear, norm, points, centres, index = lone_layer(bias=False)
    found = pooled_mlp(points + 300, centres, index, [linear], [norm])
    exact = copy.deepcopy(norm).double()
    expected = straightforward(points.double() + 300, centres.double(), index, [linear], [exact])
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_no_tensor_of_all_pairs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole step runs without `straightforward`, which is what would make them."""
    monkeypatch.setattr(module, "straightforward", None)
    network = discovery.build("backbones", "dgcnn", {"neighbours": 5, "width": 16})
    network(torch.rand(2, 30, 3)).sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters())


def test_in_eval_mode_no_near_tie_is_decided_by_rounding() -> None:
    """The features are those of the network in float64, whatever the size of the batch; its weights can be trained."""
    torch.manual_seed(3)
    network = discovery.build("backbones", "dgcnn", {"width": 64})
    points = torch.nn.functional.normalize(torch.randn(24, 1024, 3), dim=-1)
    with torch.no_grad():
        network(points[:8])
        network.eval()
        expected = copy.deepcopy(network).double()(points.double())
        together, alone = network(points), torch.cat([network(each[None]) for each in points])
        assert network.edges[0](points[:1]).dtype == torch.float64
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)
    network(points[:1]).sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in network.parameters())


def test_fewer_points_than_neighbours_and_options_that_make_no_sense() -> None:
    network = discovery.build("backbones", "dgcnn", {"width": 32}).eval()
    assert network.feature_dim == 64
    for number in (1, 2, 19):
        assert network(torch.rand(2, number, 3)).shape == (2, 64)
    with pytest.raises(
        PointCMTError, match="neighbours and width: at least 1 each, got 0 and 1024"
    ):
        discovery.build("backbones", "dgcnn", {"neighbours": "0"})
