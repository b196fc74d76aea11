"""A command's options, made from its stage's config. In: a dataclass of Settings; out: a function that Typer can call.

A command that has settings to keep, and not arguments alone, also takes `--config FILE` and `--print-config`.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_origin

import typer

from pointcmt_cli.commands import settings_file, settings_printed
from pointcmt_cli.config.setting import Setting, settings_of
from pointcmt_cli.errors import UsageError


def of(stage: type, **instead: Setting | None) -> Callable[[Callable[..., None]], Any]:
    """Decorate `command(config, *, own options)`: Typer gets an option for every Setting of the config.

    `instead` replaces the Setting of one field, or leaves the field at its default (None).
    """
    replaced = {
        name: (kind, instead.get(name, setting))
        for name, (kind, setting) in settings_of(stage).items()
    }
    taken = {name: (kind, each) for name, (kind, each) in replaced.items() if each is not None}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        kinds = {name: kind for name, (kind, _) in taken.items()}
        kinds |= {each.name: get_args(each.annotation)[0] for each in own}
        sources = {name: each.source for name, (_, each) in taken.items()}
        has_options = not all(each.argument for _, each in taken.values())

        def run(context: typer.Context, **given: Any) -> None:
            given.pop("config", None)
            if given.pop("print_config", False):
                typer.echo(
                    settings_printed.written(context, given, kinds, infos, sources), nl=False
                )
                return
            values = {
                name: built(given.pop(name), kind, each, name)
                for name, (kind, each) in taken.items()
            }
            command(stage(**values), **given)

        parameters = [
            inspect.Parameter(
                "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
            ),
            *(parameter(stage, name, *each) for name, each in taken.items()),
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(settings_file.parameters(kinds) if has_options else []),
        ]
        parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) if index else each
            for index, each in enumerate(parameters)
        ]
        infos = {each.name: get_args(each.annotation)[-1] for each in parameters[1:]}
        run.__name__, run.__doc__, run.__module__ = (
            command.__name__,
            command.__doc__,
            command.__module__,
        )
        run.__wrapped__ = command  # type: ignore[attr-defined]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def parameter(stage: type, name: str, kind: Any, setting: Setting) -> inspect.Parameter:
    """One field as Typer wants it."""
    default = next(each.default for each in fields(stage) if each.name == name)
    shared: dict[str, Any] = {
        "help": setting.help,
        "metavar": setting.metavar,
        "min": setting.low,
        "max": setting.high,
        "rich_help_panel": setting.panel,
        "show_default": setting.shown,
        "file_okay": setting.file,
        "dir_okay": setting.folder,
        "readable": setting.readable,
    }
    info = (
        typer.Argument(**shared)
        if setting.argument
        else typer.Option(
            flag_of(name, kind, setting),
            hidden=setting.hidden,
            callback=positive if setting.positive else None,
            **shared,
        )
    )
    typed: Any = kind
    if many(kind):
        typed = str if setting.commas else list[element(kind)]  # type: ignore[misc]
        if default == ():
            typed, default = typed | None, None
        elif default is not MISSING:
            default = list(default)
    elif keyed(kind):
        typed, default = list[str] | None, None
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=empty if default is MISSING else default,
        annotation=Annotated[typed, info],
    )


def flag_of(name: str, kind: Any, setting: Setting) -> str:
    """How the option is typed; a switch that can be left open has two forms."""
    flag = setting.flag or f"--{name.replace('_', '-')}"
    return f"{flag}/--no-{flag[2:]}" if "/" not in flag and kind == bool | None else flag


def built(value: Any, kind: Any, setting: Setting, name: str) -> Any:
    """What was typed, as the config holds it."""
    flag = setting.flag or f"--{name.replace('_', '-')}"
    if keyed(kind):
        return parse_options(value or [])
    if many(kind):
        return separated(value, flag, kind, setting) if setting.commas else tuple(value or ())
    return value


def separated(typed: str | None, flag: str, kind: Any, setting: Setting) -> tuple[Any, ...]:
    """`1024,512` or `z,so3` as values, each once."""
    words = [word.strip().lower() for word in typed.split(",")] if typed else []
    choices = get_args(element(kind))
    if choices:
        if not set(words) <= set(choices):
            wanted = f"{', '.join(choices)} or both"
            raise UsageError(f"{flag} {typed}: {wanted}, as in {flag} {setting.commas}")
        return tuple(dict.fromkeys(words))
    if not all(word.isdecimal() and int(word) for word in words):
        raise UsageError(f"{flag} {typed}: whole numbers are needed, as in {flag} {setting.commas}")
    return tuple(dict.fromkeys(int(word) for word in words))


def many(kind: Any) -> bool:
    """A tuple of any length."""
    return get_origin(kind) is tuple


def element(kind: Any) -> Any:
    """The type of each value of a tuple."""
    return get_args(kind)[0]


def keyed(kind: Any) -> bool:
    """Options of a plug-in by their names."""
    return get_origin(kind) is Mapping


def positive(param: typer.CallbackParam, value: float) -> float:
    """Refuse what is not a finite number above zero."""
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{param.opts[0]} {value}: a positive number is needed")
    return value


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a dict; the values stay text: `discovery.build` reads them by the factory's signature."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise UsageError(f"--option '{pair}': expected KEY=VALUE, as in --option layers=3")
        if key in options:
            raise UsageError(f"--option '{key}' is given twice: {options[key]} and {value.strip()}")
        options[key] = value.strip()
    return options
