"""The points renderer: where a point lands, how gray it is, and a slow obvious twin."""

from dataclasses import replace

import numpy as np
from renderer_scenes import SQUARE, focal, from_direction, shape, square

from pointcmt_cli.data.rigs import DISTANCE
from pointcmt_renderers.points import points


def test_a_point_is_a_square_whose_gray_is_its_depth() -> None:
    rig, draw = from_direction([0, 0, 1], 128), points()
    for z, expected in ((0.0, 0.45), (1.0, 0.1), (-1.0, 0.8)):
        image = draw(shape([[0, 0, z]]), rig)[0]
        assert (image[62:66, 62:66] == round(255 * expected)).all()
        assert (image < 255).sum() == 16  # SimpleView's 4 x 4 at its 128 pixels


def test_a_pixel_is_the_mean_depth_weighted_by_nearness() -> None:
    rig, z = from_direction([0, 0, 1], 32), np.array([0.5, -0.5])
    distances = DISTANCE - z
    for sharpness in (0.0, 1.0, 16.0):
        image = points(splat_size=3, sharpness=sharpness)(shape([[0, 0, 0.5], [0, 0, -0.5]]), rig)[
            0
        ]
        mean = np.average(distances, weights=distances**-sharpness)
        assert image[16, 16] == round(255 * (0.1 + 0.7 * (mean - DISTANCE + 1) / 2))


def test_clouds_equal_the_naive_twin_in_any_order() -> None:
    random = np.random.default_rng(0)
    cloud = random.uniform(-0.57, 0.57, (300, 3)).astype(np.float32)
    rig = from_direction([1, 2, 3], 64)
    image = points(splat_size=3, sharpness=2.0)(shape(cloud), rig)[0]
    local = cloud @ rig.world_to_camera[0, :3, :3].T + rig.world_to_camera[0, :3, 3]
    away = -local[:, 2]
    column = 32 + focal(rig) * local[:, 0] / away
    row = 32 - focal(rig) * local[:, 1] / away
    centres = np.arange(64) + 0.5
    for y, x in np.ndindex(64, 64):
        near = (np.abs(centres[x] - column) < 1.5) & (np.abs(centres[y] - row) < 1.5)
        mean = np.average(away[near], weights=away[near] ** -2) if near.any() else np.inf
        gray = 255 * (0.1 + 0.7 * (mean - DISTANCE + 1) / 2) if near.any() else 255
        assert abs(image[y, x] - gray) < 0.51
    again = points(splat_size=3, sharpness=2.0)(shape(cloud[::-1]), rig)[0]
    np.testing.assert_array_equal(again, image)


def test_a_mesh_is_drawn_by_its_points_else_by_its_vertices() -> None:
    rig, draw = from_direction([0, 0, 1], 128), points()
    drawn = shape(square(0.0), SQUARE)
    assert (draw(drawn, rig) < 255).sum() == 4 * 16
    sampled = replace(drawn, points=np.zeros((1, 3), np.float32))
    assert (draw(sampled, rig) < 255).sum() == 16


def test_splats_over_the_border_are_cut() -> None:
    rig = from_direction([0, 0, 1], 32)
    edge = DISTANCE * np.tan(rig.field_of_view / 2)
    image = points(splat_size=8)(shape([[edge, edge, 0]]), rig)[0]
    assert (image < 255).sum() == 16
    assert (image[:4, -4:] < 255).all()
