"""Point operations: every form against naive twins and each other, index for index; what torch makes of them."""

import importlib
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli import api
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops import threads
from pointcmt_cli.ops.points import cpu, library, plain

FORMS = ["public", "plain", "numba", "triton"]
INDICES = ("farthest_points", "ball_query", "k_nearest")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The operations that find indices, in one of their forms; Triton's run interpreted where there is no GPU."""
    modules = {"public": api, "plain": plain, "numba": cpu}
    module = modules.get(request.param) or triton_forms()
    device = "cuda" if request.param == "triton" and torch.cuda.is_available() else "cpu"

    def on_device(name: str) -> Callable[..., object]:
        def run(*values: object) -> object:
            moved = [each.to(device) if isinstance(each, Tensor) else each for each in values]
            found = getattr(module, name)(*moved)
            return found.cpu() if isinstance(found, Tensor) else tuple(x.cpu() for x in found)

        return run

    return SimpleNamespace(**{name: on_device(name) for name in INDICES})


def triton_forms() -> object:
    pytest.importorskip("triton", reason="Triton is not installed: its kernels are not tested")
    return importlib.import_module("pointcmt_cli.ops.points.triton")


def random_cloud(batch: int = 3, number: int = 90, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(batch * 1000 + number)
    return torch.rand(batch, number, 3, dtype=dtype) * 2 - 1


def grid() -> Tensor:
    """Every distance many times over."""
    axis = torch.linspace(-1, 1, 5)
    return torch.cartesian_prod(axis, axis, axis)[torch.randperm(125)].repeat(2, 1, 1)


def duplicates() -> Tensor:
    return random_cloud(2, 10).repeat(1, 4, 1)


CLOUDS: dict[str, Callable[[], Tensor]] = {
    "random": random_cloud,
    "float64": lambda: random_cloud(dtype=torch.float64),
    "grid": grid,
    "duplicates": duplicates,
    "one cloud": lambda: random_cloud(1, 301),
    "one point": lambda: random_cloud(2, 1),
    "at the origin": lambda: random_cloud(2, 40) * 1e-3,
}


@pytest.fixture(params=list(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> Tensor:
    torch.manual_seed(7)
    return CLOUDS[request.param]()


def squares(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """(M, N), added up x, y, z in the arrays' own precision."""
    d = (a[:, None] - b[None]) ** 2
    total: NDArray[np.floating] = d[..., 0] + d[..., 1] + d[..., 2]
    return total


def naive_farthest(points: NDArray[np.floating], count: int) -> list[int]:
    chosen = [0]
    while len(chosen) < count:
        nearest = squares(points, points[chosen]).min(axis=1)
        chosen.append(int(nearest.argmax()))
    return chosen


def naive_ball(
    points: NDArray[np.floating], centre: NDArray[np.floating], radius: float, count: int
) -> list[int]:
    square = squares(centre[None], points)[0]
    inside = [j for j in range(len(points)) if square[j] < points.dtype.type(radius * radius)]
    inside = inside[:count] or [int(square.argmin())]
    return inside + [inside[0]] * (count - len(inside))


def test_farthest_points(form: SimpleNamespace, cloud: Tensor) -> None:
    count = min(24, cloud.shape[1])
    found = form.farthest_points(cloud, count)
    assert found.dtype == torch.int64
    assert found.tolist() == [naive_farthest(each.numpy(), count) for each in cloud]


def test_farthest_points_of_fewer_than_asked_for_repeat_the_first(form: SimpleNamespace) -> None:
    found = form.farthest_points(random_cloud(2, 5), 9)
    assert sorted(found[0, :5].tolist()) == [0, 1, 2, 3, 4]
    assert found[:, 5:].eq(0).all()


def test_farthest_points_near_the_origin_count(form: SimpleNamespace) -> None:
    """The reference's CUDA code would never choose the second and the third of these."""
    points = torch.tensor([[[0.5, 0, 0], [0, 0, 0], [0.01, 0, 0]]])
    assert form.farthest_points(points, 3).tolist() == [[0, 1, 2]]


def test_ball_query(form: SimpleNamespace, cloud: Tensor) -> None:
    centres = cloud[:, ::3].contiguous()
    radii, counts = (0.25, 0.5, 1.2), (4, 16, 200)
    found = form.ball_query(cloud, centres, radii, counts)
    for radius, count, index in zip(radii, counts, found, strict=True):
        expected = [
            [naive_ball(points.numpy(), centre.numpy(), radius, count) for centre in middles]
            for points, middles in zip(cloud, centres, strict=True)
        ]
        assert index.tolist() == expected


def test_ball_query_is_strict_and_takes_the_nearest_where_a_ball_is_empty(
    form: SimpleNamespace,
) -> None:
    points = torch.tensor([[[1.0, 0, 0], [0.5, 0, 0], [3, 0, 0]]])
    centres = torch.tensor([[[0.0, 0, 0], [2.9, 0, 0]]])
    (found,) = form.ball_query(points, centres, (0.5,), (2,))
    assert found.tolist() == [[[1, 1], [2, 2]]]  # at 0.5 is outside a ball of 0.5, but nearest


def test_k_nearest(form: SimpleNamespace, cloud: Tensor) -> None:
    queries = cloud[:, ::2].contiguous() + 0.01
    count = min(7, cloud.shape[1])
    found = form.k_nearest(cloud, queries, count)
    for points, asked, index in zip(cloud, queries, found, strict=True):
        order = np.argsort(squares(asked.numpy(), points.numpy()), axis=1, kind="stable")
        assert index.tolist() == order[:, :count].tolist()


def test_fewer_points_than_asked_for(form: SimpleNamespace) -> None:
    points = random_cloud(2, 5)
    nearest = form.k_nearest(points, points, 8)
    assert torch.equal(nearest[..., :5], form.k_nearest(points, points, 5))
    assert nearest[..., 5:].eq(nearest[..., :1]).all()
    (ball,) = form.ball_query(points, points, (9.0,), (7,))
    assert ball.eq(torch.tensor([0, 1, 2, 3, 4, 0, 0])).all()


def test_one_two_and_three_channels_are_compared_exactly(form: SimpleNamespace) -> None:
    points = random_cloud(2, 70)
    for channels in (1, 2):
        flat = torch.nn.functional.pad(points[..., :channels], (0, 3 - channels))
        found = form.k_nearest(points[..., :channels], points[:, :9, :channels], 5)
        assert torch.equal(found, form.k_nearest(flat, flat[:, :9], 5))


def test_k_nearest_in_feature_space(form: SimpleNamespace) -> None:
    """Small integers, so that no form rounds; many ties."""
    torch.manual_seed(0)
    features = torch.randint(-2, 3, (2, 300, 6)).float()
    squares = (features[:, :, None] - features[:, None]).square().sum(-1)
    order = squares.sort(dim=-1, stable=True).indices
    for count in (1, 6):
        found = form.k_nearest(features, features[:, :20].contiguous(), count)
        assert torch.equal(found, order[:, :20, :count])


@pytest.mark.parametrize("count", [1, 3, 20, 64, 200])
def test_k_nearest_of_many_and_few(count: int) -> None:
    """Long rows are searched by way of a bound, short ones and large counts are not."""
    for points in (random_cloud(2, 700), random_cloud(2, 100).repeat(1, 7, 1)):
        queries = points[:, ::7].contiguous()
        expected = plain.k_nearest(points, queries, count)
        assert torch.equal(api.k_nearest(points, queries, count), expected)


def test_three_nearest_and_interpolate() -> None:
    points, queries = random_cloud(2, 20), random_cloud(2, 50)
    distances, index = api.three_nearest(points, queries)
    exact = torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(distances, exact.topk(3, largest=False).values)
    torch.testing.assert_close(distances, exact.gather(-1, index))
    features = torch.randn(2, 20, 4)
    carried = api.interpolate(features, *api.three_nearest(points, points))
    torch.testing.assert_close(carried, features, rtol=1e-4, atol=1e-4)  # at a point: its own value
    even = api.interpolate(torch.ones(2, 20, 4), distances, index)
    torch.testing.assert_close(even, torch.ones(2, 50, 4))
    assert api.three_nearest(points[:, :2], queries)[1].shape == (2, 50, 2)


def test_gather_interpolate_and_distances_have_gradients() -> None:
    features = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 6, (2, 4, 3))
    torch.testing.assert_close(
        api.gather(features, index), torch.stack([features[b][index[b]] for b in range(2)])
    )
    assert torch.equal(api.gather(features, index[..., 0]), api.gather(features, index)[:, :, 0])
    distances = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: api.gather(f, index), features)
    assert torch.autograd.gradgradcheck(lambda f: api.gather(f, index), features)
    assert torch.autograd.gradcheck(
        lambda f, d: api.interpolate(f, d, index), (features, distances)
    )
    points = random_cloud(2, 8, torch.float64).requires_grad_()
    queries = random_cloud(2, 5, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, q: api.three_nearest(p, q)[0], (points, queries))
    api.three_nearest(points, points)[0].sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()  # although each point is at distance 0 from itself


def test_rows_are_added_up_alike() -> None:
    gradient, index = torch.randn(3, 40, 5), torch.randint(0, 9, (3, 40))
    expected = torch.zeros(3, 9, 5)
    for b in range(3):
        for row, place in zip(gradient[b], index[b], strict=True):
            expected[b, place] += row
    for add in (cpu.add_rows, plain.add_rows):
        torch.testing.assert_close(add(gradient, index, 9), expected)
        torch.testing.assert_close(
            add(gradient.bfloat16(), index, 9).float(), expected, rtol=0.1, atol=0.1
        )


def test_forms_agree_index_for_index_on_larger_clouds() -> None:
    points = random_cloud(2, 1100)
    chosen = plain.farthest_points(points, 256)
    assert torch.equal(api.farthest_points(points, 256), chosen)
    centres, radii, counts = api.gather(points, chosen), (0.1, 0.2, 0.4), (16, 32, 128)
    for a, b in zip(
        api.ball_query(points, centres, radii, counts),
        plain.ball_query(points, centres, radii, counts),
        strict=True,
    ):
        assert torch.equal(a, b)
    assert torch.equal(api.k_nearest(points, points, 20), plain.k_nearest(points, points, 20))


@pytest.mark.parametrize("number", [2100, 9000])
def test_more_points_than_a_block_holds(form: SimpleNamespace, number: int) -> None:
    points = random_cloud(1, number)
    centres = points[:, 5:9].contiguous() + 0.001
    assert form.farthest_points(points, 5).tolist() == [naive_farthest(points[0].numpy(), 5)]
    (ball,) = form.ball_query(points, centres, (0.15,), (7,))
    assert torch.equal(ball, plain.ball_query(points, centres, (0.15,), (7,))[0])
    expected = plain.k_nearest(points, centres, 4)
    assert torch.equal(form.k_nearest(points, centres, 4), expected)


def test_cuda_has_plain_torch_where_triton_is_absent_or_does_not_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = library._on_cuda.__wrapped__
    name = "pointcmt_cli.ops.points.triton"
    monkeypatch.delattr("pointcmt_cli.ops.points.triton", raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    assert choose() is plain

    def probe() -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setitem(sys.modules, name, SimpleNamespace(probe=probe))
    with pytest.warns(UserWarning, match=r"Triton does not work here, .*: Failed to find C"):
        assert choose() is plain


def test_halves_are_compared_as_the_floats_they_are() -> None:
    points = random_cloud(2, 80).bfloat16()
    for call in (lambda x: api.farthest_points(x, 9), lambda x: api.k_nearest(x, x, 9)):
        assert torch.equal(call(points), call(points.float()))


def test_autocast_does_not_blunt_distances() -> None:
    features = torch.randn(1, 300, 32)
    expected = api.k_nearest(features, features, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(api.k_nearest(features, features, 8), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(value: float) -> None:
    good, bad, more = random_cloud(2, 10), random_cloud(2, 10), torch.rand(2, 10, 8)
    bad[1, 3, 2] = more[1, 3, 2] = value
    for name, call in {
        "farthest_points": lambda: api.farthest_points(bad, 3),
        "ball_query": lambda: api.ball_query(good, bad, (0.1,), (2,)),
        "k_nearest": lambda: api.k_nearest(more, more, 2),
    }.items():
        with pytest.raises(PointCMTError, match=rf"^{name}: a cloud holds NaN or infinity$"):
            call()


def test_what_makes_no_sense_is_one_line() -> None:
    points = random_cloud(2, 10)
    with pytest.raises(PointCMTError, match=r"farthest_points: asked for 0 points"):
        api.farthest_points(points, 0)
    with pytest.raises(PointCMTError, match=r"ball_query: asked for \[2, 0\] points"):
        api.ball_query(points, points, (0.1, 0.2), (2, 0))
    with pytest.raises(PointCMTError, match=r"once per radius"):
        api.ball_query(points, points, (0.1, 0.2), (2,))
    with pytest.raises(PointCMTError, match=r"expected clouds .* got \(2, 0, 3\)"):
        api.farthest_points(points[:, :0], 1)
    with pytest.raises(PointCMTError, match=r"got \(2, 10, 3\) and \(1, 10, 3\)"):
        api.k_nearest(points, points[:1], 1)


class Everything(torch.nn.Module):
    def forward(self, points: Tensor) -> tuple[Tensor, ...]:
        centres = api.gather(points, api.farthest_points(points, 30))
        balls = api.ball_query(points, centres, (0.3, 0.6), (4, 8))
        distances, index = api.three_nearest(centres, points)
        carried = api.interpolate(centres.square(), distances, index)
        return (*balls, api.k_nearest(points, centres, 5), carried)


def test_compiling_keeps_each_operation_whole() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    points = random_cloud(2, 60)
    found = torch.compile(Everything(), fullgraph=True, backend=backend)(points)
    for a, b in zip(found, Everything()(points), strict=True):
        torch.testing.assert_close(a, b)
    (graph,) = graphs
    called = [str(node.target) for node in graph.graph.nodes if "pointcmt" in str(node.target)]
    assert [name.split(".")[1] for name in called] == [*INDICES[:2], "k_nearest", "k_nearest"]
    assert len(graph.graph.nodes) < 90


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_operations_keep_torchs_rules() -> None:
    points = random_cloud(2, 30)
    index = torch.randint(0, 30, (2, 4, 3))
    of = library.OPERATIONS
    for operation, values in [
        (of.farthest_points, (points, 5)),
        (of.ball_query, (points, points[:, :4].contiguous(), [0.1, 0.3], [3, 4])),
        (of.k_nearest, (points, points, 3)),
        (of.gather, (points.clone().requires_grad_(), index)),
        (of.add_rows, (torch.rand(2, 4, 3, 5).requires_grad_(), index, 30)),
    ]:
        torch.library.opcheck(operation.default, values)


def test_an_export_holds_plain_torch_alone() -> None:
    batch, points = torch.export.Dim("batch", min=1, max=64), random_cloud(3, 60)
    program = torch.export.export(Everything(), (points,), dynamic_shapes=({0: batch},))
    assert "pointcmt" not in str(program.graph)
    for a, b in zip(program.module()(points[:1]), Everything()(points[:1]), strict=True):
        torch.testing.assert_close(a, b)


def test_exported_farthest_points_are_a_loop_and_equal() -> None:
    class Pick(torch.nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return api.farthest_points(points, 40)

    batch = torch.export.Dim("batch", min=1, max=64)
    points = random_cloud(4, 60)
    program = torch.export.export(Pick(), (points,), dynamic_shapes=({0: batch},))
    assert len(program.graph.nodes) < 60
    for count in (1, 3, 4):
        assert torch.equal(
            program.module()(points[:count]), api.farthest_points(points[:count], 40)
        )


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    points, features, before = random_cloud(2, 600), torch.randn(2, 600, 9), torch.get_num_threads()
    points.requires_grad_()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            nearest = api.k_nearest(features, features, 7)
            (gradient,) = torch.autograd.grad(api.gather(points, nearest).square().sum(), points)
            balls = api.ball_query(points, points, (0.2,), (9,))
            chosen = api.farthest_points(points, 50)
            results.append([chosen, *balls, api.k_nearest(points, points, 7), nearest, gradient])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_an_error_in_a_thread_comes_through_and_threads_are_given_back() -> None:
    before = torch.get_num_threads()

    def fail(piece: int) -> None:
        raise ValueError(f"piece {piece}")

    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="piece 0"):
            threads.share(fail, 4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_cuts_cover_everything_once() -> None:
    for total, pieces in [(10, 3), (2, 16), (16, 16), (0, 4)]:
        runs = threads.cuts(total, pieces)
        assert [i for start, end in runs for i in range(start, end)] == list(range(total))
        assert all(end > start for start, end in runs)
