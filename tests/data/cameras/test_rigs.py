"""Camera rigs: truths of geometry, and what is said to who asks for a rig that is not there."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pointcmt_cli.data.cameras.named import RIGS, circle, sphere
from pointcmt_cli.data.cameras.rigs import DISTANCE, cameras, look_at
from pointcmt_cli.errors import UsageError

VIEWS = {
    "mvcnn12": 12,
    "dodecahedron20": 20,
    "orthogonal6": 6,
    "circle:7@-20": 7,
    "circle:2@90": 2,
    "sphere:9": 9,
    "sphere:1": 1,
}


def test_every_rig_is_tested() -> None:
    assert set(VIEWS) >= set(RIGS)


@pytest.mark.parametrize("name", VIEWS)
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


@pytest.mark.parametrize("name", VIEWS)
def test_up_in_the_image_is_up_in_the_world(name: str) -> None:
    for pose in cameras(name, 8).poses:
        if abs(pose[2, 2]) < 0.99:  # not above a pole
            assert pose[2, 1] > 0  # the image's up has a part along z
            assert pose[2, 0] == pytest.approx(0, abs=1e-12)  # and its right has none
        else:
            np.testing.assert_allclose(pose[:3, 1], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("name", VIEWS)
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


def test_one_rig_has_one_name() -> None:
    assert cameras("circle:12", 8).name == cameras("circle:12@30.0", 8).name == "circle:12@30"
    np.testing.assert_allclose(
        cameras("circle:12", 8).poses, cameras("mvcnn12", 8).poses, atol=1e-9
    )


@pytest.mark.parametrize("views", [20, 80, 500])
def test_sphere_is_spread_evenly(views: int) -> None:
    """The nearest neighbour of each is about as far as on a hexagonal lattice of the same density."""
    there = sphere(views)
    np.testing.assert_allclose(np.linalg.norm(there, axis=1), 1)
    between = np.linalg.norm(there[:, None] - there, axis=2) + 9 * np.eye(views)
    hexagonal = (8 * np.pi / (views * 3**0.5)) ** 0.5
    nearest = between.min(axis=1) / hexagonal
    assert nearest.min() > 0.7
    assert nearest.max() < 1.05
    np.testing.assert_allclose(there.mean(axis=0), 0, atol=1 / views)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_margin_is_the_room_around_the_sphere(projection: str, margin: float) -> None:
    rig = cameras("sphere:5", 100, projection, margin)  # type: ignore[arg-type]
    assert rig.projection == projection
    if rig.half_height is not None:
        assert rig.half_height == 1 + margin
        assert rig.scale == pytest.approx(50 / (1 + margin))
    place = rig.poses[:, :3, 3]
    reach = 1 + margin if margin else 1
    np.testing.assert_allclose(
        np.linalg.norm(place, axis=1) * np.sin(rig.field_of_view / 2), reach, atol=1e-12
    )


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_matrices_say_where_a_point_is_seen(projection: str) -> None:
    """Against the definition: turn into the camera's frame, divide by depth, scale, y down."""
    rig = cameras("sphere:7", 64, projection)  # type: ignore[arg-type]
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    for pose, matrix in zip(rig.poses, rig.matrices, strict=True):
        x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).T
        depth = 1 if rig.orthographic else -z
        column, row, w = matrix @ np.c_[points, np.ones(20)].T
        np.testing.assert_allclose(column / w, 32 + rig.scale * x / depth)
        np.testing.assert_allclose(row / w, 32 - rig.scale * y / depth)
        assert (w > 0).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "mvcnn21",
            r"no rig named 'mvcnn21' \(there are: mvcnn12, dodecahedron20, orthogonal6, circle:N@",
        ),
        ("circle", "no rig named 'circle'"),
        ("sphere:", "no rig named 'sphere:'"),
        ("circle:0", "rig 'circle:0': '0' is not a number of views from 1 to 1000"),
        ("sphere:1001", "'1001' is not a number of views"),
        ("sphere:12@30", "'12@30' is not a number of views"),
        ("circle:-3", "'-3' is not a number of views"),
        ("circle:3@", "rig 'circle:3@': '' is not an elevation from -90 to 90 degrees"),
        ("circle:3@91", "'91' is not an elevation"),
        ("circle:3@nan", "'nan' is not an elevation"),
    ],
)
def test_no_such_rig(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cameras(name, 224)


TOML = """
projection = "perspective"
field_of_view = 60
[[cameras]]
position = [0, -3, 0]
[[cameras]]
position = [2.0, 0.0, 0.5]
target = [0.0, 0.0, 0.5]
up = [0, 1, 0]
[[cameras]]
azimuth = 90
elevation = 30
[[cameras]]
azimuth = 180
elevation = 0
distance = 5
[[cameras]]
matrix = [[1, 0, 0, 0.1], [0, 1, 0, 0.2], [0, 0, 1, 4], [0, 0, 0, 1]]
"""


def test_a_file_of_cameras(tmp_path: Path) -> None:
    path = tmp_path / "my rig.toml"
    path.write_text(TOML)
    rig = cameras(str(path), 50)
    assert rig.field_of_view == pytest.approx(np.pi / 3)
    assert (rig.views, rig.size, rig.projection) == (5, 50, "perspective")
    np.testing.assert_allclose(rig.poses[0], look_at(np.array([[0.0, -3.0, 0.0]]))[0])
    np.testing.assert_allclose(rig.poses[1][:3, :3], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-12)
    away = 1.02 / np.sin(np.pi / 6)
    np.testing.assert_allclose(rig.poses[2][:3, 3], [0, away * 0.75**0.5, away / 2], atol=1e-12)
    np.testing.assert_allclose(rig.poses[3][:3, 3], [-5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rig.poses[4][:3, 3], [0.1, 0.2, 4])
    wide = cameras(str(path), 50, margin=0.5)  # only the third leaves its distance open
    np.testing.assert_allclose(np.linalg.norm(wide.poses[2][:3, 3]), away * 1.5 / 1.02)
    np.testing.assert_allclose(wide.poses[3], rig.poses[3])
    again = tmp_path / "rig.json"
    again.write_text(rig.name)
    np.testing.assert_array_equal(cameras(str(again), 50).poses, rig.poses)
    assert cameras(str(again), 50).name == rig.name


def test_an_orthographic_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.JSON"
    one = {"azimuth": 0, "elevation": 90}
    path.write_text(
        json.dumps({"cameras": [one], "half_height": 0.5, "projection": "orthographic"})
    )
    rig = cameras(str(path), 10)
    assert (rig.half_height, rig.scale) == (0.5, 10)
    path.write_text(json.dumps({"cameras": [one]}))
    assert cameras(str(path), 10, "orthographic", 0.25).half_height == 1.25


def test_a_matrix_of_few_digits_becomes_rigid(tmp_path: Path) -> None:
    pose = cameras("sphere:5", 8).poses[2]
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"cameras": [{"matrix": np.round(pose, 4).tolist()}]}))
    found = cameras(str(path), 8).poses[0]
    np.testing.assert_allclose(found, pose, atol=1e-4)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-14)


