"""`pointcmt demo`: the whole pipeline on generated shapes, in a table."""

from pointcmt_cli.commands import options
from pointcmt_cli.config import DemoConfig


@options.of(DemoConfig)
def demo(config: DemoConfig) -> None:
    """Run everything on shapes it generates itself; nothing is downloaded (under 5 minutes on 2 cores).

    Example: pointcmt demo --work demo
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.demo import demo as stage

    result = console.follow(stage(config))
    title = f"Test, one seed; labels for {config.labels} of {config.shapes} shapes a class"
    console.scores(title, result["scores"])
    console.line(f"{result['seconds']:.0f} s; files in {result['work']}")
    console.line(f"next: pointcmt predict {result['work']}/{config.student}.pt {result['example']}")
