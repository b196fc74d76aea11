"""What `render` was asked for, settled before the first shape is drawn. In: a config; out: a `Plan`, or a refusal."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pointcmt_cli import discovery
from pointcmt_cli.config import IMAGE_SIZE, RIG, RenderConfig
from pointcmt_cli.data.cameras import rigs
from pointcmt_cli.data.cameras.rigs import Cameras
from pointcmt_cli.data.folders import selection, sources
from pointcmt_cli.data.folders.sources import Item, Source
from pointcmt_cli.data.folders.trees import Up
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
from pointcmt_cli.files import check_folder
from pointcmt_cli.records import Note, Record, counted
from pointcmt_cli.splits import gaps

LARGEST = 2**31
"""Bytes of one shape's views: each process holds them, and as one chunk HDF5 takes less than 4 GiB."""


Target = Literal["views", "pictures", "preview"]
"""A views.h5, --format png, or some shapes only to be looked at."""


@dataclass(frozen=True)
class Plan:
    """What is to be drawn, how, and where to."""

    config: RenderConfig
    target: Target
    out: Path
    """The file or folder that is written."""
    source: Source
    chosen: list[Item]
    """Those that --only names; all where it is not given."""
    cameras: Cameras
    options: Mapping[str, Any]
    """The renderer's, or of the reading of pictures that come from elsewhere."""
    per_shape: Mapping[str, Any]
    """All that decides a shape's points and views."""

    @property
    def renderer(self) -> str | None:
        """The plug-in; None: the shapes bring their pictures."""
        return None if self.config.views_from else self.per_shape["renderer"]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides what is in the output; pictures hold no points."""
        settings = {**source_settings(self.config, self.source), **self.per_shape}
        if self.target == "pictures":
            del settings["points"]
        return settings


def make_plan(config: RenderConfig) -> Generator[Record, None, Plan]:
    """Refuse contradictory settings, recognise the source, and settle how its shapes are drawn."""
    _refuse_contradictions(config)
    target, out = _destination(config)
    cameras = rigs.cameras(
        config.rig or RIG, config.image_size or IMAGE_SIZE, config.projection, config.margin
    )
    _refuse_too_large(cameras, config.color)
    if config.cluster:
        cluster.refuse_other_than_address(config.cluster, config.workers)
    source = sources.recognise(
        config.source,
        config.test_fraction,
        config.held_out_fraction,
        config.variant,
        config.unlabelled,
    )
    if config.up:
        source = replace(source, up=Up(config.up, "--up"))
    if target == "views":
        sources.check_classes(source)
    yield Note(source.summary)
    yield Note(f"classes: {', '.join(source.classes)}")
    for note in source.notes:
        yield Note(note, warning=True)
    if target == "views" and not config.only and (lacking := lacks(source, source.items)):
        yield Note(lacking, warning=True)
    chosen = selection.select(source.items, config.only) if config.only else source.items
    if config.only:
        yield Note(f"--only: {len(chosen)} of {counted(len(source.items), 'shape')}")
    if config.views_from:
        tree = given.match(config.views_from, source)
        cameras = yield from _accept_pictures(config, config.views_from, tree)
        names = {item.name for item in chosen}
        chosen = [item for item in tree.items if item.name in names]
        source = replace(source, items=tree.items)
        resize = {"resize": config.image_size is not None}
        per_shape = picture_settings(config, source, tree)
        return Plan(config, target, out, source, chosen, cameras, resize, per_shape)
    options, per_shape = renderer_options(config), shape_settings(config, source, cameras)
    return Plan(config, target, out, source, chosen, cameras, options, per_shape)


def lacks(source: Source, items: Sequence[Item]) -> str | None:
    """The classes that would have no train or no test shapes if these were all, in one line."""
    labels, splits = [item.label for item in items], [item.split for item in items]
    return gaps(source.classes, labels, splits)


def _refuse_contradictions(config: RenderConfig) -> None:
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
    if config.format == "png" and config.points is not None:
        raise UsageError("--points and --format png: pictures hold no points")
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


def _destination(config: RenderConfig) -> tuple[Target, Path]:
    """What is written, and where."""
    if config.format == "png":
        if config.out is None:
            raise UsageError("--format png needs a folder for the pictures: --out DIR")
        if config.out.exists() and not config.out.is_dir():
            raise UsageError(f"--out {config.out} is a file; --format png needs a folder")
        return "pictures", config.out
    if config.only and config.preview and config.out is None:
        return "preview", config.preview
    return "views", config.out or config.work / "views.h5"


def _refuse_too_large(cameras: Cameras, color: bool) -> None:
    """The views of one shape are no more than LARGEST."""
    if math.prod(cameras.shape(color)) > LARGEST:
        raise UsageError(
            f"{counted(cameras.views, 'view')} of {cameras.size} x {cameras.size} pixels are too much for one shape: "
            "use a smaller --image-size or fewer views"
        )


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
