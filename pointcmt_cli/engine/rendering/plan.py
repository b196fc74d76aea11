"""What `render` was asked for, settled before the first shape is drawn. In: a config; out: a `Plan`, or a refusal."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli import discovery
from pointcmt_cli.config import IMAGE_SIZE, RIG, RenderConfig
from pointcmt_cli.data.cameras import rigs
from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.folders import selection, sources
from pointcmt_cli.data.folders.sources import Item, Source
from pointcmt_cli.data.pictures import given
from pointcmt_cli.data.pictures.contact_sheet import picture_format
from pointcmt_cli.data.pictures.given import PictureTree
from pointcmt_cli.engine.rendering import cluster
from pointcmt_cli.engine.rendering.settings import (
    PICTURES,
    picture_settings,
    renderer_options,
    shape_settings,
    source_settings,
)
from pointcmt_cli.errors import UsageError
from pointcmt_cli.files import check_folder, digest
from pointcmt_cli.records import Note, Record, Records, counted

LARGEST = 2**31
"""Bytes of one shape's views: each process holds them, and as one chunk HDF5 takes less than 4 GiB."""


@dataclass(frozen=True)
class Plan:
    """What is to be drawn, how, and where to."""

    config: RenderConfig
    source: Source
    chosen: list[Item]
    """Those that --only names; all where it is not given."""
    cameras: Cameras
    renderer: str | None
    """The plug-in; None: the shapes bring their pictures."""
    options: Mapping[str, Any]
    """The renderer's, or of the reading of those pictures."""
    settings: Mapping[str, Any]
    """All that decides what is in the output."""
    shape_digest: str
    """Of those that decide a finished shape: one of another digest is drawn again."""
    out: Path
    """What is written: views.h5, the folder of pictures, or a preview alone."""


def make_plan(config: RenderConfig) -> Generator[Record, None, Plan]:
    """Refuse contradictory settings, recognise the source, and settle how its shapes are drawn."""
    refuse_contradictions(config)
    cameras = _cameras(config)
    source = _source(config)
    yield from _introduce(source)
    chosen = selection.select(source.items, config.only) if config.only else source.items
    if config.only:
        yield Note(f"--only: {len(chosen)} of {counted(len(source.items), 'shape')}")
    options: Mapping[str, Any]
    if config.views_from:
        tree = given.match(config.views_from, source)
        cameras = yield from _accept_pictures(config, config.views_from, tree)
        names = {item.name for item in chosen}
        chosen = [item for item in tree.items if item.name in names]
        source = replace(source, items=tree.items)
        options = {"resize": config.image_size is not None}
        per_shape = picture_settings(config, tree)
    else:
        options, per_shape = renderer_options(config), shape_settings(config, source, cameras)
    settings = {**source_settings(config, source), **per_shape}
    if config.format == "png":
        del settings["points"]  # pictures hold none
    return Plan(
        config=config,
        source=source,
        chosen=chosen,
        cameras=cameras,
        renderer=None if config.views_from else per_shape["renderer"],
        options=options,
        settings=settings,
        shape_digest=digest(settings if config.format == "png" else per_shape),
        out=_target(config),
    )


def preview_only(config: RenderConfig) -> bool:
    """Whether some shapes are only to be looked at, and no views.h5 is asked for."""
    return bool(config.only and config.preview and config.out is None and config.format != "png")


def refuse_contradictions(config: RenderConfig) -> None:
    """All that can be refused before the source is looked at."""
    if config.preview:
        picture_format(config.preview)
        check_folder(config.preview)
    if config.only and config.force:
        raise UsageError(
            "--only draws its shapes anew in any case, and keeps the others: leave out --force"
        )
    if config.views_from:
        _refuse_drawing_options(config)
    if config.format == "png":
        if config.points is not None:
            raise UsageError("--points and --format png: pictures hold no points")
        _picture_folder(config)
    options = renderer_options(config)
    if config.renderer and not config.views_from:
        discovery.find("renderers", config.renderer)
        if options:
            discovery.build("renderers", config.renderer, options)


def _refuse_drawing_options(config: RenderConfig) -> None:
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


def _target(config: RenderConfig) -> Path:
    if config.format == "png":
        return _picture_folder(config)
    if config.preview and preview_only(config):
        return config.preview
    return config.out or config.work / "views.h5"


def _picture_folder(config: RenderConfig) -> Path:
    """Where --format png writes."""
    out = config.out
    if out is None:
        raise UsageError("--format png needs a folder for the pictures: --out DIR")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; --format png needs a folder")
    return out


def _cameras(config: RenderConfig) -> Cameras:
    """The rig, for views that can be held."""
    cameras = rigs.cameras(
        config.rig or RIG, config.image_size or IMAGE_SIZE, config.projection, config.margin
    )
    _refuse_too_large(cameras, config.color)
    return cameras


def _refuse_too_large(cameras: Cameras, color: bool) -> None:
    """The views of one shape are no more than LARGEST."""
    if math.prod(cameras.shape(color)) > LARGEST:
        raise UsageError(
            f"{counted(cameras.views, 'view')} of {cameras.size} x {cameras.size} pixels are too much for one shape: "
            "use a smaller --image-size or fewer views"
        )


def _source(config: RenderConfig) -> Source:
    """The folder as it is recognised, with classes to train on where a views.h5 is made of it."""
    if config.cluster:
        cluster.refuse_other_than_address(config.cluster, config.workers)
    source = sources.recognise(
        config.source, config.test_fraction, config.held_out_fraction, config.variant
    )
    if config.format != "png" and not preview_only(config):
        sources.check_classes(source)
    return source


def _introduce(source: Source) -> Records:
    """What was recognised."""
    yield Note(source.summary)
    yield Note(f"classes: {', '.join(source.classes)}")
    for note in source.notes:
        yield Note(note, warning=True)


def _accept_pictures(
    config: RenderConfig, folder: Path, tree: PictureTree
) -> Generator[Record, None, Cameras]:
    """Say what was found in that folder; returns cameras of which only number and size are known."""
    if tree.strangers:
        first = tree.strangers[0].relative_to(folder)
        yield Note(
            f"{len(tree.strangers)} pictures in {folder} match no shape here (first: {first}): they are ignored",
            warning=True,
        )
    unknown = np.full((tree.views, 4, 4), np.nan)
    cameras = Cameras(PICTURES, unknown, config.image_size or tree.size)
    _refuse_too_large(cameras, config.color)
    yield Note(
        f"{folder}: {counted(tree.views, 'picture')} a shape, {cameras.size} x {cameras.size} pixels"
    )
    return cameras
