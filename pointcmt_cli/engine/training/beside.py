"""What a run leaves beside its checkpoint (settings, curves, TensorBoard), and how two runs' settings differ."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.files import atomic, plain
from pointcmt_cli.provenance import write_config
from pointcmt_cli.wording import missing_package


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`name old -> new` of every setting that differs."""
    before, after = plain(old), plain(new)
    return [
        f"{key} {before.get(key)} -> {after[key]}" for key in after if before.get(key) != after[key]
    ]


def write_run(
    out: Path,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
) -> None:
    """OUT.config.json, the settings and the run's record, and OUT.metrics.csv beside a checkpoint, atomically."""
    write_config(out, config, record)
    columns = list(dict.fromkeys(key for row in history for key in row))
    with (
        atomic(out.with_suffix(".metrics.csv")) as temporary,
        temporary.open("w", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def log_tensorboard(out: Path, history: Sequence[Mapping[str, Any]]) -> Path:
    """The history as TensorBoard scalars in a new folder OUT-tensorboard beside a checkpoint; returns the folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PointCMTError(
            missing_package("--tensorboard", "tensorboard", "tensorboard", error)
        ) from error
    folder = out.with_name(f"{out.stem}-tensorboard")
    shutil.rmtree(folder, ignore_errors=True)
    writer = SummaryWriter(str(folder))
    for row in history:
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != "epoch":
                writer.add_scalar(name, value, row["epoch"])
    writer.close()
    return folder
