"""Whether an exported file gives eager's probabilities: on real clouds, at several batch sizes and numbers of points.

In: two functions from points (B, N, 3) to probabilities (B, K); out: their largest difference, or a ParityError.
"""

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.config import ExportConfig
from pointcmt_cli.engine.deployed.opened import Run
from pointcmt_cli.errors import DataError, ParityError
from pointcmt_cli.records import Progress, Record

NOTHING = "; nothing was written"
"""The end of every ParityError here."""
CLOUDS = 64
CHECKS = {64: 64, 7: 21, 1: 7}
"""Batch size -> clouds that are run at it, with as many points as in training; every cloud is run once."""
OTHER_BATCH = 16
"""Batch size at the other numbers of points, where all clouds are run as well."""


def other_numbers(trained: int, stored: int, fewest: int, most: int | None) -> list[int]:
    """Numbers of points to compare at beside the trained one: the fewest, the most that are stored, two odd ones."""
    most = stored if most is None else min(most, stored)
    wanted = {fewest, 3 * trained // 10, 3 * trained // 4 + 9, most} - {trained}
    return sorted(each for each in wanted if fewest <= each <= most)


def compare(
    run: Run,
    eager: Run,
    clouds: NDArray[np.float32],
    checks: Sequence[tuple[int, int]],
    config: ExportConfig,
) -> Generator[Record, None, float]:
    """The largest difference of any probability on clouds (S, N, 3); `checks`: batch sizes, and clouds run at each."""
    expected = np.concatenate([eager(part) for part in _parts(clouds, CLOUDS)])
    worst, done, total = 0.0, 0, sum(min(wanted, len(clouds)) for _, wanted in checks)
    task = f"parity, {clouds.shape[1]} points"
    for size, wanted in checks:
        for start in range(0, min(wanted, len(clouds)), size):
            batch, target = clouds[start : start + size], expected[start : start + size]
            worst = max(worst, _difference(run, batch, target, size, config))
            done += len(batch)
            yield Progress(task, done, total, "clouds", {"difference": worst})
    return worst


def _difference(
    run: Run,
    batch: NDArray[np.float32],
    target: NDArray[np.float32],
    size: int,
    config: ExportConfig,
) -> float:
    where = f"at batch size {size} and {batch.shape[1]} points{NOTHING}"
    try:
        got = run(batch)
    except DataError as error:
        raise ParityError(f"{config.format} export does not run: {error} {where}") from error
    if got.shape != target.shape:
        raise ParityError(
            f"{config.format} export gives shape {got.shape} where eager gives {target.shape} {where}"
        )
    difference = float(np.abs(got - target).max())
    changed = int((got.argmax(axis=1) != target.argmax(axis=1)).sum())
    if changed or not difference <= config.tolerance:  # a NaN difference fails too
        raise ParityError(
            f"{config.format} export does not equal eager: probabilities differ by up to "
            f"{difference:.2g} (tolerance {config.tolerance:.2g}), {changed} of {len(batch)} clouds "
            f"change class {where}"
        )
    return difference


def _parts(clouds: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [clouds[start : start + size] for start in range(0, len(clouds), size)]
