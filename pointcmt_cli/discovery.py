"""Find plug-ins by name from installed metadata and load the one that was asked for; stdlib only.

An entry point in one of GROUPS names a factory with keyword-only options. Listing reads metadata and imports nothing;
`load` imports the one named; `build` checks the options against the factory's signature before it calls it.
"""

import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from pointcmt_cli.errors import PluginError, PointCMTError
from pointcmt_cli.wording import one_line

GROUPS = {
    "backbones": "pointcmt.backbones",
    "teachers": "pointcmt.teachers",
    "renderers": "pointcmt.renderers",
    "objectives": "pointcmt.objectives",
}


@dataclass(frozen=True)
class Plugin:
    """One entry point, as its distribution's metadata states it."""

    group: str
    name: str
    value: str
    """`module:attribute` of the factory."""
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """Where it comes from, for messages."""
        return f"{self.value} of {self.distribution} {self.version}"


def available(group: str) -> tuple[Plugin, ...]:
    """Every plug-in of a group (a key of GROUPS), sorted by name; nothing is imported."""
    found = {
        Plugin(group, point.name, point.value, point.dist.name, point.dist.version)
        for point in entry_points(group=GROUPS[group])
        if point.dist is not None
    }
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def find(group: str, name: str, distribution: str | None = None) -> Plugin:
    """The one plug-in of that name, or of `module:attribute`.

    `distribution` is what a checkpoint says it came from: it chooses among several of one name, and is
    named as the thing to install when the plug-in is missing.
    """
    if ":" in name:
        return _from_path(group, name)
    installed = available(group)
    found = [plugin for plugin in installed if plugin.name == name]
    if len(found) > 1 and distribution:
        found = [plugin for plugin in found if plugin.distribution == distribution] or found
    if len(found) == 1:
        return found[0]
    kind = group[:-1]
    if found:
        owners = " and ".join(plugin.origin for plugin in found)
        raise PluginError(f"{kind} '{name}' is offered twice: {owners}; uninstall one of them")
    if distribution:
        raise PluginError(
            f"{kind} '{name}' is not installed; this checkpoint needs it: pip install {distribution}"
        )
    names = [plugin.name for plugin in installed]
    near = get_close_matches(name, names, n=1)
    guess = f"; did you mean '{near[0]}'?" if near else ""
    raise PluginError(
        f"no {kind} named '{name}'{guess} (installed: {', '.join(sorted(set(names))) or 'none'})"
    )


def load(group: str, name: str, distribution: str | None = None) -> Callable[..., Any]:
    """Import and return one plug-in's factory."""
    plugin = find(group, name, distribution)
    module, _, attribute = plugin.value.partition(":")
    if ":" in name and "" not in sys.path:
        sys.path.insert(0, "")  # a module of the user's own folder, as `python -m` would find it
    try:
        factory: Any = importlib.import_module(module)
        for part in attribute.split("."):
            factory = getattr(factory, part)
    except PointCMTError:
        raise
    except Exception as error:
        raise PluginError(
            f"{group[:-1]} '{name}' is broken: {plugin.origin}: {one_line(error, kind=True)}"
        ) from error
    if not callable(factory):
        raise PluginError(f"{group[:-1]} '{name}' is broken: {plugin.origin}: it cannot be called")
    if ":" in name and not _is_factory(factory):
        raise PluginError(
            f"{group[:-1]} '{name}' is not a factory with keyword-only options, so it was not called: "
            "a plain function or class is needed, with a `*` before its options"
        )
    return typing.cast("Callable[..., Any]", factory)


def build(
    group: str, name: str, options: Mapping[str, Any] | None = None, distribution: str | None = None
) -> Any:
    """Call one plug-in's factory with checked options; strings are read as the signature's types."""
    factory = load(group, name, distribution)
    chosen = _checked_options(factory, group, name, options or {})
    try:
        return factory(**chosen)
    except PointCMTError:
        raise
    except Exception as error:
        origin = find(group, name, distribution).origin
        raise PluginError(
            f"{group[:-1]} '{name}' could not be built: {origin}: {one_line(error, kind=True)}"
        ) from error


def options_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword options of a factory, by name."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(factory).parameters
    return {name: each for name, each in parameters.items() if each.kind in kinds}


def _is_factory(target: Any) -> bool:
    """A Python function or class whose options are all keyword-only, which is what a plug-in's factory looks like.

    A checkpoint of unknown origin may name any attribute of any module: `os:system` must not be called.
    """
    allowed: set[Any] = {inspect.Parameter.KEYWORD_ONLY}
    if isinstance(target, type):  # nn.Module's own __init__ has these two
        allowed |= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    elif not inspect.isfunction(target):
        return False
    return all(each.kind in allowed for each in inspect.signature(target).parameters.values())


def _from_path(group: str, path: str) -> Plugin:
    top = path.split(":")[0].split(".")[0]
    owners = packages_distributions().get(top, ["(no distribution)"])
    try:
        return Plugin(group, path, path, owners[0], version(owners[0]))
    except PackageNotFoundError:
        return Plugin(group, path, path, owners[0], "(no version)")


def _checked_options(
    factory: Callable[..., Any], group: str, name: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    known = options_of(factory)
    signature = ", ".join(str(parameter) for parameter in known.values()) or "no options"
    where = f"{group[:-1]} '{name}' takes: {signature}"
    missing = [
        key for key, each in known.items() if each.default is each.empty and key not in options
    ]
    if missing:
        raise PluginError(f"option '{missing[0]}' is required; {where}")
    try:
        hints = typing.get_type_hints(factory)
    except Exception:  # a hint that cannot be resolved only costs the conversion
        hints = {}
    checked = {}
    for key, value in options.items():
        if key not in known:
            raise PluginError(f"no option '{key}'; {where}")
        try:
            checked[key] = _read(value, hints.get(key, Any))
        except ValueError as error:
            raise PluginError(f"option '{key}': {error}; {where}") from error
    return checked


def _read(value: Any, hint: Any) -> Any:
    """A command line's text as the type that the signature asks for; other values must already fit."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None or (value == "none" and type(None) in typing.get_args(hint)):
            return None
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
        origin = typing.get_origin(hint)
    if origin is typing.Literal:
        choices = {str(choice): choice for choice in typing.get_args(hint)}
        if str(value) not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return choices[str(value)]
    if hint is bool and isinstance(value, str):
        return _boolean(value)
    if isinstance(value, str) and hint in (int, float):
        return hint(value)
    if isinstance(value, str) and origin in (tuple, list):
        return origin(json.loads(f"[{value.strip('[]()')}]"))
    if hint is float and type(value) is int:
        return float(value)
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise ValueError(f"{value!r} is not {hint.__name__}")
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() in ("true", "1", "yes")
