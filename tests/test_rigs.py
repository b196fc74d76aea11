"""Camera rigs: truths of geometry, and what is said to who asks for a rig that is not there."""

import numpy as np
import pytest

from pointcmt_cli.data.rigs import DISTANCE, RIGS, cameras, circle, look_at
from pointcmt_cli.errors import UsageError

VIEWS = {"mvcnn12": 12, "dodecahedron20": 20, "orthogonal6": 6}


def test_every_rig_is_tested() -> None:
    assert set(VIEWS) == set(RIGS)


@pytest.mark.parametrize("name", RIGS)
def test_poses_are_rigid_right_handed_and_look_at_the_origin(name: str) -> None:
    rig = cameras(name, 224)
    assert rig.views == VIEWS[name]
    turn, place = rig.poses[:, :3, :3], rig.poses[:, :3, 3]
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1), np.tile(np.eye(3), (rig.views, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-12)
    np.testing.assert_array_equal(rig.poses[:, 3], np.tile([0, 0, 0, 1], (rig.views, 1)))
    np.testing.assert_allclose(place, turn[:, :, 2] * DISTANCE, atol=1e-12)  # back is away from 0
    np.testing.assert_allclose(
        rig.world_to_camera @ rig.poses, np.tile(np.eye(4), (rig.views, 1, 1)), atol=1e-12
    )


@pytest.mark.parametrize("name", RIGS)
def test_up_in_the_image_is_up_in_the_world(name: str) -> None:
    for pose in cameras(name, 8).poses:
        if abs(pose[2, 2]) < 0.99:  # not above a pole
            assert pose[2, 1] > 0  # the image's up has a part along z
            assert pose[2, 0] == pytest.approx(0, abs=1e-12)  # and its right has none
        else:
            np.testing.assert_allclose(pose[:3, 1], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("name", RIGS)
def test_the_whole_unit_sphere_is_inside_the_image_and_fills_it(name: str) -> None:
    rig = cameras(name, 224)
    for pose in rig.poses:
        reach = np.arcsin(1 / np.linalg.norm(pose[:3, 3]))  # half the angle that the sphere takes
        share = np.tan(reach) / np.tan(rig.field_of_view / 2)
        assert 0.95 < share < 1


def test_mvcnn12_goes_around_at_thirty_degrees() -> None:
    place = cameras("mvcnn12", 8).poses[:, :3, 3] / DISTANCE
    np.testing.assert_allclose(np.degrees(np.arcsin(place[:, 2])), 30)
    azimuth = np.degrees(np.arctan2(place[:, 1], place[:, 0])) % 360
    np.testing.assert_allclose(azimuth, 30 * np.arange(12), atol=1e-9)


def test_dodecahedron20_stands_on_the_corners_of_a_dodecahedron() -> None:
    place = cameras("dodecahedron20", 8).poses[:, :3, 3] / DISTANCE
    between = np.linalg.norm(place[:, None] - place, axis=2)
    edge = (5**0.5 - 1) / 3**0.5  # of the one in the unit sphere
    np.testing.assert_allclose(np.sort(between, axis=1)[:, 1:4], edge, atol=1e-12)
    assert (np.sort(between, axis=1)[:, 4] > 1.1).all()  # three neighbours each
    np.testing.assert_allclose(place.mean(0), 0, atol=1e-12)


def test_orthogonal6_stands_on_the_axes() -> None:
    place = cameras("orthogonal6", 8).poses[:, :3, 3] / DISTANCE
    np.testing.assert_allclose(np.abs(place).sum(1), 1)
    np.testing.assert_allclose(place.sum(0), 0)
    assert len(np.unique(place, axis=0)) == 6


def test_circle_and_look_at() -> None:
    np.testing.assert_allclose(
        circle(4, 0.0), np.eye(4)[[0, 1, 0, 1], :3] * [[1], [1], [-1], [-1]], atol=1e-12
    )
    pose = look_at(np.array([[0.0, -2.0, 0.0]]))[0]
    np.testing.assert_allclose(pose[:3, 0], [1, 0, 0])  # from -y, +x is to the right


def test_no_such_rig() -> None:
    with pytest.raises(
        UsageError,
        match=r"no rig named 'mvcnn21' \(there are: mvcnn12, dodecahedron20, orthogonal6\)",
    ):
        cameras("mvcnn21", 224)
