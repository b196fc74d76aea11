"""Stage `export`: a student's checkpoint -> NAME.onnx, NAME.pt2 or NAME.safetensors, written only when it is proved.

The file is written beside its place, opened again, and run on 64 real clouds in batches of several sizes and with
several numbers of points. One probability off by more than the tolerance, or one changed class, and it is deleted: an
older good file stays. What is rounded on purpose (`half`, `int8`) is held to what it was rounded to, and to its
accuracy on the held-out split.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pointcmt_cli.config import ExportConfig
from pointcmt_cli.data.store.views import ShapeSet
from pointcmt_cli.engine.deployed.opened import Exported, Run, open_onnx
from pointcmt_cli.engine.deployed.opened_torch import of_trained, open_pt2, open_safetensors
from pointcmt_cli.engine.export import latency
from pointcmt_cli.engine.export.formats import WRITE, Range, rounded
from pointcmt_cli.engine.export.int8 import CALIBRATION, quantise
from pointcmt_cli.engine.export.parity import (
    CHECKS,
    CLOUDS,
    NOTHING,
    OTHER_BATCH,
    compare,
    other_numbers,
)
from pointcmt_cli.engine.training.trained import Trained, find_data, open_trained, read_clouds
from pointcmt_cli.errors import DataError, ParityError, PluginError, UsageError
from pointcmt_cli.files import atomic, check_folder
from pointcmt_cli.records import Note, Progress, Record, Records, Result
from pointcmt_cli.splits import HELD_OUT, TEST, TRAIN
from pointcmt_cli.wording import percent

HELD_OUT_BATCH = 32
STEP = 0.02
"""How far int8's own probabilities may lie apart at two batch sizes."""
OPEN = {
    "onnx": lambda path: open_onnx(path, torch.get_num_threads()),
    "pt2": open_pt2,
    "safetensors": open_safetensors,
}


@dataclass(frozen=True)
class Clouds:
    """Clouds (S, N, 3) with their labels (S,)."""

    points: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Proof:
    """What was written, and how it was shown to be right."""

    exported: Exported
    points: Range
    counts: list[int]
    """Numbers of points at which it was compared."""
    difference: float
    reason: str | None
    """Why it takes no other number of points."""


def export(config: ExportConfig) -> Records:
    """Write one file and prove it; yields notes, progress and size, difference, drop, latency."""
    trained = open_trained(config.checkpoint, config.work, "backbones")
    data = find_data(config.data, config.work, trained.path, "features.h5", "views.h5")
    shapes = read_clouds(data)
    clouds = real_clouds(shapes, trained.points, data)  # (64, P, 3)
    out = config.out or config.work / f"{trained.path.stem}.{config.format}"
    _refuse_contradictions(config, trained.path, out)
    if len(clouds) < CLOUDS:
        yield Note(f"{data} has only {len(clouds)} clouds to compare with", warning=True)
    yield Note(f"{trained.path}: {trained.values['name']}, exported to {config.format}")
    held_out = held_out_clouds(shapes, trained, data) if config.half or config.int8 else None
    drop: dict[str, Any] = {}
    with atomic(out) as temporary:
        proof = yield from write(trained, clouds, config, temporary)
        if held_out and config.int8:
            proof = yield from to_int8(proof, trained, clouds, held_out, config, temporary)
        if held_out:
            drop = yield from lost(proof.exported.run, trained, held_out, config)
        one = clouds[:1, : trained.points]
        times = yield from latencies(proof.exported.run, trained, one, config)
        size = temporary.stat().st_size
    yield Result(
        {
            **trained.describe(),
            "out": str(out),
            "format": config.format,
            "precision": "int8" if config.int8 else "half" if config.half else "float32",
            "bytes": size,
            "points": trained.points,
            "points_min": proof.points[0],
            "points_max": proof.points[1],
            "points_fixed_because": proof.reason,
            "points_compared": proof.counts,
            "classes": len(trained.classes),
            "variant": trained.provenance.get("variant"),
            "data": str(data),
            "clouds": len(clouds),
            "batch_sizes": sorted({min(size, len(clouds)) for size in CHECKS}),
            "difference": proof.difference,
            "tolerance": config.tolerance,
            **drop,
            **times,
        }
    )


def real_clouds(shapes: ShapeSet, count: int, path: Path) -> NDArray[np.float32]:
    """Up to 64 stored clouds (B, P, 3): of the test split, evenly over its rows and so its classes, then of others."""
    chosen: list[int] = []
    for split in (TEST, HELD_OUT, TRAIN):
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
    return np.ascontiguousarray(shapes.points[chosen], np.float32)


def write(
    trained: Trained, clouds: NDArray[np.float32], config: ExportConfig, path: Path
) -> Generator[Record, None, Proof]:
    """The file for a free number of points; where that does not hold, for the one that it was trained with."""
    try:
        return (yield from attempt(trained, clouds, config, path, True))
    except (PluginError, _OtherNumberError) as error:
        proof = yield from attempt(trained, clouds, config, path, False)
        reason = str(error).removesuffix(NOTHING)  # of another number; for this one it is
    yield Note(f"takes clouds of {trained.points} points only: {reason}", warning=True)
    return replace(proof, reason=reason)


