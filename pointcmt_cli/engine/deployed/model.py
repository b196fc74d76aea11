"""A trained model in Python: `pointcmt_cli.load(file)(points)`. An .onnx needs numpy and onnxruntime, and no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pointcmt_cli.data.geometry import into_unit_sphere
from pointcmt_cli.engine.deployed.opened import Exported, open_exported
from pointcmt_cli.errors import DataError
from pointcmt_cli.wording import from_to, one_line


@dataclass(frozen=True)
class Prediction:
    """What the model says of one cloud, or of a batch of them."""

    probabilities: NDArray[np.float32]
    """(K,) of a cloud, (B, K) of a batch."""
    class_names: list[str]

    @property
    def label(self) -> Any:
        """The most probable class; of a batch a list of them."""
        if self.probabilities.ndim == 1:
            return self.top(1)[0][0]
        return [each[0][0] for each in self.top(1)]

    def top(self, count: int = 3) -> Any:
        """Pairs (class, probability), best first, ties in the order of the classes; of a batch a list of such lists."""
        if self.probabilities.ndim == 2:
            return [Prediction(row, self.class_names).top(count) for row in self.probabilities]
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[k], float(self.probabilities[k])) for k in order]


class Model:
    """A function of raw points; `metadata` is what the file says of itself."""

    def __init__(self, exported: Exported, path: Path) -> None:
        self.path = path
        self.metadata = exported.metadata
        self.class_names: list[str] = list(self.metadata["class_names"])
        self.points = int(self.metadata["points"])
        """N of training; the best number to give."""
        self._run = exported.run

    def __call__(self, points: ArrayLike) -> Prediction:
        """Points (N, 3) or (B, N, 3), in any position and scale, with the axes of training -> a `Prediction`.

        Each cloud is moved to its mean and divided by the largest distance from it (`pc_normalize`).
        """
        clouds = self._checked(points)
        batch = clouds[None] if clouds.ndim == 2 else clouds
        unit = [into_unit_sphere(cloud, cloud.mean(axis=0))[0] for cloud in batch]
        found = self._run(np.stack(unit))
        return Prediction(found[0] if clouds.ndim == 2 else found, self.class_names)

    def _checked(self, points: ArrayLike) -> NDArray[np.float64]:
        try:
            clouds = np.asarray(points, np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"points must be numbers (N, 3) or (B, N, 3): {one_line(error)}"
            ) from error
        if clouds.ndim not in (2, 3) or clouds.shape[-1] != 3 or not clouds.size:
            raise DataError(f"points must be (N, 3) or (B, N, 3), got {clouds.shape}")
        if not np.isfinite(clouds).all():
            raise DataError("points must be finite: there is a NaN or an infinity")
        self._check_number(clouds.shape[-2])
        return clouds

    def _check_number(self, number: int) -> None:
        fewest, most = self.metadata["points_min"], self.metadata["points_max"]
        if number < fewest or (most is not None and number > most):
            takes = from_to(fewest, most)
            raise DataError(f"{self.path} takes {takes} points per cloud, got {number}")


def load(path: str | Path) -> Model:
    """A model from an .onnx (numpy and onnxruntime alone), .pt, .safetensors or .pt2 file.

    A .pt2 may bring code that runs when it is opened: load only those whose maker you trust.
    """
    return Model(open_exported(Path(path)), Path(path))
