"""What a views.h5 was made with: the settings that decide its content, and what is stored with them. In: a config.

Settings that differ from an existing output's are never passed over in silence (`reuse.refuse_other_settings`), so
each stands here once.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli import discovery
from pointcmt_cli.config import DEFAULT_RENDERERS, POINTS, RenderConfig
from pointcmt_cli.data.cameras.rigs import MARGIN, Cameras
from pointcmt_cli.data.folders.sources import Source
from pointcmt_cli.data.pictures.given import PictureTree
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import digest

RECIPE = 2
"""Raised whenever reading, sampling or a rig changes what is kept of a shape: older rows are then drawn again."""
PICTURES = "images"
"""In place of a renderer."""
PILE = "unlabelled"
"""The folder of --unlabelled: a file can get one later, and loses none unasked."""
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
        **({PILE: config.unlabelled.resolve().name} if config.unlabelled else {}),
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
        "up": source.up.axis if source.up else OWN_AXIS,
        "color": config.color,
        "shading": config.shading,
        "points": config.points or POINTS,
        "renderer": plugin.name,
        "renderer_options": json.dumps(options, sort_keys=True),
        "renderer_distribution": plugin.distribution,
        "renderer_version": plugin.version,
        "recipe": RECIPE,
    }


def picture_settings(config: RenderConfig, source: Source, tree: PictureTree) -> dict[str, Any]:
    """What decides the points and views of a shape whose pictures come from elsewhere, beside those; no cameras."""
    return {
        "image_size": config.image_size or tree.size,
        "up": source.up.axis if source.up else OWN_AXIS,
        "color": config.color,
        "points": config.points or POINTS,
        "renderer": PICTURES,
        "renderer_options": json.dumps({"views": tree.views}),
        **dict.fromkeys(("rig", "projection", "margin", "shading")),
        **dict.fromkeys(("renderer_distribution", "renderer_version")),
        "recipe": RECIPE,
    }


def renderer_options(config: RenderConfig) -> dict[str, str]:
    """The options that the renderer is built with: those typed, and what --color and --shading stand for."""
    options = {key: str(value) for key, value in config.renderer_options.items()}
    for key in ("color", "shading"):
        if key in options:
            raise UsageError(f"--option {key}={options[key]}: use --{key} instead")
    if config.color:
        options["color"] = "true"
    if config.shading is not None:
        options["shading"] = config.shading
    return options


def attributes(settings: Mapping[str, Any], source: Source, cameras: Cameras) -> dict[str, Any]:
    """All that is stored beside the views; of `field_of_view` (radians) and `half_height` the one that counts."""
    perspective = settings["projection"] == "perspective"
    return {
        **settings,
        "class_names": source.classes,
        "field_of_view": cameras.field_of_view if perspective else None,
        "half_height": cameras.half_height,
        "settings_digest": digest(settings),
    }


def camera_matrices(
    settings: Mapping[str, Any], cameras: Cameras
) -> dict[str, NDArray[np.float64]]:
    """Where the cameras stand, by the dataset's name; nothing where that is not known."""
    if settings["rig"] is None:
        return {}
    return {"camera_poses": cameras.poses, "camera_matrices": cameras.matrices}
