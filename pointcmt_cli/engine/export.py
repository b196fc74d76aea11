"""Stage `export`: a student's checkpoint -> NAME.onnx or NAME.pt2, written only when it gives eager's probabilities.

The file is written beside its place, opened again, and run on 64 real clouds in batches of several sizes. One
probability off by more than the tolerance, or one changed class, and it is deleted: an older good file stays.
"""

import statistics
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pointcmt_cli.config import ExportConfig
from pointcmt_cli.data.files import atomic, plain
from pointcmt_cli.data.store import ShapeSet
from pointcmt_cli.engine.exported import OPEN, WRITE, Run
from pointcmt_cli.engine.metrics import predict_logits
from pointcmt_cli.engine.trained import Trained, find_data, open_trained, read_clouds
from pointcmt_cli.errors import DataError, ParityError, UsageError
from pointcmt_cli.records import Note, Progress, Record, Records, Result

CLOUDS = 64
CHECKS = {64: 64, 7: 21, 1: 7}
"""Batch size -> clouds that are run at it; every cloud is compared at least once."""
TIMED = 7
"""Runs whose median is the latency."""


def export(config: ExportConfig) -> Records:
    """Write one file and prove it; yields notes, progress and size, difference, latency."""
    trained = open_trained(config.checkpoint, config.work, "backbones")
    data = find_data(config.data, config.work, trained.path, "features.h5", "views.h5")
    clouds = real_clouds(read_clouds(data), trained.points, data)  # (64, N, 3)
    out = config.out or config.work / f"{trained.path.stem}.{config.format}"
    if out.resolve() == trained.path.resolve():
        raise UsageError(f"--out {out} is the checkpoint itself")
    if len(clouds) < CLOUDS:
        yield Note(f"{data} has only {len(clouds)} clouds to compare with", warning=True)
    yield Note(f"{trained.path}: {trained.values['name']}, exported to {config.format}")
    expected = predict_logits(trained.model, clouds, trained.points, CLOUDS, "cpu").softmax(dim=1)
    example = torch.from_numpy(
        clouds[:2].repeat(2, axis=0)
    )  # sizes 0 and 1 would be taken for fixed
    with atomic(out) as temporary:
        WRITE[config.format](trained.model, example, metadata(trained), temporary)
        exported = OPEN[config.format](temporary)
        difference = yield from compare(exported.run, clouds, expected.numpy(), config)
        size = temporary.stat().st_size
        one = clouds[:1]
        eager = _milliseconds(lambda: predict_logits(trained.model, one, trained.points, 1, "cpu"))
        shipped = _milliseconds(lambda: exported.run(one))
    yield Result(
        {
            **trained.describe(),
            "out": str(out),
            "format": config.format,
            "bytes": size,
            "points": clouds.shape[1],
            "classes": len(trained.classes),
            "variant": trained.provenance.get("variant"),
            "data": str(data),
            "clouds": len(clouds),
            "batch_sizes": sorted({min(size, len(clouds)) for size in CHECKS}),
            "difference": difference,
            "tolerance": config.tolerance,
            "eager_ms": eager,
            "exported_ms": shipped,
        }
    )


def real_clouds(shapes: ShapeSet, count: int, path: Path) -> NDArray[np.float32]:
    """Up to 64 clouds (B, N, 3): of the test split, evenly over its rows and so its classes, then of the others."""
    chosen: list[int] = []
    for split in ("test", "val", "train"):
        rows = shapes.rows(split)
        wanted = min(CLOUDS - len(chosen), len(rows))
        chosen += [int(rows[i * len(rows) // wanted]) for i in range(wanted)]
    if not chosen:
        raise DataError(f"{path} has no shapes to compare with")
    stored = shapes.points.shape[1]
    if stored < count:
        raise DataError(
            f"{path} stores {stored} points per shape, the export takes {count}: name another file with --data"
        )
    return np.ascontiguousarray(shapes.points[chosen, :count], np.float32)


def compare(
    run: Run, clouds: NDArray[np.float32], expected: NDArray[np.float32], config: ExportConfig
) -> Generator[Record, None, float]:
    """The largest difference of any probability (B, K) from eager's, at every batch size; too large: ParityError."""
    worst, done, total = 0.0, 0, sum(min(each, len(clouds)) for each in CHECKS.values())
    for size, wanted in CHECKS.items():
        for start in range(0, min(wanted, len(clouds)), size):
            batch, target = clouds[start : start + size], expected[start : start + size]
            got = run(batch)
            if got.shape != target.shape:
                raise ParityError(
                    f"{config.format} export gives shape {got.shape} for a batch of {len(batch)}, "
                    f"eager {target.shape}; nothing was written"
                )
            difference = float(np.abs(got - target).max())
            changed = int((got.argmax(axis=1) != target.argmax(axis=1)).sum())
            if changed or not difference <= config.tolerance:  # a NaN difference fails too
                raise ParityError(
                    f"{config.format} export does not equal eager: probabilities differ by up to "
                    f"{difference:.2g} (tolerance {config.tolerance:.2g}), {changed} of {len(batch)} clouds "
                    f"change class at batch size {size}; nothing was written"
                )
            worst = max(worst, difference)
            done += len(batch)
            yield Progress("parity", done, total, "clouds", {"difference": worst})
    return worst


def metadata(trained: Trained) -> Mapping[str, Any]:
    """What the exported file says of itself: the input contract, the classes, and what it was made from."""
    values, points = trained.values, trained.points
    described: dict[str, Any] = plain(
        {
            "format": "pointcmt-export",
            "input": f"points: float32 (batch, {points}, 3), axes as in training; subtract the mean, then divide by "
            "the largest distance from the origin (unit sphere)",
            "output": f"probabilities: float32 (batch, {len(trained.classes)}), in the order of class_names",
            "class_names": trained.classes,
            "points": points,
            "stored_points": trained.stored_points,
            "variant": trained.provenance.get("variant") or "",
            **{key: values[key] for key in ("name", "options", "distribution")},
            **{key: values[key] for key in ("distribution_version", "pointcmt", "torch")},
            "provenance": trained.provenance,
            "metrics": values["metrics"],
        }
    )
    return described


def _milliseconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(TIMED):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)
