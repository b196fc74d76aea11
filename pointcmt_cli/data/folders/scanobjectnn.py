"""ScanObjectNN (Uy et al., ICCV 2019) as its authors ship it. In: a folder; out: what was `Found`, with its variant.

h5_files/main_split holds scans with background, main_split_nobg without; a suffix of the file names the perturbation.
OBJ_BG, OBJ_ONLY and PB_T50_RS (main_split, ..._augmentedrot_scale75) are the three that papers report. The names of the
shapes are row numbers: the files have no others.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pointcmt_cli.data.folders.benchmark_h5 import read_labels
from pointcmt_cli.data.folders.trees import Entry, Found, Up, subfolders
from pointcmt_cli.errors import UsageError
from pointcmt_cli.splits import TEST, TRAIN

CLASSES = ["bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table"]
CLASSES += ["bed", "pillow", "sink", "sofa", "toilet"]
"""In the order of the labels: the authors' training_data/shape_names_ext.txt."""
_PERTURBED = {
    "_augmented25_norot": "PB_T25",
    "_augmented25rot": "PB_T25_R",
    "_augmentedrot": "PB_T50_R",
    "_augmentedrot_scale75": "PB_T50_RS",
}
_SHARED_SCANS = (
    "PB variants hold several perturbed copies of a scan and do not say which belong together: "
    "held-out scores are too high, test scores are not affected"
)
_UP = Up("y", "as its authors' code takes it")
"""pointnet2/utils/provider.py's rotate_point_cloud at fe60aea; issue 33 of hkust-vgd/scanobjectnn: seen in pictures."""
_FILE = re.compile(r"(training|test)_objectdataset(.*)\.h5")
_FOLDER = re.compile(r"(main_split|split\d)(_nobg)?")


@dataclass(frozen=True)
class _Candidate:
    names: tuple[str, ...]
    """Variants that it may be; two where the folder's name does not say whether there is background."""
    folder: Path
    suffix: str


def scanobjectnn(root: Path, variant: str | None) -> Found | None:
    """ScanObjectNN at `root`: h5_files, its parent, or one of the main_split folders."""
    candidates = _all(root)
    if not candidates:
        return None
    candidate, name = _choose(root, candidates, variant)
    entries = []
    for part, split in (("training", TRAIN), ("test", TEST)):
        path = candidate.folder / f"{part}_objectdataset{candidate.suffix}.h5"
        labels = read_labels(path, len(CLASSES))
        entries += [
            Entry(int(label), f"{part}_{row:05d}", split, path, row)
            for row, label in enumerate(labels)
        ]
    notes = (_SHARED_SCANS,) if name.startswith("PB_") else ()
    return Found("ScanObjectNN", "cloud", list(CLASSES), entries, name, notes, _UP)


def places(root: Path) -> list[tuple[Path, str]]:
    """Folder and variant of everything below `root`; a variant is read with that folder as its root."""
    return [(each.folder, name) for each in _all(root) for name in each.names]


def _all(root: Path) -> list[_Candidate]:
    folders = [root, *subfolders(root)]
    folders += [
        below for folder in folders[1:] if folder.name == "h5_files" for below in subfolders(folder)
    ]
    return [each for folder in folders for each in _candidates(folder, folder == root)]


def _candidates(folder: Path, is_root: bool) -> list[_Candidate]:
    match = _FOLDER.fullmatch(folder.resolve().name)
    if match is None and not is_root:
        return []
    files = [_FILE.fullmatch(path.name) for path in folder.iterdir()]
    suffixes = sorted({file[2] for file in files if file})
    return [_Candidate(_names(suffix, match), folder, suffix) for suffix in suffixes]


def _names(suffix: str, folder: re.Match[str] | None) -> tuple[str, ...]:
    bare = folder is not None and folder[2] is not None
    if suffix == "":
        return ("OBJ_BG", "OBJ_ONLY") if folder is None else ("OBJ_ONLY" if bare else "OBJ_BG",)
    name = _PERTURBED.get(suffix, suffix.strip("_"))
    return (f"{name}_NOBG" if bare else name,)


def _choose(
    root: Path, candidates: list[_Candidate], variant: str | None
) -> tuple[_Candidate, str]:
    """The one candidate that is meant, or a UsageError that lists them."""
    wanted = [
        (candidate, name)
        for candidate in candidates
        for name in candidate.names
        if variant in (None, name)
    ]
    if len(wanted) == 1:
        return wanted[0]
    listed = wanted or [(each, name) for each in candidates for name in each.names]
    known = ", ".join(f"{name} ({each.folder})" for each, name in listed)
    if not wanted:
        raise UsageError(f"{root}: no variant '{variant}'; there are: {known}")
    if variant is None:
        raise UsageError(f"{root}: several variants: {known}; choose one with --variant NAME")
    raise UsageError(f"{root}: {variant} is there several times: {known}; give one of the folders")
