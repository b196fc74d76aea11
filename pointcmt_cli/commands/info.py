"""`pointcmt info`: a file or a folder in, one screen of what it is, what it was made from and how to make it again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import InfoConfig
from pointcmt_cli.wording import percent, some_of

WIDEST = 30
"""Settings that fit the screen; --json has all."""


@options.of(InfoConfig)
def info(
    config: InfoConfig,
    *,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON document on standard output, and nothing else there."
        ),
    ] = False,
) -> None:
    """Say what a file is, what it was made from and whether that is still there, and how to make it again.

    Nothing is run or rebuilt: of a .pt2, which may hold code, only the description is read.

    Example: pointcmt info pointnet2.pt
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.info.info import info as stage

    found = console.follow(stage(config), resumes=False)
    if json:
        console.print_json(found)
    elif found["kind"] == "folder":
        console.table(
            f"{config.path}", ["file", "what", "made from", "made"], map(_row, found["files"])
        )
        console.line(
            f"more of one: pointcmt info {config.path / Path(found['files'][0]['path']).name}"
        )
    else:
        for heading, text in _lines(found):
            console.line(f"{heading + ':':<17}{text}")


def _row(each: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if "error" in each:
        return Path(each["path"]).name, "cannot be read", "", ""
    made_from = ", ".join(
        f"{one['role']}{' (' + one['now'] + ')' if one['now'] else ''}" for one in each["inputs"]
    )
    return (
        Path(each["path"]).name,
        _what(each),
        made_from,
        (each["record"] or {}).get("date", "not recorded"),
    )


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Headings and texts, what a person asks first at the top."""
    yield (
        "what",
        f"{_what(found)}; {found['format']} {found['version']}, {found['bytes'] / 2**20:.2f} MiB",
    )
    if found["classes"]:
        yield "classes", f"{len(found['classes'])}: {some_of(found['classes'], 6)}"
    if found["counts"]:
        yield "shapes", ", ".join(f"{count} {split}" for split, count in found["counts"].items())
    for name, shape in found.get("arrays", {}).items():
        yield name, " x ".join(map(str, shape))
    if network := found.get("network"):
        yield "network", _network(found, network)
    for split, score in found.get("scores", {}).items():
        yield (
            split,
            f"OA {percent(score['oa'])}, mAcc {percent(score['macc'])} of {score['count']} shapes",
        )
    for key in ("input", "output", "precision"):
        if found.get(key):
            yield key, found[key]
    for each in found["inputs"]:
        state = f" ({each['now']})" if each["now"] else ""
        digest = f", {each['digest'][:12]}" if each["digest"] else ""
        yield "made from", f"{each['role']} {each['path'] or ''}{digest}{state}"
    record = found["record"]
    yield "made", _made(record) if record else "by a pointcmt that kept no records yet"
    for command in found["again"] or ["not recorded"]:
        yield "make again", command
    if shown := _settings(found.get("settings", {})):
        yield "settings", shown


def _what(found: Mapping[str, Any]) -> str:
    """The kind in words."""
    objective = found.get("objective")
    name = (found.get("network") or {}).get("name")
    kinds = {
        "student": f"{name}, a student ({objective})",
        "teacher": f"{name}, a teacher",
        "export": f"{name}, exported",
        "views": "shapes with their views",
        "features": "shapes with what their teacher says of them",
    }
    return kinds.get(found["kind"], str(found["kind"]))


def _network(found: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in network.get("options", {}).items())
    parameters = f", {found['parameters']:,} parameters" if found.get("parameters") else ""
    whose = f"{network.get('distribution', '')} {network.get('distribution_version', '')}".strip()
    return f"{network.get('name', '')}{' (' + options + ')' if options else ''}{parameters}, of {whose}"


def _made(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    commit = f", commit {record['commit'][:12]}" if record["commit"] else ""
    return f"{record['date']} with {versions}{commit}"


def _settings(settings: Mapping[str, Any]) -> str:
    """As many as fit; those that were left open are left out."""
    given = [f"{key} {value}" for key, value in settings.items() if value not in (None, {}, [], "")]
    return some_of(given, WIDEST)