def attempt(
    trained: Trained, clouds: NDArray[np.float32], config: ExportConfig, path: Path, free: bool
) -> Generator[Record, None, Proof]:
    """Write, open and compare."""
    count = trained.points
    # sizes 0 and 1 would be taken for fixed
    example = torch.from_numpy(clouds[:2, :count].repeat(2, axis=0))
    points = WRITE[config.format](trained, example, free, config.half, path)
    model = rounded(trained.model) if config.half else trained.model
    eager = of_trained(replace(trained, model=model)).run
    exported = OPEN[config.format](path)
    checks = list(CHECKS.items())
    worst = yield from compare(exported.run, eager, clouds[:, :count], checks, config)
    others = other_numbers(count, clouds.shape[1], *points)
    for other in others:
        try:
            found = yield from compare(
                exported.run, eager, clouds[:, :other], [(OTHER_BATCH, CLOUDS)], config
            )
        except ParityError as error:
            raise _OtherNumberError(str(error)) from error
        worst = max(worst, found)
    fixed = "its graph depends on their number" if free and points[0] == points[1] else None
    return Proof(exported, points, sorted([count, *others]), worst, fixed)


def to_int8(
    proof: Proof,
    trained: Trained,
    clouds: NDArray[np.float32],
    held_out: Clouds,
    config: ExportConfig,
    path: Path,
) -> Generator[Record, None, Proof]:
    """The proved float file in 8 bits: at every number of points, a batch's answers are those of its clouds alone.

    But for a step of its rounding: what lies between two falls to either side with the last digit of a sum.
    """
    loose = replace(config, tolerance=max(config.tolerance, STEP))
    yield Note(f"calibrating on {min(CALIBRATION, len(held_out.points))} held-out clouds")
    quantise(path, held_out.points)
    exported = open_onnx(path, torch.get_num_threads())
    for count in proof.counts:
        checks = list(CHECKS.items()) if count == trained.points else [(OTHER_BATCH, CLOUDS)]
        yield from compare(exported.run, exported.run, clouds[:, :count], checks, loose)
    part = clouds[:, : trained.points]
    apart = np.abs(exported.run(part) - of_trained(trained).run(part)).max()
    return replace(proof, exported=exported, difference=float(apart))


def lost(
    run: Run, trained: Trained, held_out: Clouds, config: ExportConfig
) -> Generator[Record, None, dict[str, Any]]:
    """Accuracy on the held-out split, eager's and the file's; too much lost: ParityError."""
    eager, right, total = of_trained(trained).run, np.zeros(2, np.int64), len(held_out.labels)
    for start in range(0, total, HELD_OUT_BATCH):
        part = slice(start, start + HELD_OUT_BATCH)
        for place, each in enumerate((eager, run)):
            guess = each(held_out.points[part]).argmax(axis=1)
            right[place] += int((guess == held_out.labels[part]).sum())
        yield Progress("held-out accuracy", min(part.stop, total), total, "clouds")
    before, after = (float(each) for each in right / total)
    if before - after > config.max_drop:
        raise ParityError(
            f"{'int8' if config.int8 else 'half'} loses {100 * (before - after):.1f} points of accuracy on the "
            f"held-out split ({percent(before)} to {percent(after)}, {total} clouds), more than "
            f"--max-drop {config.max_drop:g} allows; nothing was written"
        )
    return {"held_out": total, "accuracy_eager": before, "accuracy": after, "drop": before - after}


def latencies(
    run: Run, trained: Trained, cloud: NDArray[np.float32], config: ExportConfig
) -> Generator[Record, None, dict[str, Any]]:
    """Milliseconds of one cloud (1, N, 3), eager, exported and compiled, in turn."""
    eager = of_trained(trained).run
    calls: dict[str, Any] = {"eager_ms": lambda: eager(cloud), "exported_ms": lambda: run(cloud)}
    call, reason = None, "not asked for"
    if config.compiled:
        yield Note("compiling for comparison (--no-compiled leaves that out)")
        call, reason = latency.compiled(trained.model, cloud)
    if call is not None:
        calls["compiled_ms"] = call
    found = latency.milliseconds(calls)
    return {"compiled_ms": None, **found, "not_compiled_because": reason or None}


def held_out_clouds(shapes: ShapeSet, trained: Trained, path: Path) -> Clouds:
    """The held-out split, for what is lost by rounding."""
    rows = shapes.rows(HELD_OUT)
    if shapes.classes != trained.classes:
        raise DataError(f"{path} has other classes than {trained.path}: name its own with --data")
    if not len(rows):
        raise DataError(
            f"{path} has no held-out shapes to measure what --half or --int8 loses: name another file with --data"
        )
    points = np.ascontiguousarray(shapes.points[rows, : trained.points], np.float32)
    return Clouds(points, np.asarray(shapes.labels[rows]))


def _refuse_contradictions(config: ExportConfig, checkpoint: Path, out: Path) -> None:
    if out.resolve() == checkpoint.resolve():
        raise UsageError(f"--out {out} is the checkpoint itself")
    if out.suffix != f".{config.format}":
        raise UsageError(
            f"--out {out}: a file of --format {config.format} is known by its ending .{config.format}"
        )
    check_folder(out)
    if config.int8 and config.half:
        raise UsageError("--half and --int8: one of them")
    if config.int8 and config.format != "onnx":
        raise UsageError(f"--int8 is for --format onnx; {config.format} has --half")


class _OtherNumberError(ParityError):
    """Right with as many points as in training, wrong with another number."""
