"""`pointcmt plugins`: `list` shows what is installed and imports none of it; `check` tries one against its contract."""

from dataclasses import asdict
from typing import Annotated

import typer

from pointcmt_cli import discovery
from pointcmt_cli.errors import PluginError, PointCMTError, UsageError
from pointcmt_cli.wording import one_line

app = typer.Typer(
    help="List the installed plug-ins, or check one against its contract.", no_args_is_help=True
)


@app.command("list")
def list_plugins(
    json: Annotated[
        bool, typer.Option("--json", help="JSON on standard output, nothing else.")
    ] = False,
) -> None:
    """Show group, name, distribution and version of every plug-in, from metadata alone.

    Example: pointcmt plugins list
    """
    from pointcmt_cli import console

    found = [plugin for group in discovery.GROUPS for plugin in discovery.available(group)]
    if json:
        console.print_json({"plugins": [asdict(plugin) for plugin in found]})
        return
    names = [(plugin.group, plugin.name) for plugin in found]
    rows = [
        (
            plugin.group,
            plugin.name
            + (" (offered twice)" if names.count((plugin.group, plugin.name)) > 1 else ""),
            plugin.distribution,
            plugin.version,
        )
        for plugin in found
    ]
    console.table("Plug-ins", ["group", "name", "distribution", "version"], rows)


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="Name of an installed plug-in, or module:attribute.")],
    group: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(discovery.GROUPS)}; needed when a name is in several."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Option of the plug-in.")
    ] = None,
) -> None:
    """Build one plug-in and try it against the contract of its group.

    Example: pointcmt plugins check pointnet2 --option variant=msg
    """
    from pointcmt_cli import console, testing
    from pointcmt_cli.commands.options import parse_options

    group = group or group_of(name)
    if group not in discovery.GROUPS:
        raise UsageError(f"--group '{group}': one of {', '.join(discovery.GROUPS)}")
    plugin = discovery.find(group, name)
    kind = group[:-1]
    try:
        getattr(testing, f"check_{kind}")(name, **parse_options(option or []))
    except PointCMTError:
        raise
    except AssertionError as error:
        reason = one_line(error) if str(error) else "an assertion failed"
        raise PluginError(f"{kind} '{name}' breaks its contract: {reason}") from error
    except Exception as error:
        reason = one_line(error, kind=True)
        raise PluginError(
            f"{kind} '{name}' fails when it is used: {reason} (with traceback: "
            f"python -c \"from pointcmt_cli.testing import check_{kind} as c; c('{name}')\")"
        ) from error
    console.line(f"{kind} '{name}' keeps its contract ({plugin.origin})")


def group_of(name: str) -> str:
    """The only group that has a plug-in of that name."""
    if ":" in name:
        raise UsageError(f"'{name}': say what it is with --group {'|'.join(discovery.GROUPS)}")
    found = [
        group
        for group in discovery.GROUPS
        if any(plugin.name == name for plugin in discovery.available(group))
    ]
    if len(found) > 1:
        raise UsageError(f"'{name}' is in {' and '.join(found)}: choose with --group")
    if not found:
        raise PluginError(
            f"no plug-in named '{name}' is installed; `pointcmt plugins list` shows all"
        )
    return found[0]
