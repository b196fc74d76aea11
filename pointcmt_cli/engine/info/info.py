"""Stage `info`: a file or a folder of ours -> what it is, what it was made from, how to make it again.

The document is described in docs/json-schema.md. An input counts as the same when its own digest is the one that was
written down; a file of before records were kept says so, and what its format always held is shown all the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointcmt_cli.config import InfoConfig
from pointcmt_cli.data.store.views import read_attributes
from pointcmt_cli.engine.deployed.opened import TRAINED_BY
from pointcmt_cli.engine.info.contents import READERS
from pointcmt_cli.errors import DataError, PointCMTError
from pointcmt_cli.files import file_digest
from pointcmt_cli.provenance import RECORD, config_file
from pointcmt_cli.records import Records, Result

SCHEMA, VERSION = "pointcmt-info", 1
MAKERS = {
    "views": "render",
    "features": "train-teacher",
    "teacher": "train-teacher",
    "student": "distill",
}
"""The command that takes a file's `.config.json`."""
ORDER = ("views", "teacher", "features", "generator", "student", "export")
"""In which the files of a folder come into being."""
SAME, OTHER, ABSENT = "the same", "another one by now", "not here"
"""What has become of an input."""


def info(config: InfoConfig) -> Records:
    """One document; of a folder, one for each file in it that is ours."""
    path = config.path
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if not path.is_dir():
        yield Result({"schema": SCHEMA, "version": VERSION, **of_file(path)})
        return
    files = [each for each in sorted(path.iterdir()) if each.suffix in READERS and each.is_file()]
    if not files:
        raise DataError(f"{path}: holds no file of pointcmt's ({', '.join(READERS)})")
    rows = [_of_one_of_many(each) for each in files]
    rows.sort(key=lambda row: ORDER.index(row["kind"]) if row["kind"] in ORDER else len(ORDER))
    yield Result(
        {"schema": SCHEMA, "version": VERSION, "path": str(path), "kind": "folder", "files": rows}
    )


def of_file(path: Path) -> dict[str, Any]:
    """What one file is."""
    reader = READERS.get(path.suffix)
    if reader is None:
        raise DataError(
            f"{path}: not a file of pointcmt's; there are {', '.join(READERS)}, and folders"
        )
    found = reader(path)
    kind, digest = found["kind"], found.pop("digest")
    beside = _beside(path, kind, found[RECORD])
    record = found.pop(RECORD) or (beside or {}).get(RECORD)
    inputs = {
        role: each["digest"]
        for role, each in (record or {}).get("inputs", {}).items()
        if each["digest"]
    }
    expected = {**found.pop("made_from"), **inputs}
    places = {role: each["path"] for role, each in (record or {}).get("inputs", {}).items()}
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        **found,
        "digest": digest,
        "inputs": [
            _input(path, role, places.get(role), expected.get(role))
            for role in {**places, **expected}
        ],
        RECORD: record,
        TRAINED_BY: found.get(TRAINED_BY),
        "again": _again(path, kind, record, found.get(TRAINED_BY), beside is not None),
    }


def _of_one_of_many(path: Path) -> dict[str, Any]:
    """A file that cannot be read says why, and the others are shown."""
    try:
        return of_file(path)
    except PointCMTError as error:
        return {"path": str(path), "kind": "unreadable", "error": str(error)}


def _beside(path: Path, kind: str, record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The settings file of the run that made this very file, where it lies beside it."""
    names = {"features": path.with_name("teacher.pt")}
    place = config_file(names.get(kind, path))
    try:
        said = json.loads(place.read_text())
    except (OSError, ValueError):
        return None
    made = said.get(RECORD) if isinstance(said, dict) else None
    if not isinstance(made, dict):
        return None
    if kind == "views":
        return said if made.get("output") == read_attributes(path)["digest"] else None
    return said if made == record else None


def _input(path: Path, role: str, place: str | None, expected: str | None) -> dict[str, Any]:
    """An input, and whether it is still what it was: where it was named, else beside the file."""
    name = place or {"views": "views.h5", "features": "features.h5"}.get(role)
    found = (
        [each for each in (Path(name), path.parent / Path(name).name) if each.is_file()]
        if name
        else []
    )
    state = None
    if expected:
        digests = [_digest(each) for each in found]
        state = SAME if expected in digests else OTHER if digests else ABSENT
    return {"role": role, "path": name, "digest": expected, "now": state}


def _digest(path: Path) -> str | None:
    """The digest by which the files that are made from this one know it."""
    try:
        return str(read_attributes(path)["digest"]) if path.suffix == ".h5" else file_digest(path)
    except PointCMTError:
        return None


def _again(
    path: Path,
    kind: str,
    record: Mapping[str, Any] | None,
    trained_by: Mapping[str, Any] | None,
    settings: bool,
) -> list[str]:
    """The commands that make it again, the nearest first."""
    commands = [record["command"]] if record and record["command"] else []
    if settings and kind in MAKERS:
        place = config_file(path.with_name("teacher.pt") if kind == "features" else path)
        commands.append(f"pointcmt {MAKERS[kind]} --config {place}")
    if trained_by and trained_by["command"]:
        commands.insert(0, trained_by["command"])
    return commands
