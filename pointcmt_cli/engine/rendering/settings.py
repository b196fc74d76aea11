"""What a views.h5 was made with: the settings that decide its content, and what is told of them. In: a config.

Settings that differ from an existing file's are never passed over in silence (`reuse.read`), so each stands here once.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli import discovery
from pointcmt_cli.config import DEFAULT_RENDERERS, POINTS, RenderConfig
from pointcmt_cli.data.cameras.rigs import MARGIN, Cameras
from pointcmt_cli.data.folders.sources import Source
from pointcmt_cli.data.pictures.contact_sheet import picture_format
from pointcmt_cli.data.pictures.given import PictureTree
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import check_folder, digest
from pointcmt_cli.records import counted

LARGEST = 2**31
"""Bytes of one shape's views: each process holds them, and as one chunk HDF5 takes less than 4 GiB."""
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
        "points": config.points or POINTS,
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
        "points": config.points or POINTS,
        "renderer": PICTURES,
        "renderer_options": json.dumps({"views": tree.views}),
        **dict.fromkeys(("rig", "projection", "margin", "shading")),
        **dict.fromkeys(("renderer_distribution", "renderer_version")),
        "recipe": RECIPE,
    }


def looks(config: RenderConfig) -> bool:
    """Whether some shapes are only to be looked at, and no views.h5 is asked for."""
    return bool(config.only and config.preview and config.out is None and config.format != "png")


def check(config: RenderConfig) -> None:
    """All that can be refused before the source is looked at."""
    if config.preview:
        picture_format(config.preview)
        check_folder(config.preview)
    if config.only and config.force:
        raise UsageError(
            "--only draws its shapes anew in any case, and keeps the others: leave out --force"
        )
    if config.views_from:
        _check_imported(config)
    if config.format == "png":
        if config.points is not None:
            raise UsageError("--points and --format png: pictures hold no points")
        pictures_folder(config)
    options = renderer_options(config)
    if config.renderer and not config.views_from:
        discovery.find("renderers", config.renderer)
        if options:
            discovery.build("renderers", config.renderer, options)


def check_size(cameras: Cameras, color: bool) -> None:
    """The views of one shape are no more than LARGEST."""
    if math.prod(cameras.shape(color)) > LARGEST:
        raise UsageError(
            f"{counted(cameras.views, 'view')} of {cameras.size} x {cameras.size} pixels are too much for one shape: "
            "a smaller --image-size or fewer views"
        )


def pictures_folder(config: RenderConfig) -> Path:
    """Where --format png writes."""
    out = config.out
    if out is None:
        raise UsageError("--format png needs a folder for the pictures: --out DIR")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; --format png needs a folder")
    return out


def _check_imported(config: RenderConfig) -> None:
    """Nothing was said that pictures from elsewhere make idle."""
    idle = {
        "renderer": config.renderer,
        "option": config.renderer_options or None,
        "shading": config.shading,
        "projection": config.projection,
        "margin": config.margin,
        "rig": config.rig,
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
