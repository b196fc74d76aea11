"""Points drawn for training: each once, and of a cloud that is filled up with repeats only those that are none."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pointcmt_cli.data.clouds.augmentation import draw
from pointcmt_cli.data.clouds.sampling import available, is_filled, sample_points
from pointcmt_cli.data.shape import Shape

STORED = 64


def stored(*counts: int) -> NDArray[np.float32]:
    """(S, 64, 3): sources of so many points, as `render` stores them."""
    numbers = np.random.default_rng(0)
    clouds = [numbers.normal(size=(count, 3)).astype(np.float32) for count in counts]
    return np.stack(
        [sample_points(Shape(f"a/{row}", cloud), STORED) for row, cloud in enumerate(clouds)]
    )


def different(clouds: torch.Tensor) -> list[int]:
    """How many points of each cloud are different."""
    return [len(np.unique(cloud, axis=0)) for cloud in clouds.numpy()]


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_available_is_what_the_source_gave() -> None:
    counts = [1, 2, 33, 63, 64, 65, 500]
    clouds = stored(*counts)
    assert available(clouds).tolist() == [1, 2, 33, 63, 64, 64, 64]
    assert [is_filled(each[None]) for each in clouds] == [True] * 4 + [False] * 3
    naive = [
        next(n for n in range(1, 65) if len(np.unique(c[:n], axis=0)) == len(np.unique(c, axis=0)))
        for c in clouds
    ]
    assert available(clouds).tolist() == naive


def test_points_that_a_source_has_twice_are_no_filling() -> None:
    cloud = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    cloud[7] = cloud[31]
    clouds = sample_points(Shape("a/b", cloud), STORED)[None]
    assert available(clouds)[0] in (39, 40)
    np.testing.assert_array_equal(np.unique(clouds[0, :40], axis=0), np.unique(clouds[0], axis=0))


def test_what_is_drawn_is_what_scoring_takes() -> None:
    """The first 32 of 32 given points are all different, and so are those that training draws."""
    clouds = torch.from_numpy(stored(32, 40, 64))
    given = torch.from_numpy(available(clouds.numpy()))
    assert different(clouds[:, :32]) == [32, 32, 32]
    drawn = draw(clouds, 32, numbers(), given)
    assert different(drawn) == [32, 32, 32]
    assert different(draw(clouds, 32, numbers()))[0] < 30
    assert not torch.equal(drawn, draw(clouds, 32, numbers(1), given))


def test_repeats_are_drawn_only_where_the_points_are_too_few() -> None:
    clouds = torch.from_numpy(stored(10, 48))
    given = torch.from_numpy(available(clouds.numpy()))
    assert different(draw(clouds, 48, numbers(), given)) == [10, 48]
    assert different(draw(clouds, 100, numbers(), given)) == [10, 48]
    assert draw(clouds, 100, numbers(), given).shape == (2, STORED, 3)


@pytest.mark.parametrize("count", [1, 20, 64, 70])
def test_clouds_that_are_not_filled_are_drawn_as_ever(count: int) -> None:
    clouds = torch.from_numpy(stored(64, 90))
    expected = draw(clouds, count, numbers())
    assert torch.equal(draw(clouds, count, numbers(), torch.tensor([64, 64])), expected)


def test_every_given_point_has_the_same_chance() -> None:
    """2,000 draws of 8 among 32: chi-square with 31 degrees of freedom, 61.1 is its 99.9 % point."""
    clouds = torch.arange(STORED).float()[None, :, None].expand(2000, -1, 3)
    drawn = draw(clouds, 8, numbers(), torch.full((2000,), 32))[..., 0].long()
    observed = torch.bincount(drawn.flatten(), minlength=STORED)
    assert observed[32:].sum() == 0
    assert float(((observed[:32] - 500.0) ** 2 / 500).sum()) < 61.1
