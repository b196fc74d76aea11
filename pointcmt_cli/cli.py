"""The `pointcmt` command: registers one function per command and turns a user's error into one line.

Nothing here imports torch or numpy; each command's body does, when it is run.
"""

import errno
import sys
from typing import Annotated

import typer

from pointcmt_cli import __version__, allocator, launched
from pointcmt_cli.commands import (
    data,
    demo,
    distill,
    export,
    info,
    plugins,
    predict,
    pull,
    push,
    train_teacher,
)
from pointcmt_cli.commands.doctor import doctor
from pointcmt_cli.commands.evaluate import compare, evaluate
from pointcmt_cli.commands.render import render
from pointcmt_cli.errors import PointCMTError, UsageError
from pointcmt_cli.provenance import TYPED

app = typer.Typer(
    name="pointcmt",
    help="Point-cloud classifiers taught by images: they train with pictures and run on points alone.",
    epilog="A first look, nothing needed: pointcmt demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PIPELINE = "The five steps"
BESIDE = "Beside them"
SPREADS = "distill"
"""The command that several processes can share."""
app.command("render", rich_help_panel=PIPELINE)(render.render)
app.command("train-teacher", rich_help_panel=PIPELINE)(train_teacher.train_teacher)
app.command("distill", rich_help_panel=PIPELINE)(distill.distill)
app.command("evaluate", rich_help_panel=PIPELINE)(evaluate.evaluate)
app.command("export", rich_help_panel=PIPELINE)(export.export)
app.command("compare", rich_help_panel=BESIDE)(compare.compare)
app.command("demo", rich_help_panel=BESIDE)(demo.demo)
app.command("predict", rich_help_panel=BESIDE)(predict.predict)
app.command("info", rich_help_panel=BESIDE)(info.info)
app.command("push", rich_help_panel=BESIDE)(push.push)
app.command("pull", rich_help_panel=BESIDE)(pull.pull)
app.command("doctor", rich_help_panel=BESIDE)(doctor.doctor)
app.add_typer(data.app, name="data", rich_help_panel=BESIDE)
app.add_typer(plugins.app, name="plugins", rich_help_panel=BESIDE)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pointcmt {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Point-cloud classifiers taught by images: they train with pictures and run on points alone."""
    command = context.invoked_subcommand
    if launched.world() > 1 and command != SPREADS:
        raise UsageError(
            f"{command} works in one process: start it without torchrun (only {SPREADS} shares its work)"
        )


OF_THE_FILE = (
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EROFS,
)
"""What is wrong with a path that was typed, wherever it is first looked at: no bug of ours."""


def main() -> None:
    """Run the command line; exit status 0, 1 (a user's error), 2 (usage) or 130 (interrupted)."""
    allocator.tune()
    TYPED.set(tuple(sys.argv[1:]))
    with launched.one_voice() as voice:
        try:
            app()
        except PointCMTError as error:
            if _has_the_word(error.tell):
                typer.echo(f"pointcmt: {error}", file=voice)
            sys.exit(error.exit_status)
        except KeyboardInterrupt:
            typer.echo("pointcmt: interrupted", err=True)
            sys.exit(130)
        except OSError as error:
            if error.errno not in OF_THE_FILE or error.filename is None:
                raise
            if _has_the_word(None):
                typer.echo(f"pointcmt: {error.filename}: {error.strerror}", file=voice)
            sys.exit(1)


def _has_the_word(tell: bool | None) -> bool:
    """Whether this process is the one to say an error; None: nobody has asked yet which of a job's processes is.

    It cannot simply be the first one: torchrun ends all as soon as one has failed, and that one may be another.
    """
    if tell is not None or launched.world() == 1:
        return tell is not False
    from pointcmt_cli.engine.student.ending import claim

    return claim()
