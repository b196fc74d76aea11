"""A finished output is not replaced by a run with other settings, unasked. In: what differs; out: nothing, or an error.

Other inputs (views rendered again, a new teacher) are no other settings: the same commands, typed again, go on.
"""

from collections.abc import Sequence
from pathlib import Path

from pointcmt_cli.errors import FinishedError


def protect(path: Path, differences: Sequence[str], option: str = "--out") -> None:
    """Refuse to replace `path` by a run whose settings differ; `option` names another file."""
    if differences:
        raise FinishedError(
            f"{path} is finished, with other settings ({', '.join(differences)})",
            f"name another file with {option}, or replace this one with --force",
        )


def other_file(option: str, old: object, new: object) -> list[str]:
    """The difference between two files given with an option, or none: by their places, as their contents may change."""
    places = [Path(str(each)).absolute() if each else None for each in (old, new)]
    return [f"{option} {old} -> {new}"] if places[0] != places[1] else []
