"""Backbones: parameter counts of the references, and the CPU's pooled MLP against the straightforward one."""

import copy
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops.rows import pooled_mlp as module
from pointcmt_cli.ops.rows.folded import pooled_folded
from pointcmt_cli.ops.rows.pooled_mlp import pooled_mlp, straightforward

YANX27_HEAD = (1024 * 512 + 512) + (512 * 256 + 256) + 2 * (512 + 256)
"""fc1, bn1, fc2, bn2 of the port's classifiers; fc3 (257 K) is the last layer."""


def parameters(layer: nn.Module) -> int:
    return sum(each.numel() for each in layer.parameters())


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        # totals of yanx27/Pointnet_Pointnet2_pytorch (commit eb64fe0), 40 classes, no normals, counted by
        # building them, less the head that the core replaces
        ("pointnet2", {"variant": "ssg"}, 1_475_688 - YANX27_HEAD - 257 * 40),
        ("pointnet2", {"variant": "msg"}, 1_747_368 - YANX27_HEAD - 257 * 40),
        ("pointnet", {"transforms": True}, 3_471_473 - YANX27_HEAD - 257 * 40),
        ("pointnet", {}, 143_104),
        # PointCMT's own: the same layers without biases
        ("pointnet2", {"variant": "msg", "bias": False}, 1_079_424 - 3_744),
    ],
)
def test_parameter_counts_equal_the_references(
    name: str, options: dict[str, Any], count: int
) -> None:
    assert parameters(discovery.build("backbones", name, options)) == count


@pytest.mark.parametrize("options", [{"variant": "ssg"}, {"variant": "msg"}])
def test_pointnet2_is_the_layer_table_of_its_paper(options: dict[str, str]) -> None:
    """Multiply-adds per shape, counted from the layers: PointCMT's student has 3.916 G, SSG 0.838 G."""
    network = discovery.build("backbones", "pointnet2", options)
    total = 0
    for level in network.levels:
        for scale, k in zip(level.scales, level.level.neighbours, strict=True):
            widths = [(each.in_features, each.out_features) for each in scale.linears]
            total += level.level.centres * k * sum(i * o for i, o in widths)
    total += 128 * sum(each.in_features * each.out_features for each in network.everything.linears)
    head = 1024 * 512 + 512 * 40
    expected = {"ssg": 0.838e9, "msg": 3.916e9}[options["variant"]]
    assert total + head == pytest.approx(expected, rel=0.005)


