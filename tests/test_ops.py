"""Point operations: the numba and the plain-torch form against naive twins and each other, index for index."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointcmt_cli import api
from pointcmt_cli.ops import points as plain
from pointcmt_cli.ops import threads

FORMS = ["numba", "torch"]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms behind the same functions."""
    if request.param == "torch":
        monkeypatch.setattr(plain, "_on_numba", lambda points: False)
    return str(request.param)


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
    "one cloud": lambda: random_cloud(1, 33),
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


def test_farthest_points(form: str, cloud: Tensor) -> None:
    count = min(24, cloud.shape[1])
    found = api.farthest_points(cloud, count)
    assert found.dtype == torch.int64
    assert found.tolist() == [naive_farthest(each.numpy(), count) for each in cloud]


def test_farthest_points_of_fewer_than_asked_for_repeat_the_first(form: str) -> None:
    found = api.farthest_points(random_cloud(2, 5), 9)
    assert sorted(found[0, :5].tolist()) == [0, 1, 2, 3, 4]
    assert found[:, 5:].eq(0).all()


def test_farthest_points_near_the_origin_count(form: str) -> None:
    """The reference's CUDA code would never choose the second and the third of these."""
    points = torch.tensor([[[0.5, 0, 0], [0, 0, 0], [0.01, 0, 0]]])
    assert api.farthest_points(points, 3).tolist() == [[0, 1, 2]]


def test_ball_query(form: str, cloud: Tensor) -> None:
    centres = cloud[:, ::3].contiguous()
    radii, counts = (0.25, 0.5, 1.2), (4, 16, 200)
    found = api.ball_query(cloud, centres, radii, counts)
    for radius, count, index in zip(radii, counts, found, strict=True):
        expected = [
            [naive_ball(points.numpy(), centre.numpy(), radius, count) for centre in middles]
            for points, middles in zip(cloud, centres, strict=True)
        ]
        assert index.tolist() == expected


def test_ball_query_is_strict_and_takes_the_nearest_where_a_ball_is_empty(form: str) -> None:
    points = torch.tensor([[[1.0, 0, 0], [0.5, 0, 0], [3, 0, 0]]])
    centres = torch.tensor([[[0.0, 0, 0], [2.9, 0, 0]]])
    (found,) = api.ball_query(points, centres, (0.5,), (2,))
    assert found.tolist() == [[[1, 1], [2, 2]]]  # at 0.5 is outside a ball of 0.5, but nearest


def test_k_nearest(form: str, cloud: Tensor) -> None:
    queries = cloud[:, ::2].contiguous() + 0.01
    count = min(7, cloud.shape[1])
    found = api.k_nearest(cloud, queries, count)
    for points, asked, index in zip(cloud, queries, found, strict=True):
        order = np.argsort(squares(asked.numpy(), points.numpy()), axis=1, kind="stable")
        assert index.tolist() == order[:, :count].tolist()


def test_k_nearest_in_feature_space(form: str) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 60, 16, dtype=torch.float64)
    found = api.k_nearest(features, features, 6)
    assert torch.equal(found, torch.cdist(features, features).topk(6, largest=False).indices)


def test_three_nearest_and_interpolate(form: str) -> None:
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


def test_gather_and_interpolate_have_gradients() -> None:
    features = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 6, (2, 4, 3))
    torch.testing.assert_close(
        api.gather(features, index), torch.stack([features[b][index[b]] for b in range(2)])
    )
    assert torch.equal(api.gather(features, index[..., 0]), api.gather(features, index)[:, :, 0])
    distances = torch.rand(2, 4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: api.gather(f, index), features)
    assert torch.autograd.gradcheck(lambda f: api.interpolate(f, distances, index), features)


def test_forms_agree_index_for_index_on_larger_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    points = random_cloud(2, 1024)

    def everything() -> list[Tensor]:
        chosen = api.farthest_points(points, 256)
        balls = api.ball_query(points, api.gather(points, chosen), (0.1, 0.2, 0.4), (16, 32, 128))
        return [chosen, *balls, api.k_nearest(points, points, 20)]

    fast = everything()
    monkeypatch.setattr(plain, "_on_numba", lambda points: False)
    for a, b in zip(fast, everything(), strict=True):
        assert torch.equal(a, b)


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
    points, before = random_cloud(5, 200), torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(api.farthest_points(points, 50))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


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
