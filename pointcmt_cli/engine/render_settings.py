"""What a views.h5 was made with: the settings that decide its content, and what is told of them. In: a config.

Settings that differ from an existing file's are never passed over in silence (`reuse.read`), so each stands here once.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli import discovery
from pointcmt_cli.config import DEFAULT_RENDERERS, RenderConfig
from pointcmt_cli.data.files import digest
from pointcmt_cli.data.picture_tree import PictureTree
from pointcmt_cli.data.rigs import MARGIN, Cameras
from pointcmt_cli.data.sources import Source
from pointcmt_cli.errors import UsageError

RECIPE = 2
"""Raised whenever reading, sampling or a rig changes what is kept of a shape: older rows are then drawn again."""
PICTURES = "images"
"""In place of a renderer."""
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


def picture_settings(config: RenderConfig, tree: PictureTree) -> dict[str, Any]:
    """What decides the points and views of a shape whose pictures come from elsewhere, beside those; no cameras."""
    return {
        "image_size": config.image_size or tree.size,
        "up": config.up or OWN_AXIS,
        "color": config.color,
        "points": config.points,
        "renderer": PICTURES,
        "renderer_options": json.dumps({"views": tree.views}),
        **dict.fromkeys(("rig", "projection", "margin", "shading")),
        **dict.fromkeys(("renderer_distribution", "renderer_version")),
        "recipe": RECIPE,
    }


def looks(config: RenderConfig) -> bool:
    """Whether some shapes are only to be looked at, and no views.h5 is asked for."""
    return bool(config.only and config.preview and config.out is None and config.format != "png")


def check_pictures(config: RenderConfig) -> None:
    """Nothing was said that pictures from elsewhere make idle."""
    idle = {
        "renderer": config.renderer,
        "option": config.renderer_options or None,
        "shading": config.shading,
        "projection": config.projection,
        "margin": config.margin,
        "rig": config.rig if config.rig != RenderConfig.rig else None,
        "format": config.format if config.format != RenderConfig.format else None,
    }
    if typed := [key for key, value in idle.items() if value is not None]:
        raise UsageError(f"--{typed[0]} and --views-from: those pictures are drawn already")


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


def told(cameras: Cameras, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that say more; of the cameras' `field_of_view` (radians) and `half_height` the one that counts."""
    perspective = settings["projection"] == "perspective"
    return {
        "field_of_view": cameras.field_of_view if perspective else None,
        "half_height": cameras.half_height,
        "settings_digest": digest(settings),
    }


def matrices(cameras: Cameras, settings: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Where the cameras stand; nothing where that is not known."""
    if settings["rig"] is None:
        return {}
    return {"camera_poses": cameras.poses, "camera_matrices": cameras.matrices}
