"""How a file was made. In: its inputs and their hashes; out: a record of plain values, for the file and beside it.

A record takes part in no digest and decides nothing: the same run on another day makes the same weights. stdlib only.
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from pointcmt_cli.files import atomic, plain

RECORD = "record"
"""Its name in every file that holds one."""
TYPED: ContextVar[tuple[str, ...] | None] = ContextVar("TYPED", default=None)
"""The words of the command line; None: a stage was called from Python."""
LIBRARIES = ("torch", "numpy", "h5py", "onnx", "onnxruntime", "safetensors")
"""Whose versions are kept, as far as the run has imported them."""
GIT_SECONDS = 20


class Input(TypedDict):
    """A file that another one was made from."""

    path: Annotated[str, "as it was named"]
    digest: Annotated[str | None, "by which that file, or its content, is known again"]


class MadeBy(TypedDict):
    """A run: what was typed, when, with what, and from what."""

    command: Annotated[str | None, "as typed; `null` from Python"]
    date: Annotated[str, "UTC, ISO 8601"]
    versions: Annotated[dict[str, str], "of Python and the libraries that the run imported"]
    commit: Annotated[
        str | None,
        "of pointcmt's source, ending in `-dirty` where that was changed; `null`: not known",
    ]
    inputs: Annotated[
        dict[str, Input],
        "`path` and `digest` of each file it was made from, by what it was to the run: views, features, ...",
    ]
    output: NotRequired[
        Annotated[
            str,
            "digest of what was made, where the record stands beside it alone: views.h5 has the same bytes every time",
        ]
    ]


def command() -> list[str] | None:
    """What was typed, word by word; None: a stage was called from Python."""
    words = TYPED.get()
    return None if words is None else ["pointcmt", *words]


def record(inputs: Mapping[str, tuple[Path, str | None]], *distributions: str) -> MadeBy:
    """Of the run that calls it, which used plug-ins of these distributions."""
    typed = command()
    libraries = [name for name in LIBRARIES if name in sys.modules]
    named = {name: _version(name) for name in ("pointcmt", *libraries, *distributions)}
    return {
        "command": shlex.join(typed) if typed else None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{k: v for k, v in named.items() if v}},
        "commit": commit(),
        "inputs": {
            key: {"path": str(path), "digest": digest} for key, (path, digest) in inputs.items()
        },
    }


def config_file(out: Path) -> Path:
    """Where the settings that made `out` stand: NAME.config.json beside it."""
    return out.with_suffix(".config.json")


def write_config(out: Path, config: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """The settings of a run and its record beside what it made, atomically; `--config` takes the file."""
    with atomic(config_file(out)) as temporary:
        settings = plain({**config, RECORD: made})
        temporary.write_text(json.dumps(settings, indent=2, default=str) + "\n")


def without_folders(made: Mapping[str, Any]) -> dict[str, Any]:
    """The same record with names in place of absolute paths: for a file that goes to others."""

    def name(word: str) -> str:
        return Path(word).name if Path(word).is_absolute() else word

    typed = made.get("command")
    inputs = {key: {**each, "path": name(each["path"])} for key, each in made["inputs"].items()}
    return {
        **made,
        "command": shlex.join(map(name, shlex.split(typed))) if typed else None,
        "inputs": inputs,
    }


@cache
def commit() -> str | None:
    """The commit that the installed pointcmt was built or runs from, where an installer or git knows it."""
    try:
        direct = json.loads(distribution("pointcmt").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        direct = {}
    if known := direct.get("vcs_info", {}).get("commit_id"):
        return str(known)
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():  # a repository that this only happens to lie in is not ours
        return None
    words = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
