"""Benchmark files `data` (S, N, 3 or more), `label` (S,) or (S, 1). In: a path; out: checked labels, no points."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.errors import DataError
from pointcmt_cli.wording import one_line


def read_labels(path: Path, classes: int) -> NDArray[np.int64]:
    """Labels (S,) in [0, classes), as many as there are clouds."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data, labels = _dataset(path, file, "data"), _dataset(path, file, "label")
            shape, values = data.shape, np.asarray(labels).reshape(-1)
    except (OSError, RuntimeError) as error:
        reason = "no such file" if not path.exists() else one_line(error)
        raise DataError(f"{path} cannot be read as HDF5: {reason}") from error
    if len(shape) != 3 or shape[2] < 3:
        raise DataError(f"{path}: data is {shape}, expected (shapes, points, 3)")
    if len(values) != shape[0]:
        raise DataError(f"{path}: {shape[0]} clouds but {len(values)} labels")
    if values.dtype.kind not in "iuf" or not ((values >= 0) & (values < classes)).all():
        raise DataError(f"{path}: labels are not all from 0 to {classes - 1}")
    return values.astype(np.int64)


def _dataset(path: Path, file: Any, key: str) -> Any:
    if not hasattr(file.get(key), "shape"):
        raise DataError(f"{path}: has no array '{key}' (it has: {', '.join(file) or 'nothing'})")
    return file[key]