def layers(widths: list[int], bias: bool, seed: int = 0) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Linears (the first's product is the input) and batch norms with weights of both signs."""
    torch.manual_seed(seed)
    linears = nn.ModuleList(nn.Linear(i, o, bias=bias) for i, o in pairwise([3, *widths]))
    norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    return linears, norms


def inputs(grouped: bool, width: int, k: int = 9) -> tuple[Tensor, Tensor | None, Tensor | None]:
    if not grouped:
        return torch.randn(3, 7, k, width, dtype=torch.float64), None, None
    index = torch.randint(0, 40, (3, 7, k))
    index[0, 0] = 5  # a ball with one point, filled up
    index[:, :, -2:] = index[:, :, :1]
    return (
        torch.randn(3, 40, width, dtype=torch.float64),
        torch.randn(3, 7, width, dtype=torch.float64),
        index,
    )


CASES = [
    pytest.param(grouped, widths, relu, bias, id=f"{grouped}-{widths}-{relu}-{bias}")
    for grouped in (True, False)
    for widths, relu, bias in [
        ([8, 16], True, True),
        ([16, 8, 32], True, False),
        ([16, 8, 32], False, True),
        ([8, 16, 8, 24], True, True),
    ]
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("grouped", "widths", "relu", "bias"), CASES)
def test_pooled_mlp_equals_the_straightforward_one(
    grouped: bool,
    widths: list[int],
    relu: bool,
    bias: bool,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Output, every gradient, running statistics, evaluation; the straightforward one always in float64."""
    monkeypatch.setattr("pointcmt_cli.ops.rows.blocks.BLOCK", 20)  # many blocks, the last one short
    plain = tuple(each.double() for each in layers(widths, bias))
    fast = tuple(copy.deepcopy(each).to(dtype) for each in plain)
    first, centres, index = inputs(grouped, widths[0])
    leaves = [each.requires_grad_() for each in (first, centres) if each is not None]
    fast_leaves = [each.detach().to(dtype).requires_grad_() for each in leaves]
    expected = straightforward(first, centres, index, *map(list, plain), last_relu=relu)
    fast_centres = fast_leaves[1] if grouped else None
    found = pooled_mlp(fast_leaves[0], fast_centres, index, *map(list, fast), last_relu=relu)
    exact = dtype == torch.float64
    close = {"rtol": 1e-7, "atol": 1e-8} if exact else {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(found.double(), expected, **close)
    upstream = torch.randn_like(expected)
    (expected * upstream).sum().backward()
    (found * upstream).sum().backward()
    for a, b in zip(fast_leaves, leaves, strict=True):
        assert_close_to_norm(a.grad, b.grad, exact)
    for ours, theirs in zip(fast, plain, strict=True):
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            if a.grad is not None or b.grad is not None:
                assert_close_to_norm(a.grad, b.grad, exact, name)
        for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
            torch.testing.assert_close(a.double(), b.double(), **close)
    for each in (*fast, *plain):
        each.eval()
    with torch.no_grad():
        found = pooled_mlp(fast_leaves[0], fast_centres, index, *map(list, fast), last_relu=relu)
        expected = straightforward(first, centres, index, *map(list, plain), last_relu=relu)
        graph = pooled_folded(fast_leaves[0], fast_centres, index, *map(list, fast), last_relu=relu)
    torch.testing.assert_close(found.double(), expected, **close)
    torch.testing.assert_close(graph.double(), expected, **close)


def assert_close_to_norm(
    found: Tensor | None, expected: Tensor | None, exact: bool, name: str = ""
) -> None:
    """Within 1e-4 of the gradient's own size in float32; a bias before a batch norm has gradient 0."""
    assert found is not None
    assert expected is not None
    gap = float((found.double() - expected).norm())
    assert gap <= (1e-7 if exact else 1e-4) * (float(expected.norm()) + 1e-3), (name, gap)


def test_a_norm_without_running_statistics_is_exported_as_it_is_written() -> None:
    linears, _ = layers([8, 16], bias=True)
    norms = [nn.BatchNorm1d(width, track_running_stats=False).eval() for width in (8, 16)]

    class Net(nn.Module):
        """Rows in, maxima out."""

        def __init__(self) -> None:
            super().__init__()
            self.linears, self.norms = linears, nn.ModuleList(norms)

        def forward(self, rows: Tensor) -> Tensor:
            return pooled_mlp(rows, None, None, list(self.linears), list(self.norms))

    rows = torch.randn(2, 3, 5, 8)
    program = torch.export.export(Net(), (rows,)).module()
    torch.testing.assert_close(program(rows), Net()(rows))


def test_a_bias_before_a_batch_norm_has_gradient_zero() -> None:
    linears, norms = layers([8, 16], bias=True)
    first = torch.randn(2, 3, 5, 8)
    pooled_mlp(first, None, None, list(linears), list(norms)).sum().backward()
    assert linears[1].bias.grad.eq(0).all()


def test_statistics_of_rows_with_a_mean_far_from_zero_stay_accurate() -> None:
    linears, norms = layers([8, 16], bias=False)
    for norm in norms:
        nn.init.ones_(norm.weight)
    first = torch.randn(2, 50, 40, 8) + 300
    found = pooled_mlp(first, None, None, list(linears), list(norms))
    double = [copy.deepcopy(each).double() for each in (linears, norms)]
    expected = straightforward(first.double(), None, None, *map(list, double))
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_gradcheck() -> None:
    linears, norms = (each.double() for each in layers([4, 6, 5], bias=True))
    first, centres, index = inputs(True, 4, k=6)
    assert centres is not None

    first.requires_grad_()
    centres.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f, c: pooled_mlp(f, c, index, list(linears), list(norms)),
        (first, centres),
        atol=1e-5,
    )


def networks() -> list[Any]:
    return [
        pytest.param("pointnet", {}, id="pointnet"),
        pytest.param("pointnet", {"transforms": True}, id="pointnet with T-Nets"),
        pytest.param("pointnet2", {"centres": "64,16"}, id="ssg"),
        pytest.param("pointnet2", {"variant": "msg", "centres": "64,16"}, id="msg"),
    ]


@pytest.mark.parametrize(("name", "options"), networks())
def test_a_whole_network_trains_alike_on_both_paths(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    fast = discovery.build("backbones", name, options).double()
    plain = copy.deepcopy(fast)
    points = torch.rand(4, 96, 3, dtype=torch.float64) * 2 - 1
    found = fast(points)
    found.square().sum().backward()
    monkeypatch.setattr(module, "_fast", lambda first, norms: False)
    expected = plain(points)
    expected.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    for (key, a), b in zip(fast.named_parameters(), plain.parameters(), strict=True):
        if "linears" in key and "bias" in key and bool(a.grad.eq(0).all()):
            assert (
                float(b.grad.norm()) < 1e-4
            )  # rounding alone: a bias before a batch norm has no effect
        else:
            assert_close_to_norm(a.grad, b.grad, exact=False, name=key)
    for a, b in zip(fast.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_bf16_autocast_stays_near_float32() -> None:
    torch.manual_seed(0)
    network = discovery.build("backbones", "pointnet2", {})
    points = torch.rand(4, 256, 3) * 2 - 1
    exact = network(points)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(points)
    assert float((rounded - exact).detach().norm() / exact.detach().norm()) < 0.05
    rounded.square().sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters())


def test_same_seed_same_bytes_with_any_number_of_threads() -> None:
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            network = discovery.build("backbones", "pointnet2", {})
            points = torch.rand(5, 128, 3) * 2 - 1
            network.levels[0](points, None)[1].sum().backward()
            results.append([each.grad for each in network.levels[0].parameters()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_the_order_of_points_changes_nothing_in_pointnet() -> None:
    network = discovery.build("backbones", "pointnet", {"transforms": True}).eval()
    points = torch.rand(2, 64, 3)
    with torch.no_grad():
        shuffled = network(points[:, torch.randperm(64)])
        torch.testing.assert_close(network(points), shuffled, rtol=1e-4, atol=1e-5)


def test_backbones_import_only_the_public_door() -> None:
    discovery.load("backbones", "pointnet2")
    source = sys.modules["pointcmt_backbones.shared_mlp"].__dict__
    assert source["pooled_mlp"] is pooled_mlp


def test_fewer_centres_cost_less_and_keep_the_parameters() -> None:
    whole = discovery.build("backbones", "pointnet2")
    fewer = discovery.build("backbones", "pointnet2", {"centres": "16,4"})
    assert parameters(fewer) == parameters(whole)
    assert [level.level.centres for level in fewer.levels] == [16, 4]
    assert fewer(torch.randn(2, 40, 3)).shape == (2, 1024)
    with pytest.raises(PointCMTError, match="centres: two numbers of at least 1, got"):
        discovery.build("backbones", "pointnet2", {"centres": "16"})


@pytest.mark.parametrize(("name", "options"), networks())
def test_the_straightforward_path_trains_under_autocast(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA does by default, here on the CPU."""
    monkeypatch.setattr(module, "_fast", lambda first, norms: False)
    torch.manual_seed(0)
    network = discovery.build("backbones", name, options)
    points = torch.rand(4, 64, 3) * 2 - 1
    exact = network(points).detach()
    with torch.autocast("cpu", torch.bfloat16):
        features = network(points)
    assert float((features.detach() - exact).norm() / exact.norm()) < 0.2
    features.square().sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters())
