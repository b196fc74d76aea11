"""`pointcmt pull`: a repository of the Hugging Face hub in, a checkpoint out."""

from pointcmt_cli.commands import options
from pointcmt_cli.config import PullConfig


@options.of(PullConfig)
def pull(config: PullConfig) -> None:
    """Download a checkpoint that was pushed to the Hugging Face hub. None of its files can run code.

    Example: pointcmt pull me/chairs
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.hub.hub import pull as stage

    result = console.follow(stage(config), resumes=False)
    path = result["checkpoint"]
    console.line(f"{path}: {result['kind']} {result['name']}, {result['classes']} classes")
    step = "predict" if result["kind"] == "student" else "evaluate"
    console.line(f"next: pointcmt {step} {path}" + (" FILES..." if step == "predict" else ""))