ONE = "cameras = [{azimuth = 3, elevation = 9}]"
UNIT = "[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras = 3", "cameras: a list of 1 to 1000 cameras is needed"),
        ("cameras = []", "cameras: a list of 1 to 1000"),
        ("", "cameras: a list of 1 to 1000"),
        ("cameras = [1]", "camera 1: a table with position, "),
        ("cameras = [{}]", "camera 1: position, azimuth and elevation, or matrix is needed"),
        ("fov = 3\ncameras = []", "no such key 'fov' (there are: cameras, projection, "),
        (
            "cameras = [{position = [1, 2, 3], fov = 3}]",
            "camera 1: no such key 'fov' (there are: position, ",
        ),
        (
            "cameras = [{position = [1, 2]}]",
            "camera 1: position: [1, 2] is not a list of 3 numbers",
        ),
        (
            "cameras = [{position = [1, 2, nan]}]",
            "camera 1: position: nan is not a number that can be",
        ),
        (
            "cameras = [{position = [1, 2, 1e300]}]",
            "camera 1: position: 1e+300 is not a number that can be",
        ),
        ("cameras = [{position = [1, 2, true]}]", "camera 1: position: True is not a number"),
        (
            "cameras = [{position = [1, 2, 2000-01-01]}]",
            "camera 1: position: datetime.date(2000, 1, 1) is not a number",
        ),
        (
            "cameras = [{azimuth = 1, elevation = 2}, {position = [0, 0, 0]}]",
            "camera 2: position: is at the target",
        ),
        (
            "cameras = [{position = [1, 0, 0], target = [1, 0, 0]}]",
            "camera 1: position: is at the target",
        ),
        (
            "cameras = [{position = [1, 0, 0], up = [-2, 0, 0]}]",
            "camera 1: up: is zero, or along the line of sight",
        ),
        (
            "cameras = [{position = [1, 0, 0], azimuth = 3}]",
            "camera 1: azimuth: cannot be combined with position",
        ),
        ("cameras = [{azimuth = 3}]", "camera 1: elevation: is needed beside azimuth"),
        (
            "cameras = [{azimuth = 3, elevation = 95}]",
            "camera 1: elevation: 95 is not from -90 to 90 degrees",
        ),
        (
            "cameras = [{azimuth = 3, elevation = 9, distance = 0}]",
            "camera 1: distance: 0 is not a length above zero",
        ),
        ("cameras = [{matrix = [[1]]}]", "camera 1: matrix: 4 rows of 4 numbers are needed"),
        ("cameras = [{matrix = [1, 2, 3, 4]}]", "camera 1: matrix: 1 is not a list of 4 numbers"),
        (
            f"cameras = [{{matrix = {UNIT.replace('[1, 0', '[2, 0', 1)}}}]",
            "camera 1: matrix: is not rigid: it stretches by 2",
        ),
        (
            f"cameras = [{{matrix = {UNIT.replace('[1, 0', '[-1, 0', 1)}}}]",
            "camera 1: matrix: is not rigid: it mirrors",
        ),
        (
            f"cameras = [{{matrix = {UNIT.replace('0, 1]]', '3, 1]]')}}}]",
            "camera 1: matrix: is not rigid: its last row is not 0 0 0 1",
        ),
        (
            "projection = 'fisheye'\ncameras = []",
            "projection: 'fisheye' is not perspective or orthographic",
        ),
        ("field_of_view = 0\ncameras = []", "cameras: a list"),
        ("field_of_view = 180\n" + ONE, "field_of_view: 180 is not an angle from 1 to 170"),
        ("half_height = 2\n" + ONE, "half_height: cannot be combined with perspective cameras"),
        (
            "projection = 'orthographic'\nfield_of_view = 20\n" + ONE,
            "field_of_view: cannot be combined with orthographic",
        ),
        ("cameras = [", "is not TOML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_name(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        cameras(str(path), 8)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


def test_other_files_that_are_no_rig(tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    with pytest.raises(UsageError, match=r"rig\.json: cannot be read: No such file"):
        cameras(str(path), 8)
    for text, said in (("{", "is not JSON: "), ("[1]", "a table with a list 'cameras' is needed")):
        path.write_text(text)
        with pytest.raises(UsageError, match=said):
            cameras(str(path), 8)
    path.write_text('{"cameras": [{"position": [NaN, 0, 0]}]}')
    with pytest.raises(UsageError, match="camera 1: position: nan is not a number"):
        cameras(str(path), 8)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not JSON"):
        cameras(str(path), 8)
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match="is not JSON"):
        cameras(str(path), 8)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="is a pipe, not a file"):
        cameras(str(path), 8)


def test_the_command_line_does_not_contradict_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(
        "projection = 'orthographic'\nhalf_height = 1\ncameras = [{position = [1, 0, 0]}]"
    )
    with pytest.raises(
        UsageError, match=r"--projection perspective: .*rig\.toml says orthographic"
    ):
        cameras(str(path), 8, "perspective")
    with pytest.raises(
        UsageError, match=r"--margin 0\.1: .*rig\.toml says itself where every camera"
    ):
        cameras(str(path), 8, margin=0.1)
