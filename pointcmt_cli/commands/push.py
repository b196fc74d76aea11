"""`pointcmt push`: a checkpoint in, a repository of the Hugging Face hub out."""

from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import PushConfig

REPOSITORY = "Repository"


def push(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A student's or teacher's .pt; looked for here, then in --work.",
            show_default=False,
        ),
    ],
    repo_id: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID", help="OWNER/NAME; made if it is not there.", show_default=False
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(
            help="Branch, made if it is not there; main.",
            show_default=False,
            rich_help_panel=REPOSITORY,
        ),
    ] = PushConfig.revision,
    private: Annotated[
        bool,
        typer.Option("--private", help="If it is made: not public.", rich_help_panel=REPOSITORY),
    ] = PushConfig.private,
    card: Annotated[
        Path | None,
        typer.Option(
            help="Model card; MODEL_CARD.md beside the checkpoint, else a short one is made.",
            show_default=False,
            rich_help_panel=options.FILES,
        ),
    ] = PushConfig.card,
    work: options.WorkOption = PushConfig.work,
) -> None:
    """Upload a checkpoint to the Hugging Face hub: weights as safetensors, settings as JSON, a model card.

    Example: pointcmt push pointnet2.pt me/chairs
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.hub.hub import push as stage

    config = PushConfig(
        checkpoint=checkpoint,
        repo_id=repo_id,
        work=work,
        revision=revision,
        private=private,
        card=card,
    )
    result = console.follow(stage(config), resumes=False)
    console.line(f"{result['checkpoint']} is at {result['url']}")
    place = "" if revision is None else f" --revision {revision}"
    console.line(f"next, anywhere: pointcmt pull {repo_id}{place}")
