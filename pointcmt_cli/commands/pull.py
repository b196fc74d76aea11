"""`pointcmt pull`: a repository of the Hugging Face hub in, a checkpoint out."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import PullConfig


def pull(
    repo_id: Annotated[
        str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME.", show_default=False)
    ],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; main.", show_default=False)
    ] = PullConfig.revision,
    trust_code: Annotated[
        bool,
        typer.Option("--trust-code", help="Take a network that is named as module:attribute, too."),
    ] = PullConfig.trust_code,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file; NAME.pt, in --work.", rich_help_panel=options.FILES),
    ] = PullConfig.out,
    work: options.WorkOption = PullConfig.work,
    force: options.ForceOption = PullConfig.force,
) -> None:
    """Download a checkpoint that was pushed to the Hugging Face hub. None of its files can run code.

    Example: pointcmt pull me/chairs
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.hub.hub import pull as stage

    config = PullConfig(
        repo_id=repo_id,
        revision=revision,
        work=work,
        out=out,
        force=force,
        trust_code=trust_code,
    )
    result = console.follow(stage(config), resumes=False)
    path = result["checkpoint"]
    console.line(f"{path}: {result['kind']} {result['name']}, {result['classes']} classes")
    step = "predict" if result["kind"] == "student" else "evaluate"
    console.line(f"next: pointcmt {step} {path}" + (" FILES..." if step == "predict" else ""))
