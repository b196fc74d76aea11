"""The generator (CMPG) and its loss: sizes of the reference, the unit box by geometry, a gradient that teaches."""

import pytest
import torch
from torch import nn

from pointcmt_cli.models.generator import Generator, generator_loss, unit_box


def test_one_layer_is_the_reference_s() -> None:
    generator = Generator(512)
    assert [type(each) for each in generator.layers] == [nn.Dropout, nn.Linear]
    assert sum(each.numel() for each in generator.parameters()) == 512 * 3 * 1024
    assert generator.layers[0].p == 0.5


@pytest.mark.parametrize("layers", [1, 3])
def test_clouds(layers: int) -> None:
    generator = Generator(16, points=20, layers=layers).eval()
    features = torch.rand(4, 16)
    clouds = generator(features)
    assert clouds.shape == (4, 20, 3)
    torch.testing.assert_close(generator(features[1:2]), clouds[1:2])
    assert sum(isinstance(each, nn.Linear) for each in generator.layers) == layers


def test_unit_box_is_centred_with_longest_side_one() -> None:
    clouds = torch.rand(3, 50, 3) * torch.tensor([3.0, 1.0, 0.2]) + 7
    boxed = unit_box(clouds)
    low, high = boxed.amin(dim=1), boxed.amax(dim=1)
    torch.testing.assert_close(low, -high)
    torch.testing.assert_close((high - low).amax(dim=1), torch.ones(3))
    shape = (clouds.amax(1) - clouds.amin(1)) / (clouds.amax(1) - clouds.amin(1)).amax(1, True)
    torch.testing.assert_close(high - low, shape)  # proportions are kept


def test_unit_box_forgets_place_and_size_and_survives_one_point() -> None:
    clouds = torch.rand(2, 30, 3, dtype=torch.float64)
    torch.testing.assert_close(unit_box(clouds * 4 - 9), unit_box(clouds))
    point = torch.full((1, 5, 3), 0.3, requires_grad=True)
    assert unit_box(point).eq(0).all()
    unit_box(point).sum().backward()
    assert point.grad is not None
    assert point.grad.isfinite().all()


def test_unit_box_has_gradients() -> None:
    clouds = torch.rand(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_box, clouds)


def test_loss_is_zero_on_the_same_cloud_moved_and_scaled() -> None:
    cloud = torch.rand(2, 40, 3)
    torch.testing.assert_close(
        generator_loss(cloud * 2 + 1, cloud), torch.tensor(0.0), rtol=0, atol=1e-4
    )


def test_loss_is_thirty_times_the_distance() -> None:
    a = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    b = torch.tensor([[[0.0, 0, 0], [0, 1, 0]]])
    # boxes: a (-.5, 0, 0), (.5, 0, 0); b (0, -.5, 0), (0, .5, 0): every pair is sqrt(.5) apart
    torch.testing.assert_close(generator_loss(a, b), torch.tensor(30 * 0.5**0.5))


def test_a_generator_learns_a_cloud() -> None:
    torch.manual_seed(0)
    generator, features = Generator(8, points=32), torch.ones(1, 8)
    target = torch.rand(1, 32, 3)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
    generator.eval()
    before = generator_loss(generator(features), target)
    for _ in range(60):
        loss = generator_loss(generator(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < before / 3
