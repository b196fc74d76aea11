"""views.h5, and what features.h5 shares with it: layout, reading, atomic writing. Plain h5py reads everything in them.

views.h5: points (S, P, 3) float32 in the unit sphere, views (S, V, H, W) uint8 or, in colour, (S, V, H, W, 3), label
(S,), split (S,), name (S,), source_hash (S,), content_hash (S,), and of the cameras, where they are known, float64:
camera_poses (V, 4, 4) camera-to-world and camera_matrices (V, 3, 4) world to pixels (rigs.Cameras.matrices).
Root attributes: format, version, class_names, rig, projection, field_of_view, image_size, up, color, digest, ...
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.store import codec, hdf5
from pointcmt_cli.errors import DataError
from pointcmt_cli.files import digest
from pointcmt_cli.splits import counts_of, named
from pointcmt_cli.wording import one_line

VIEWS_FORMAT = "pointcmt-views"
FEATURES_FORMAT = "pointcmt-features"
VERSION = 1
TEXT = h5py.string_dtype()
MAKERS = {VIEWS_FORMAT: "pointcmt render", FEATURES_FORMAT: "pointcmt train-teacher"}
HASHES = ("source_hash", "content_hash")
"""Columns of views.h5: sha256 of a shape's source bytes, and of its points and views."""


@dataclass(frozen=True)
class ShapeSet:
    """Clouds with labels, in memory; S shapes, P points."""

    points: NDArray[np.float32]
    """(S, P, 3) in the unit sphere."""
    labels: NDArray[np.int64]
    """(S,), NO_LABEL of the unlabelled."""
    splits: NDArray[np.str_]
    """(S,) TRAIN, HELD_OUT, TEST or UNLABELLED."""
    names: list[str]
    classes: list[str]
    attributes: dict[str, Any]
    """Root attributes of the file."""

    @property
    def digest(self) -> str:
        """The hash of the file's content."""
        return str(self.attributes["digest"])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of a split."""
        return np.flatnonzero(self.splits == split)

    def counts(self) -> dict[str, int]:
        """Shapes per split; the unlabelled only where there are some."""
        return counts_of(self.splits.tolist())


@dataclass(frozen=True)
class ViewsRow:
    """One finished shape on its way into views.h5; the images are already compressed."""

    name: str
    label: int
    split: str
    source_hash: str
    content_hash: str
    points: NDArray[np.float32]
    """(P, 3)."""
    images: bytes
    """`codec.compress` of (V, H, W) or (V, H, W, 3) uint8: one HDF5 chunk as it is."""


@dataclass(frozen=True)
class ViewsIndex:
    """The small columns of a views.h5, row by row, and its root attributes."""

    names: list[str]
    labels: list[int]
    splits: list[str]
    source_hashes: list[str]
    attributes: dict[str, Any]


def write_views(
    path: Path,
    rows: Iterable[ViewsRow],
    total: int,
    shape: tuple[int, ...],
    points: int,
    attributes: Mapping[str, Any],
    cameras: Mapping[str, NDArray[np.float64]] | None = None,
) -> str:
    """Write views.h5 atomically from rows, in their order; returns its digest.

    `shape` is (V, H, W) or (V, H, W, 3). `cameras` are datasets, not attributes, of which HDF5 takes 64 KiB.
    """
    with hdf5.create(path) as file:
        for key, matrices in (cameras or {}).items():
            file[key] = matrices
        clouds = file.create_dataset("points", (total, points, 3), "f4", chunks=(1, points, 3))
        images = file.create_dataset(
            "views",
            (total, *shape),
            "u1",
            chunks=(1, *shape),
            compression="gzip",
            compression_opts=1,
        )
        origin = (0,) * len(shape)
        texts: dict[str, list[str]] = {key: [] for key in ("split", "name", *HASHES)}
        labels = []
        for index, row in enumerate(rows):
            clouds[index] = row.points
            images.id.write_direct_chunk((index, *origin), row.images)
            labels.append(row.label)
            for key, values in texts.items():
                values.append(getattr(row, key))
        file["label"] = np.array(labels, np.int64)
        for key, values in texts.items():
            file.create_dataset(key, data=np.array(values, object), dtype=TEXT)
        content = digest(texts, labels, attributes["class_names"])
        write_attributes(file, VIEWS_FORMAT, {**attributes, "digest": content})
    return content


def read_rows(path: Path, rows: Iterable[int]) -> Generator[ViewsRow]:
    """Some rows of a views.h5, their images still compressed."""
    with open_checked(path, VIEWS_FORMAT) as file:
        texts = {key: file[key].asstr()[:] for key in ("name", "split", *HASHES)}
        labels, clouds, images = file["label"][:], file["points"], file["views"].id
        origin = (0,) * (images.rank - 1)
        for row in rows:
            values = {key: str(column[row]) for key, column in texts.items()}
            values["split"] = named(values["split"])
            _, chunk = images.read_direct_chunk((row, *origin))
            yield ViewsRow(label=int(labels[row]), points=clouds[row], images=chunk, **values)


def read_index(path: Path) -> ViewsIndex:
    """What a views.h5 says of its rows, without points and images."""
    with open_checked(path, VIEWS_FORMAT) as file:
        names, splits, hashes = (
            [str(text) for text in file[key].asstr()[:]] for key in ("name", "split", "source_hash")
        )
        labels = [int(label) for label in file["label"][:]]
        return ViewsIndex(names, labels, [*map(named, splits)], hashes, _attributes(file))


def read_shapes(path: Path, formats: Sequence[str] = (VIEWS_FORMAT, FEATURES_FORMAT)) -> ShapeSet:
    """The clouds of a views.h5 or features.h5, or of one of them only."""
    with open_checked(path, *formats) as file:
        return shapes_of(file)


def read_images(path: Path, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Views (R, V, H, W), or (R, V, H, W, 3) in colour, of some rows of a views.h5."""
    with open_checked(path, VIEWS_FORMAT) as file:
        views = file["views"]
        try:
            return np.stack([_images(views, int(row)) for row in rows])
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: its views are damaged ({one_line(error)}); `{MAKERS[VIEWS_FORMAT]} --force` makes it again"
            ) from error


