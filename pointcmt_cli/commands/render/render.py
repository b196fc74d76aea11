"""`pointcmt render`: a folder of shapes in, views.h5 out."""

import time
from pathlib import Path
from typing import Annotated

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.commands.render import outcome
from pointcmt_cli.config import IMAGE_SIZE, POINTS, RIG, Axis, Projection, RenderConfig, ViewsFormat

VIEWS = "Points and views"
SPLIT = "Split"


def render(
    source: Annotated[
        Path,
        typer.Argument(
            help="Meshes or point clouds as CLASS/{train,test}/NAME.ext or CLASS/NAME.ext, or a benchmark's folder "
            "(ModelNet40 as HDF5 or normal_resampled, ScanObjectNN).",
            show_default=False,
        ),
    ],
    rig: Annotated[
        str | None,
        typer.Option(
            "--rig",
            metavar="NAME|FILE",
            help="Where the cameras stand: mvcnn12, dodecahedron20, orthogonal6, circle:N@ELEVATION (N around the "
            "shape, degrees above the ground, 30 by default), sphere:N (spread evenly), or a .toml or .json file of "
            "cameras, each with position (target, up), azimuth and elevation (distance), or matrix (4x4, "
            "camera-to-world). By default "
            f"{RIG}.",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = RenderConfig.rig,
    projection: Annotated[
        Projection | None,
        typer.Option(
            "--projection",
            help="By default perspective, or what the rig's file says.",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            metavar="FRACTION",
            min=0.0,
            max=9.0,
            help="Room around the unit sphere, as a share of its radius; 0.02 by default.",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = None,
    up: Annotated[
        Axis | None,
        typer.Option(
            "--up",
            help="The axis of the source that points up; by default y for .glb, z for all others. "
            "Stored shapes are z up.",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = None,
    color: Annotated[
        bool,
        typer.Option(
            "--color",
            help="Draw the colours that the files have, and store RGB; by default gray.",
            rich_help_panel=VIEWS,
        ),
    ] = RenderConfig.color,
    shading: Annotated[
        str | None,
        typer.Option(
            "--shading",
            metavar="NAME",
            help="How the renderer shades: its option `shading` (`pointcmt plugins list` shows what it takes).",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            min=16,
            max=2048,
            help=f"Height and width of a view, pixels; by default {IMAGE_SIZE}, and with --views-from what the "
            "pictures have (others are made to fit where it is given).",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = RenderConfig.image_size,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            min=1,
            max=1_000_000,
            help=f"Points per shape, by default {POINTS}; drawn uniformly by area from meshes.",
            show_default=False,
            rich_help_panel=VIEWS,
        ),
    ] = RenderConfig.points,
    renderer: Annotated[
        str | None,
        typer.Option(
            "--renderer",
            metavar="NAME",
            help="Renderer plug-in, or module:attribute (`pointcmt plugins list` shows them); by default raster "
            "for meshes, points for clouds.",
            show_default=False,
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="An option of the renderer; can be given several times.",
            show_default=False,
            rich_help_panel=options.PLUGIN,
        ),
    ] = None,
    test_fraction: Annotated[
        float,
        typer.Option(
            "--test-fraction",
            min=0.0,
            max=0.9,
            help="Test share, by a hash of the name, where the source has no split of its own.",
            rich_help_panel=SPLIT,
        ),
    ] = RenderConfig.test_fraction,
    held_out_fraction: Annotated[
        float,
        typer.Option(
            "--held-out-fraction",
            min=0.0,
            max=0.9,
            help="Share of train kept apart, by a hash of the name, for every selection.",
            rich_help_panel=SPLIT,
        ),
    ] = RenderConfig.held_out_fraction,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            metavar="NAME",
            help="Which one, where a benchmark's folder holds several: OBJ_ONLY, OBJ_BG, PB_T50_RS.",
            show_default=False,
            rich_help_panel=SPLIT,
        ),
    ] = None,
    work: options.WorkOption = RenderConfig.work,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE|DIR",
            help="The file to write, by default views.h5 in --work; with --format png the folder.",
            show_default=False,
            rich_help_panel=options.FILES,
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="PNG",
            dir_okay=False,
            help="Also draw a contact sheet of some shapes of each class; with --only, of all views of these, and "
            "nothing else.",
            show_default=False,
            rich_help_panel=options.FILES,
        ),
    ] = None,
    format: Annotated[
        ViewsFormat,
        typer.Option(
            "--format",
            help="png: only pictures, CLASS/SPLIT/NAME_VVV.png in the folder --out (MVCNN's layout), and no points.",
            rich_help_panel=options.FILES,
        ),
    ] = RenderConfig.format,
    views_from: Annotated[
        Path | None,
        typer.Option(
            "--views-from",
            metavar="DIR",
            help="Draw nothing: take the views from pictures that were rendered elsewhere, CLASS/SPLIT/NAME_001.png, "
            "CLASS/NAME_001.png or .jpg, named as SOURCE's shapes, which give points, labels and splits.",
            show_default=False,
            rich_help_panel=options.FILES,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="Draw this shape anew, and keep all others as they are: CLASS/NAME, NAME or a pattern ('chair/*'); "
            "can be given several times.",
            show_default=False,
            rich_help_panel=options.RUN,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Processes; 1 draws in this one. By default one per core.",
            show_default=False,
            rich_help_panel=options.RUN,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Draw on a cluster: dask://HOST:PORT, ray (RAY_ADDRESS, or this machine's) or ray://HOST:PORT. Every "
            "machine needs pointcmt, and the folders of source and output under the same names.",
            show_default=False,
            rich_help_panel=options.RUN,
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Also show where the time went, stage by stage.",
            rich_help_panel=options.RUN,
        ),
    ] = RenderConfig.profile,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Stop at the first shape that cannot be read; by default it is left out and named.",
            rich_help_panel=options.RUN,
        ),
    ] = RenderConfig.strict,
    force: options.ForceOption = RenderConfig.force,
) -> None:
    """Turn meshes or point clouds into points and views: SOURCE -> views.h5. A killed run goes on where it stopped.

    Example: pointcmt render meshes36/ --preview sheet.png

    Only pictures: pointcmt render meshes36/ --format png --out images/

    One shape: pointcmt render meshes36/ --only chair/chair_0001 --preview look.png
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.rendering.render import render as stage

    before = time.process_time()
    config = RenderConfig(
        source=source,
        work=work,
        out=out,
        rig=rig,
        projection=projection,
        margin=margin,
        up=up,
        color=color,
        shading=shading,
        image_size=image_size,
        points=points,
        renderer=renderer,
        renderer_options=options.parse_options(option or []),
        test_fraction=test_fraction,
        held_out_fraction=held_out_fraction,
        variant=variant,
        workers=workers,
        cluster=cluster,
        profile=profile,
        strict=strict,
        force=force,
        preview=preview,
        format=format,
        views_from=views_from,
        only=tuple(only or ()),
    )
    result = console.follow(stage(config))
    if result["profile"]:
        outcome.show_profile(result["profile"], before)
    outcome.show(result, work, out)
