"""views.h5 and features.h5: what goes in comes out, plain h5py reads it, and a failed write leaves no trace."""

import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.data.store import codec, hdf5
from pointcmt_cli.data.store.features import Features, read_features, write_features
from pointcmt_cli.data.store.views import (
    ViewsRow,
    read_attributes,
    read_images,
    read_index,
    read_rows,
    read_shapes,
    write_views,
)
from pointcmt_cli.errors import DataError

SHAPE = (3, 8, 8)
ABOUT = {"class_names": ["bed", "cup"], "rig": "mvcnn12", "image_size": 8, "variant": None}


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def some_rows(count: int = 6) -> list[ViewsRow]:
    points = np.random.default_rng(1).normal(size=(count, 16, 3)).astype(np.float32)
    return [
        ViewsRow(
            name=f"{('bed', 'cup')[index % 2]}/ü {index}",
            label=index % 2,
            split=("train", "held-out", "test")[index % 3],
            source_hash=f"s{index}",
            content_hash=f"c{index}",
            points=points[index],
            images=zlib.compress(images(count)[index].tobytes(), 1),
        )
        for index in range(count)
    ]


def write(path: Path, rows: list[ViewsRow], **about: object) -> str:
    return write_views(path, rows, len(rows), SHAPE, 16, {**ABOUT, **about})


def test_views_come_back_as_they_were(tmp_path: Path) -> None:
    rows = some_rows()
    digest = write(tmp_path / "views.h5", rows)
    shapes = read_shapes(tmp_path / "views.h5")
    np.testing.assert_array_equal(shapes.points, [row.points for row in rows])
    assert shapes.names == [row.name for row in rows]
    assert shapes.labels.tolist() == [row.label for row in rows]
    assert shapes.splits.tolist() == [row.split for row in rows]
    assert shapes.classes == ["bed", "cup"]
    assert shapes.counts() == {"train": 2, "held-out": 2, "test": 2}
    assert shapes.digest == digest
    np.testing.assert_array_equal(read_images(tmp_path / "views.h5", [4, 1]), images(6)[[4, 1]])
    index = read_index(tmp_path / "views.h5")
    assert (index.names, index.labels) == (shapes.names, shapes.labels.tolist())
    assert (index.splits, index.source_hashes) == (
        shapes.splits.tolist(),
        [f"s{n}" for n in range(6)],
    )


def test_rows_can_go_into_another_file_without_being_decompressed(tmp_path: Path) -> None:
    rows = some_rows()
    write(tmp_path / "first.h5", rows)
    copied = list(read_rows(tmp_path / "first.h5", [5, 0]))
    for copy, row in zip(copied, [rows[5], rows[0]], strict=True):
        assert copy.images == row.images
        assert (copy.name, copy.label, copy.split) == (row.name, row.label, row.split)
    write(tmp_path / "second.h5", list(read_rows(tmp_path / "first.h5", range(6))))
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_plain_h5py_reads_views(tmp_path: Path) -> None:
    write(tmp_path / "views.h5", some_rows())
    with h5py.File(tmp_path / "views.h5") as file:
        np.testing.assert_array_equal(file["views"][:], images(6))
        assert (file["views"].chunks, file["views"].compression) == ((1, *SHAPE), "gzip")
        assert (file["points"].dtype, file["points"].chunks) == (np.float32, (1, 16, 3))
        assert list(file.attrs["class_names"]) == ["bed", "cup"]
        assert (file.attrs["format"], file.attrs["version"]) == ("pointcmt-views", 1)
        assert "variant" not in file.attrs


def test_a_repacked_file_is_read_all_the_same_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "views.h5"
    write(path, some_rows())
    with h5py.File(path, "r+") as file:
        stored = file["views"][:]
        del file["views"]
        file.create_dataset("views", data=stored, chunks=(2, *SHAPE), compression="lzf")
    np.testing.assert_array_equal(read_images(path, [4, 1]), images(6)[[4, 1]])
    write(path, [replace(row, images=row.images[:20]) for row in some_rows()])
    with pytest.raises(
        DataError, match=r"views.h5: its views are damaged \(.*\); `pointcmt render --"
    ):
        read_images(path, [0])
    write(path, [replace(row, images=codec.compress(images(1)[0][:1])) for row in some_rows()])
    with pytest.raises(DataError, match="its views are damaged"):
        read_images(path, [0])


@pytest.mark.parametrize("kind", ["noise", "flat", "bars"])
def test_the_codec_writes_what_zlib_reads(kind: str) -> None:
    pixels = np.zeros((3, 61, 67, 3), np.uint8)
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape).astype(np.uint8)
    elif kind == "bars":
        pixels[:, ::7] = 200
    stream = codec.compress(pixels)
    assert stream == codec.compress(pixels)
    assert zlib.decompress(stream) == pixels.tobytes()
    np.testing.assert_array_equal(codec.decompress(stream, pixels.shape), pixels)
    np.testing.assert_array_equal(codec.decompress(zlib.compress(pixels), pixels.shape), pixels)