def _images(views: Any, row: int) -> NDArray[np.uint8]:
    """Views of one row, past HDF5's slower filter where the file is as `write_views` leaves it and not repacked."""
    shape = views.shape[1:]
    checked = views.shuffle or views.fletcher32
    if views.chunks != (1, *shape) or views.compression != "gzip" or checked:
        repacked: NDArray[np.uint8] = views[row]
        return repacked
    _, chunk = views.id.read_direct_chunk((row, *(0 for _ in shape)))
    return codec.decompress(chunk, shape)


def read_attributes(path: Path) -> dict[str, Any]:
    """Root attributes of either file."""
    with open_checked(path, VIEWS_FORMAT, FEATURES_FORMAT) as file:
        return _attributes(file)


def shapes_of(file: Any) -> ShapeSet:
    """The clouds of an open file."""
    attributes = _attributes(file)
    return ShapeSet(
        points=file["points"][:],
        labels=file["label"][:].astype(np.int64),
        splits=np.array([named(split) for split in file["split"].asstr()[:]], str),
        names=[str(name) for name in file["name"].asstr()[:]],
        classes=[str(name) for name in attributes["class_names"]],
        attributes=attributes,
    )


def open_checked(path: Path, *formats: str) -> Any:
    """An open file of one of these formats, or one line that says what stands there instead."""
    maker = MAKERS[formats[-1]]
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `{maker}` makes it") from error
    except OSError as error:
        what = "is a folder" if path.is_dir() else "is not HDF5, or damaged"
        raise DataError(f"{path} {what}; `{maker}` makes such a file") from error
    if file.attrs.get("format") not in formats:
        found = file.attrs.get("format", "something else")
        file.close()
        raise DataError(
            f"{path} is not a {' or '.join(formats)} file but {found}; `{maker}` makes one"
        )
    if file.attrs["version"] > VERSION:
        file.close()
        raise DataError(f"{path} was written by a newer pointcmt: upgrade pointcmt")
    return file


def write_attributes(file: Any, name: str, attributes: Mapping[str, Any]) -> None:
    """Format, version and root attributes; what is None is left out."""
    file.attrs["format"] = name
    file.attrs["version"] = VERSION
    for key, value in attributes.items():
        if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            file.attrs.create(key, list(value), dtype=TEXT)
        elif value is not None:
            file.attrs[key] = value


def _attributes(file: Any) -> dict[str, Any]:
    return {key: value for key, value in file.attrs.items()}
