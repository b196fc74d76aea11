"""`pointcmt push`: a checkpoint in, a repository of the Hugging Face hub out."""

from pointcmt_cli.commands import options
from pointcmt_cli.config import PushConfig


@options.of(PushConfig)
def push(config: PushConfig) -> None:
    """Upload a checkpoint to the Hugging Face hub: weights as safetensors, settings as JSON, a model card.

    Example: pointcmt push pointnet2.pt me/chairs
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.hub.hub import push as stage

    result = console.follow(stage(config), resumes=False)
    console.line(f"{result['checkpoint']} is at {result['url']}")
    place = "" if config.revision is None else f" --revision {config.revision}"
    console.line(f"next, anywhere: pointcmt pull {config.repo_id}{place}")
