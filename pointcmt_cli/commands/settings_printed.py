"""`--print-config`. In: a command's settings; out: TOML with help, range, default and source, for `--config`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from pointcmt_cli.commands.settings_file import Kinds, key_of
from pointcmt_cli.wording import one_line


def written(
    context: typer.Context,
    given: Mapping[str, Any],
    kinds: Kinds,
    infos: Mapping[str, Any],
    sources: Mapping[str, str],
) -> str:
    """Every setting of a command with its help, range and source, as TOML."""
    path = context.command_path
    lines = [f"# Settings of `{path}`: edit them, then {path} --config FILE", ""]
    known = {str(each.name): each for each in context.command.params if each.name in given}
    panels = dict.fromkeys(infos[name].rich_help_panel for name in known)
    for panel in panels:
        lines += [f"# ---- {panel or 'General'} ----", ""]
        for name, parameter in known.items():
            if infos[name].rich_help_panel != panel:
                continue
            lines += [
                f"# {each}"
                for each in commented(
                    infos[name], parameter.default, kinds[name], sources.get(name, "")
                )
            ]
            lines += [line(key_of(parameter), given[name], kinds[name]), ""]
    return "\n".join(lines)


def commented(info: Any, default: Any, kind: Any, source: str) -> list[str]:
    """Help, choices or range, default and its source."""
    of = get_args(kind)
    choices = (
        of
        if get_origin(kind) is Literal
        else next((get_args(each) for each in of if get_origin(each) is Literal), ())
    )
    facts = []
    if choices:
        facts.append("one of " + ", ".join(map(str, choices)))
    if info.min is not None or info.max is not None:
        facts.append(span(info.min, info.max))
    if default is not None and default is not ...:
        facts.append(f"default {toml(plain(default))}")
    if source:
        facts.append(f"source: {source}")
    return [one_line(info.help or ""), *(["; ".join(facts)] if facts else [])]


def span(low: float | None, high: float | None) -> str:
    """A range in words."""
    if high is None:
        return f"{low} or more"
    return f"{high} or less" if low is None else f"{low} to {high}"


def line(key: str, value: Any, kind: Any) -> str:
    """`key = value`; behind a # where nothing is set."""
    if get_origin(kind) is Mapping:
        pairs = [each.partition("=") for each in value or ()]
        table = ", ".join(f"{toml(name.strip())} = {toml(text.strip())}" for name, _, text in pairs)
        return f"{key} = {{ {table} }}" if pairs else f'# {key} = {{ KEY = "VALUE" }}'
    if get_origin(kind) is tuple and isinstance(value, str):
        words = value.split(",")
        value = [int(each) if each.strip().isdecimal() else each.strip() for each in words]
    if value is None or value == [] or value == ():
        return f"# {key} = "
    return f"{key} = {toml(plain(value))}"


def plain(value: Any) -> Any:
    """Paths as text, tuples as lists."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def toml(value: Any) -> str:
    """One value as TOML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
