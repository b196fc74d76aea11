"""`pointcmt render`: a folder of shapes in, views.h5 out."""

import time

from pointcmt_cli.commands import options
from pointcmt_cli.commands.render import outcome
from pointcmt_cli.config import RenderConfig


@options.of(RenderConfig)
def render(config: RenderConfig) -> None:
    """Turn meshes or point clouds into points and views: SOURCE -> views.h5. A killed run goes on where it stopped.

    Example: pointcmt render meshes36/ --preview sheet.png

    Only pictures: pointcmt render meshes36/ --format png --out images/

    One shape: pointcmt render meshes36/ --only chair/chair_0001 --preview look.png
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.rendering.render import render as stage

    before = time.process_time()
    result = console.follow(stage(config))
    if result["profile"]:
        outcome.show_profile(result["profile"], before)
    outcome.show(result, config.work, config.out)
