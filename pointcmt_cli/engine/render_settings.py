"""What a views.h5 was made with: the settings that decide its content, and what is told of them. In: a config.

Settings that differ from an existing file's are never passed over in silence (`reuse.read`), so each stands here once.
"""

import json
from typing import Any

from pointcmt_cli import discovery
from pointcmt_cli.config import DEFAULT_RENDERERS, RenderConfig
from pointcmt_cli.data.files import digest
from pointcmt_cli.data.rigs import MARGIN, Cameras
from pointcmt_cli.data.sources import Source
from pointcmt_cli.errors import UsageError

RECIPE = 2
"""Raised whenever reading, sampling or a rig changes what is kept of a shape: older rows are then drawn again."""
OWN_AXIS = "auto"
"""In place of an axis: each file's own, as its format says."""


def source_settings(config: RenderConfig, source: Source) -> dict[str, Any]:
    """What decides which shapes are in the file, and in which split."""
    return {
        "source": source.root.resolve().name,
        "source_layout": source.layout,
        "variant": source.variant,
        "kind": source.kind,
        "test_fraction": config.test_fraction,
        "held_out_fraction": config.held_out_fraction,
    }


def shape_settings(config: RenderConfig, source: Source, cameras: Cameras) -> dict[str, Any]:
    """What decides the points and views of a shape, beside its source."""
    plugin = discovery.find("renderers", config.renderer or DEFAULT_RENDERERS[source.kind])
    options = {key: str(value) for key, value in config.renderer_options.items()}
    return {
        "rig": cameras.name,
        "projection": cameras.projection,
        "margin": MARGIN if config.margin is None else config.margin,
        "image_size": cameras.size,
        "up": config.up or OWN_AXIS,
        "color": config.color,
        "shading": config.shading,
        "points": config.points,
        "renderer": plugin.name,
        "renderer_options": json.dumps(options, sort_keys=True),
        "renderer_distribution": plugin.distribution,
        "renderer_version": plugin.version,
        "recipe": RECIPE,
    }


def renderer_options(config: RenderConfig) -> dict[str, str]:
    """The options that the renderer is built with: those typed, and what --color and --shading stand for."""
    options = {key: str(value) for key, value in config.renderer_options.items()}
    for key in ("color", "shading"):
        if key in options:
            raise UsageError(f"--option {key}={options[key]}: say it with --{key}")
    if config.color:
        options["color"] = "true"
    if config.shading is not None:
        options["shading"] = config.shading
    return options


def told(cameras: Cameras, settings: dict[str, Any]) -> dict[str, Any]:
    """Attributes that say more of the cameras; of `field_of_view` (radians) and `half_height` the one that counts."""
    return {
        "field_of_view": None if cameras.orthographic else cameras.field_of_view,
        "half_height": cameras.half_height,
        "settings_digest": digest(settings),
    }
