"""Earth mover's distance: against scipy's exact assignment, closed forms, and the laws a distance keeps."""

import importlib

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pointcmt_cli.api import earth_movers_distance
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops.emd.distance import match, scaled


def exact(x: Tensor, y: Tensor) -> Tensor:
    """(B,) in float64."""
    means = []
    for a, b in zip(x.double(), y.double(), strict=True):
        cost = torch.cdist(a, b).numpy()
        means.append(cost[linear_sum_assignment(cost)].mean())
    return torch.tensor(means)


def ball(number: int, seed: int) -> Tensor:
    points = torch.randn(2, number, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=-1, keepdim=True)


def box(number: int, seed: int) -> Tensor:
    return torch.rand(2, number, 3, generator=torch.Generator().manual_seed(seed)) - 0.5


PAIRS = {
    "near": lambda n: (ball(n, 0), ball(n, 1)),
    "far": lambda n: (ball(n, 0), box(n, 1) * torch.tensor([2.0, 0.2, 0.5])),
    "apart": lambda n: (ball(n, 0), box(n, 1) + 5),
    "random": lambda n: (box(n, 0), box(n, 1)),
    "tiny": lambda n: (1e-15 * ball(n, 0), 1e-15 * ball(n, 1)),
    "huge": lambda n: (1e15 * ball(n, 0), 1e15 * ball(n, 1)),
    "flat": lambda n: (ball(n, 0) * FLAT, box(n, 1) * FLAT),
    "outliers": lambda n: (outliers(n, 0), outliers(n, 1)),
    "lumps": lambda n: (lumps(n, 0), lumps(n, 1)),
}
FLAT = torch.tensor([1.0, 1e-3, 0.0])


def outliers(number: int, seed: int) -> Tensor:
    """One point very far off, at the same place in every cloud."""
    cloud = ball(number, seed)
    cloud[:, 0] = torch.tensor([1e4, 0, 0])
    return cloud


def lumps(number: int, seed: int) -> Tensor:
    """Three far places with unequal numbers of points."""
    choice = torch.randint(0, 10, (2, number), generator=torch.Generator().manual_seed(seed))
    return 1e-3 * box(number, seed) + (choice.clamp_max(2)[..., None] * torch.tensor([1.0, 2, 0]))


@pytest.mark.parametrize("kind", list(PAIRS))
def test_the_cost_is_the_exact_one(kind: str) -> None:
    x, y = PAIRS[kind](1024 if kind in ("near", "far", "random") else 300)
    torch.testing.assert_close(earth_movers_distance(x, y).double(), exact(x, y), rtol=1e-5, atol=0)


@pytest.mark.parametrize("number", [1, 2, 3, 17, 100, 257, 1000, 1023])
def test_any_size_gives_the_best_bijection(number: int) -> None:
    x, y = PAIRS["random"](number)
    partners = match(x, y)
    assert partners.sort(dim=1).values.equal(torch.arange(number).expand(2, -1))
    torch.testing.assert_close(
        earth_movers_distance(x, y).double(), exact(x, y), rtol=1e-5, atol=1e-7
    )


def test_empty_clouds_and_batches() -> None:
    assert earth_movers_distance(torch.zeros(0, 5, 3), torch.zeros(0, 5, 3)).shape == (0,)


def test_the_number_of_threads_does_not_matter() -> None:
    x, y = (torch.cat([each, each.flip(2)]) for each in PAIRS["far"](300))
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(match(x, y))
    torch.set_num_threads(before)
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])


@pytest.mark.parametrize("kind", ["1", "2", "13", "one place", "unequal lumps", "far apart"])
def test_triton_finds_the_same_cost(kind: str) -> None:
    pytest.importorskip("triton", reason="Triton is not installed: its kernel is not tested")
    emd_triton = importlib.import_module("pointcmt_cli.ops.emd.triton")
    x, y = {
        "one place": lambda: (torch.ones(1, 6, 3), torch.ones(1, 6, 3)),
        "unequal lumps": lambda: (lumps(20, 0)[:1], lumps(20, 1)[:1]),
        "far apart": lambda: PAIRS["apart"](9),
    }.get(kind, lambda: PAIRS["random"](int(kind)))()
    device = "cuda" if torch.cuda.is_available() else "cpu"  # without a GPU it runs interpreted
    partners = emd_triton.match(*scaled(x.to(device), y.to(device))).cpu()
    assert partners.sort(dim=1).values.equal(torch.arange(x.shape[1]).expand(len(x), -1))
    matched = y.gather(1, partners[..., None].expand(-1, -1, 3)).double()
    found = (x.double() - matched).norm(dim=-1).mean(dim=1)
    torch.testing.assert_close(found, exact(x, y), rtol=1e-5, atol=1e-7)


