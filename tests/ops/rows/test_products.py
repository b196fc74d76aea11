"""Products of rows on the CPU: both libraries say the same as float64, whatever the weight's layout."""

import pytest
import torch

from pointcmt_cli.api import linear
from pointcmt_cli.ops.rows import products

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


@pytest.fixture(
    params=[
        False,
        pytest.param(True, marks=pytest.mark.skipif(not ONEDNN, reason="torch without oneDNN")),
    ]
)
def either_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_prefers_onednn", lambda: request.param)


@pytest.mark.usefixtures("either_library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [1, 15, 16, 333])
def test_products_are_those_of_float64(rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(rows, 12, dtype=dtype), torch.randn(rows, 7, dtype=dtype)
    wide = torch.randn(9, 30, dtype=dtype)
    constant = torch.randn(9, dtype=dtype)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {}
    crossed = products.rows_crossed(a, b).double()
    torch.testing.assert_close(crossed, a.double().t() @ b.double(), **close)
    layouts = [wide[:, :12].contiguous(), wide[:, :12].t().contiguous().t(), wide[:, 9:21]]
    for weight in layouts:
        expected = a.double() @ weight.double().t()
        found = products.rows_by_weight(a, weight)
        torch.testing.assert_close(found.double(), expected, **close)
        found = products.rows_by_weight(a, weight, constant=constant)
        torch.testing.assert_close(found.double(), expected + constant, **close)


def test_low_precision_rounds_what_goes_in() -> None:
    torch.manual_seed(0)
    a, weight, constant = torch.randn(40, 12), torch.randn(9, 12), torch.randn(9)
    rounded = a.bfloat16().double(), weight.bfloat16().double()
    for added in (None, constant):
        found = products.rows_by_weight(a, weight, low=True, constant=added)
        expected = rounded[0] @ rounded[1].t() + (0 if added is None else added)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=2e-2)
    found = products.rows_crossed(a, a, low=True)
    torch.testing.assert_close(found.double(), rounded[0].t() @ rounded[0], rtol=1e-2, atol=2e-2)


@pytest.mark.usefixtures("either_library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_torchs(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    ours = [torch.randn(3, 50, 12, dtype=dtype), torch.randn(9, 12, dtype=dtype)]
    ours += [torch.randn(9, dtype=dtype)] if bias else []
    theirs = [each.double().requires_grad_() for each in ours]
    ours = [each.requires_grad_() for each in ours]
    found, expected = linear(*ours), torch.nn.functional.linear(*theirs)
    upstream = torch.randn_like(found)
    found.backward(upstream)
    expected.backward(upstream.double())
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {}
    torch.testing.assert_close(found.double(), expected, **close)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad.double(), b.grad, **close)


@pytest.mark.usefixtures("either_library")
def test_linear_takes_part_of_a_weight_rounds_under_autocast_and_forgets_threads() -> None:
    torch.manual_seed(0)
    rows, weight = torch.randn(2000, 12), torch.randn(9, 24, requires_grad=True)
    part = weight.chunk(2, dim=1)[1]
    torch.testing.assert_close(linear(rows, part), rows @ part.t(), rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(rows, part).dtype == torch.bfloat16
    assert linear(rows[:0], part).shape == (0, 9)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaf = rows.clone().requires_grad_()
            linear(leaf, part).square().sum().backward()
            results.append((leaf.grad, weight.grad))
            weight.grad = None
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
