"""`--config FILE` and `--print-config`. In: TOML or JSON; out: click's defaults, under what the command line gives.

What `--print-config` prints, edited or not, is what `--config` reads, as is the `.config.json` that every training
writes. A relative path means the same as on the command line.
"""

import inspect
import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from pointcmt_cli.errors import UsageError
from pointcmt_cli.wording import one_line

OURS = ("config", "print_config")
IGNORED = ("record",)
"""What a run's own record adds to its settings."""
Kinds = Mapping[str, Any]
"""The type of every setting of a command."""


def parameters(kinds: Kinds) -> list[inspect.Parameter]:
    """The two options."""

    def taken(context: typer.Context, value: Path | None) -> Path | None:
        if value is not None and not context.resilient_parsing:
            context.default_map = read(value, context, kinds)
        return value

    def printed(context: typer.Context, value: bool) -> bool:
        if value:
            for each in context.command.params:
                each.required = False
        return value

    config = typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        exists=True,
        dir_okay=False,
        callback=taken,
        help="Settings from this TOML file, or a run's .config.json; the command line takes precedence.",
    )
    shown = typer.Option(
        "--print-config",
        is_eager=True,
        callback=printed,
        help="Print all settings as TOML, ready to be edited, and do nothing else.",
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            "config", keyword, default=None, annotation=Annotated[Path | None, config]
        ),
        inspect.Parameter(
            "print_config", keyword, default=False, annotation=Annotated[bool, shown]
        ),
    ]


def read(path: Path, context: typer.Context, kinds: Kinds) -> dict[str, Any]:
    """A file's values as click takes them, by the names of the command's parameters; each is checked."""
    names = {key_of(each): each for each in context.command.params if each.name in kinds}
    spelled = {key.replace("-", "_"): each for key, each in names.items()}
    spelled |= {str(each.name): each for each in names.values()}
    found: dict[str, Any] = {}
    for key, value in content(path).items():
        if value is None or key in IGNORED:
            continue
        parameter = spelled.get(key.replace("-", "_"))
        if parameter is None:
            near = get_close_matches(key.replace("_", "-"), names, 1)
            hint = f"; did you mean {near[0]}?" if near else "; --print-config shows all"
            raise UsageError(f"{path}: {context.info_name} has no setting '{key}'{hint}")
        name = str(parameter.name)
        if name in found:
            raise UsageError(f"{path}: '{key}' is given twice")
        try:
            found[name] = as_typed(value, kinds[name], getattr(parameter, "multiple", False))
            parameter.process_value(context, found[name])
        except ValueError as error:
            raise UsageError(f"{path}: {key} = {json.dumps(value)}: {error} is needed") from error
        except typer.BadParameter as error:
            raise UsageError(f"{path}: {key} = {json.dumps(value)}: {error.message}") from error
        except UsageError as error:
            raise UsageError(f"{path}: {key} = {json.dumps(value)}: {error}") from error
    return found


def content(path: Path) -> Mapping[str, Any]:
    """The file's keys and values."""
    try:
        text = path.read_text()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UsageError(f"{path} is not {kind}: {one_line(error)}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} holds no settings by their names")
    return values


def as_typed(value: Any, kind: Any, repeated: bool) -> Any:
    """A value of the file in the form that the command line gives; ValueError says what is needed instead."""
    of = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise ValueError("a table, as { key = 1 },")
        return [f"{key}={_text(each)}" for key, each in value.items()]
    if get_origin(kind) in (tuple, list):
        if not isinstance(value, list):
            raise ValueError("a list")
        texts = [as_typed(each, of[0], False) for each in value]
        return texts if repeated or of[0] is Path else ",".join(map(str, texts))
    bare = of[0] if of and get_origin(kind) is not Literal else kind
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    wanted: tuple[bool, str] = {
        bool: (isinstance(value, bool), "true or false"),
        int: (number and isinstance(value, int), "a whole number"),
        float: (number, "a number"),
        str: (isinstance(value, str), "text in quotes"),
        Path: (isinstance(value, str), "text in quotes"),
    }.get(bare, (isinstance(value, str) or number, "one of the choices"))
    if not wanted[0]:
        raise ValueError(wanted[1])
    return value if bare is bool else str(value)


def _text(value: Any) -> str:
    """An option of a plug-in, as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


def key_of(parameter: Any) -> str:
    """How a setting is called in a file: as on the command line, without the hyphens in front."""
    options = [each for each in parameter.opts if each.startswith("--")]
    return options[0][2:] if options else str(parameter.name).replace("_", "-")
