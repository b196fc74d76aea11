"""Benchmark layouts that people have on disk. In: a folder; out: what was `Found`, or None when it is another thing.

modelnet40_ply_hdf5_2048 (Qi et al., PointNet, CVPR 2017), modelnet40_normal_resampled (PointNet++, NeurIPS 2017) and
ScanObjectNN (its own file).
"""

import json
from dataclasses import replace
from pathlib import Path

from pointcmt_cli.data.folders.benchmark_h5 import read_labels
from pointcmt_cli.data.folders.scanobjectnn import scanobjectnn
from pointcmt_cli.data.folders.trees import Entry, Found, Up
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.splits import TEST, TRAIN
from pointcmt_cli.wording import one_line

_UP = Up("y", "as PointNet's own code takes it")
"""provider.py's rotate_point_cloud, "along up direction", turns about y: in charlesq34/pointnet for the HDF5 files, in
charlesq34/pointnet2, utils, for the resampled ones."""


def benchmark(root: Path, variant: str | None) -> Found | None:
    """The known benchmark that `root` holds."""
    for layout in (modelnet_h5, modelnet_normal_resampled, scanobjectnn):
        found = layout(root, variant)
        if found is not None:
            return found
    return None


def modelnet_h5(root: Path, variant: str | None) -> Found | None:
    """ply_data_{train,test}N.h5 with shape_names.txt; listed by {train,test}_files.txt where those are there."""
    if not (root / "shape_names.txt").is_file() or not any(root.glob("ply_data_*.h5")):
        return None
    classes = _lines(root / "shape_names.txt")
    entries = []
    for split in (TRAIN, TEST):
        for path in _h5_files(root, split):
            labels = read_labels(path, len(classes))
            stems = _stems(path, len(labels))
            entries += [
                Entry(int(label), stem, split, path, row)
                for row, (label, stem) in enumerate(zip(labels, stems, strict=True))
            ]
    if len({(entry.label, entry.stem) for entry in entries}) < len(entries):
        entries = [replace(entry, stem=_row_name(entry.path, entry.row or 0)) for entry in entries]
    return Found("modelnet40_ply_hdf5_2048", "cloud", classes, entries, up=_UP)


def modelnet_normal_resampled(root: Path, variant: str | None) -> Found | None:
    """CLASS/NAME.txt (x,y,z,nx,ny,nz) with modelnet40_{shape_names,train,test}.txt; modelnet10 likewise."""
    lists = [
        name for name in ("modelnet10", "modelnet40") if (root / f"{name}_train.txt").is_file()
    ]
    if not lists:
        return None
    name = _which(root, lists, variant)
    classes = _lines(root / f"{name}_shape_names.txt")
    entries = []
    for split in (TRAIN, TEST):
        for stem in _lines(root / f"{name}_{split}.txt"):
            folder = stem.rpartition("_")[0]
            if folder not in classes:
                raise DataError(f"{root / f'{name}_{split}.txt'}: '{stem}' belongs to no class")
            path = root / folder / f"{stem}.txt"
            entries.append(Entry(classes.index(folder), stem, split, path))
    if entries and not any(entry.path.is_file() for entry in entries):
        return None  # the lists alone, beside something else
    chosen = name if len(lists) > 1 else None
    return Found(f"{name}_normal_resampled", "cloud", classes, entries, chosen, up=_UP)


def _which(root: Path, lists: list[str], variant: str | None) -> str:
    """The public folder holds the lists of both: its own name decides, or the user."""
    if variant in lists:
        return str(variant)
    named = [name for name in lists if name in root.resolve().name]
    if variant is None and len(lists) == 1:
        return lists[0]
    if variant is None and len(named) == 1:
        return named[0]
    raise UsageError(f"{root}: choose one with --variant NAME: {', '.join(lists)}")


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}") from error
    return [line for line in lines if line]


def _h5_files(root: Path, split: str) -> list[Path]:
    """The list holds paths of its author's machine: only the names count."""
    listing = root / f"{split}_files.txt"
    if listing.is_file():
        return [root / Path(line).name for line in _lines(listing)]
    return sorted(root.glob(f"ply_data_{split}*.h5"))


def _stems(path: Path, count: int) -> list[str]:
    """ModelNet's own names from ply_data_train_0_id2file.json, where there is one for each row; else file and row."""
    part = path.stem.removeprefix("ply_data_")
    split = part.rstrip("0123456789")
    listing = path.with_name(f"ply_data_{split}_{part[len(split) :]}_id2file.json")
    try:
        names = [Path(str(name)).stem for name in json.loads(listing.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        names = []
    return names if len(names) == count else [_row_name(path, row) for row in range(count)]


def _row_name(path: Path, row: int) -> str:
    return f"{path.stem.removeprefix('ply_data_')}_{row:04d}"