def test_colour_views_and_a_thousand_cameras(tmp_path: Path) -> None:
    """HDF5 takes 64 KiB in an attribute: a thousand matrices are datasets, a file's text is in the heap."""
    path = tmp_path / "views.h5"
    colour = np.random.default_rng(0).integers(0, 256, (2, 1000, 4, 4, 3)).astype(np.uint8)
    rows = [
        replace(row, images=zlib.compress(images.tobytes(), 1))
        for row, images in zip(some_rows(2), colour, strict=True)
    ]
    rig = cameras("sphere:1000", 4)
    matrices = {"camera_poses": rig.poses, "camera_matrices": rig.matrices}
    about = {**ABOUT, "rig": "x" * 200_000}
    write_views(path, rows, 2, (1000, 4, 4, 3), 16, about, matrices)
    np.testing.assert_array_equal(read_images(path, [1, 0]), colour[[1, 0]])
    assert [row.images for row in read_rows(path, [1])] == [rows[1].images]
    assert read_attributes(path)["rig"] == about["rig"]
    with h5py.File(path) as file:
        assert file["views"].chunks == (1, 1000, 4, 4, 3)
        np.testing.assert_array_equal(file["camera_poses"], rig.poses)
        np.testing.assert_array_equal(file["camera_matrices"], rig.matrices)


def test_the_digest_follows_what_is_in_the_file(tmp_path: Path) -> None:
    rows = some_rows()
    first = write(tmp_path / "a.h5", rows)
    assert write(tmp_path / "b.h5", rows, rig="another") == first
    assert write(tmp_path / "b.h5", rows, class_names=["bed", "mug"]) != first
    assert write(tmp_path / "b.h5", rows[::-1]) != first
    assert write(tmp_path / "b.h5", rows[:-1]) != first


def test_features_inherit_what_is_known_of_the_views(tmp_path: Path) -> None:
    write(tmp_path / "views.h5", some_rows())
    shapes = read_shapes(tmp_path / "views.h5")
    numbers = np.random.default_rng(2)
    arrays = [numbers.normal(size=(6, width)).astype(np.float32) for width in (4, 2, 2, 5)]
    digest = write_features(tmp_path / "features.h5", Features(shapes, *arrays), {"teacher": "toy"})
    found = read_features(tmp_path / "features.h5")
    for name, array in zip(
        ("teacher_features", "teacher_logits", "oof_logits", "encoder_features"),
        arrays,
        strict=True,
    ):
        np.testing.assert_array_equal(getattr(found, name), array)
    np.testing.assert_array_equal(found.shapes.points, shapes.points)
    about = read_attributes(tmp_path / "features.h5")
    assert (about["teacher"], about["rig"]) == ("toy", "mvcnn12")
    assert (about["views_digest"], about["digest"]) == (shapes.digest, digest)
    assert digest != shapes.digest


def test_what_is_no_such_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"views\.h5: no such file; `pointcmt render` makes it"):
        read_index(tmp_path / "views.h5")
    with pytest.raises(DataError, match=r"features\.h5: no such file; `pointcmt train-teacher`"):
        read_features(tmp_path / "features.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(
        DataError, match=r"text\.h5 is not HDF5, or damaged; `pointcmt train-teacher` makes"
    ):
        read_shapes(tmp_path / "text.h5")
    h5py.File(tmp_path / "other.h5", "w").close()
    with pytest.raises(DataError, match=r"is not a pointcmt-views file but something else"):
        read_index(tmp_path / "other.h5")
    write(tmp_path / "views.h5", some_rows())
    with pytest.raises(DataError, match=r"is not a pointcmt-features file but pointcmt-views"):
        read_features(tmp_path / "views.h5")
    with h5py.File(tmp_path / "views.h5", "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(DataError, match="written by a newer pointcmt"):
        read_index(tmp_path / "views.h5")


def test_a_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "views.h5"
    write(path, some_rows())
    before = path.read_bytes()

    def fail() -> None:
        with hdf5.create(path) as file:
            file["half"] = np.zeros(10)
            raise KeyError("half-way")

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from pointcmt_cli.data.store import codec, hdf5
from pointcmt_cli.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with hdf5.create(Path(sys.argv[1])) as file:
        for number in range(int(sys.argv[2])):
            file[str(number)] = np.zeros(5_000)
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize(("arrays", "fits"), [(1, True), (2, True), (3, False), (50, False)])
def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path, arrays: int, fits: bool) -> None:
    path = tmp_path / "some.h5"
    process = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(arrays)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert path.exists() == fits
    assert ("cannot write" in process.stdout) != fits
    assert list(tmp_path.iterdir()) == ([path] if fits else [])
