"""Corrupted test sets of ModelNet40 as their authors ship them. In: a folder; out: which one, and each file's fault.

ModelNet40-C (Sun et al. 2022; names: its README and dataloader.py): data_CORRUPTION_SEVERITY.npy and one label.npy.
ModelNet-C (Ren et al. 2022; names: modelnetc_utils/eval.py): clean.h5 and CORRUPTION_SEVERITY.h5, severities from 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.data.folders.benchmark_h5 import read_labels
from pointcmt_cli.errors import DataError
from pointcmt_cli.wording import one_line

SHAPES = 2468
"""ModelNet40's test split."""
CLASSES = 40
_NPY = (
    "occlusion lidar density_inc density cutout uniform gaussian impulse upsampling background rotation shear "
    "distortion distortion_rbf distortion_rbf_inv"
)
_H5 = "scale jitter rotate dropout_global dropout_local add_global add_local"
_AT_ONCE = 256
"""Clouds that are in memory together."""


@dataclass(frozen=True)
class Corrupted:
    """A folder that was recognised."""

    name: str
    root: Path
    files: tuple[Path, ...]
    """All that there should be, with points."""


def corrupted(root: Path) -> Corrupted | None:
    """The corrupted test set in `root`; None where it is another thing."""
    npy = [root / f"data_{name}_{level}.npy" for name in _NPY.split() for level in range(1, 6)]
    if any(path.exists() for path in npy):
        return Corrupted("ModelNet40-C", root, tuple(npy))
    h5 = [root / f"{name}_{level}.h5" for name in _H5.split() for level in range(5)]
    if any(path.exists() for path in h5):
        return Corrupted("ModelNet-C", root, (root / "clean.h5", *h5))
    return None


def faults(found: Corrupted) -> Iterator[str | None]:
    """One line for each of its files that is damaged, None for each that is whole."""
    if found.name == "ModelNet40-C":
        yield _fault(found.root / "label.npy")
    for path in found.files:
        yield _fault(path)


def _fault(path: Path) -> str | None:
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        if path.suffix == ".h5":
            _check_h5(path)
        elif path.stem == "label":
            _check_labels(path, _opened(path))
        else:
            _check_points(path, _opened(path))
    except DataError as error:
        return str(error)
    return None


def _opened(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npy: {one_line(error)}") from error
    return array


def _check_h5(path: Path) -> None:
    import h5py

    labels = read_labels(path, CLASSES)
    _check_labels(path, labels)
    with h5py.File(path, "r") as file:
        try:
            for start in range(0, len(labels), _AT_ONCE):
                _check_finite(path, np.asarray(file["data"][start : start + _AT_ONCE]), start)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path}: is damaged: {one_line(error)}") from error


def _check_labels(path: Path, labels: NDArray[Any]) -> None:
    values = labels.reshape(-1)
    if len(values) != SHAPES:
        raise DataError(f"{path}: {len(values)} labels, {SHAPES} are published")
    if values.dtype.kind not in "iuf" or not ((values >= 0) & (values < CLASSES)).all():
        raise DataError(f"{path}: labels are not all from 0 to {CLASSES - 1}")


def _check_points(path: Path, points: NDArray[Any]) -> None:
    if points.ndim != 3 or points.shape[2] < 3 or points.dtype.kind != "f":
        raise DataError(
            f"{path}: {points.dtype} {points.shape}, expected floats (shapes, points, 3)"
        )
    if len(points) != SHAPES:
        raise DataError(f"{path}: {len(points)} clouds, {SHAPES} are published")
    for start in range(0, SHAPES, _AT_ONCE):
        _check_finite(path, points[start : start + _AT_ONCE], start)


def _check_finite(path: Path, points: NDArray[Any], start: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if len(wrong):
        raise DataError(f"{path}: cloud {start + int(wrong[0])} is not finite")