def test_under_compile_it_is_one_graph() -> None:
    x, y = PAIRS["random"](50)
    whole = torch.compile(earth_movers_distance, backend="aot_eager", fullgraph=True)
    made, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    whole(made, y).sum().backward()
    earth_movers_distance(expected, y).sum().backward()
    torch.testing.assert_close(made.grad, expected.grad)


def test_identical_clouds_have_distance_and_gradient_0() -> None:
    x = ball(64, 0).requires_grad_()
    distance = earth_movers_distance(x, x.detach().flip(1))
    distance.sum().backward()
    assert distance.tolist() == [0, 0]
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("kind", ["all equal", "two places", "grid"])
def test_clouds_with_many_equal_distances(kind: str) -> None:
    axis = torch.linspace(0, 1, 4)
    x = {
        "all equal": torch.ones(1, 40, 3),
        "two places": torch.ones(1, 40, 3) * (torch.arange(40) % 2)[None, :, None],
        "grid": torch.cartesian_prod(axis, axis, axis)[None],
    }[kind]
    y = x.flip(1)
    partners = match(x, y)
    assert partners.sort(dim=1).values.equal(torch.arange(x.shape[1])[None])
    torch.testing.assert_close(earth_movers_distance(x, y), torch.zeros(1), rtol=0, atol=1e-7)


def test_closed_forms() -> None:
    x = ball(64, 0)
    torch.testing.assert_close(earth_movers_distance(x, x), torch.zeros(2))
    shift = torch.tensor([0.003, 0.004, 0.0])
    torch.testing.assert_close(
        earth_movers_distance(x, x + shift), torch.full((2,), 0.005), rtol=1e-4, atol=0
    )
    line = torch.arange(6.0)[None, :, None] * torch.tensor([1.0, 0, 0])
    moved = line.flip(1) + torch.tensor([10.0, 0, 0])
    torch.testing.assert_close(earth_movers_distance(line, moved), torch.tensor([10.0]))


def test_order_and_sides_do_not_matter() -> None:
    x, y = PAIRS["far"](200)
    distance = earth_movers_distance(x, y)
    shuffled = y[:, torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(earth_movers_distance(x, shuffled), distance, rtol=1e-5, atol=0)
    torch.testing.assert_close(earth_movers_distance(y, x), distance, rtol=1e-5, atol=0)


def test_gradient() -> None:
    x = torch.rand(2, 12, 3, dtype=torch.float64, requires_grad=True)
    y = torch.rand(2, 12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(earth_movers_distance, (x, y))


def test_gradient_of_float32_is_the_unit_vector_to_the_partner_and_0_where_they_meet() -> None:
    x = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]], requires_grad=True)
    y = torch.tensor([[[1.0, 0, 0], [0, 0, 2]]], requires_grad=True)
    earth_movers_distance(x, y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [[[0, 0, -0.5], [0, 0, 0]]]
    assert y.grad.tolist() == [[[0, 0, 0], [0, 0, 0.5]]]


def test_half_precision_is_matched_in_float32() -> None:
    x, y = PAIRS["random"](64)
    found = earth_movers_distance(x.bfloat16(), y.bfloat16())
    torch.testing.assert_close(found.float(), earth_movers_distance(x, y), rtol=0.05, atol=0)


def test_bad_input_is_refused_in_one_line() -> None:
    good = torch.zeros(1, 4, 3)
    with pytest.raises(
        PointCMTError, match=r"two clouds \(B, N, 3\) of one size, got \(1, 4, 3\) and \(1, 5, 3\)"
    ):
        earth_movers_distance(good, torch.zeros(1, 5, 3))
    with pytest.raises(PointCMTError, match=r"got \(1, 0, 3\) and \(1, 0, 3\)"):
        earth_movers_distance(good[:, :0], good[:, :0])
    for value in (torch.nan, torch.inf):
        with pytest.raises(PointCMTError, match="a cloud holds NaN or infinity"):
            earth_movers_distance(good, torch.full((1, 4, 3), value))
