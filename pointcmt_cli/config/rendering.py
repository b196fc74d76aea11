"""Settings of `render`: meshes or clouds -> views.h5."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pointcmt_cli.config.setting import FILES, PLUGIN, RUN, Force, Setting, Work

Axis = Literal["z", "y"]
Projection = Literal["perspective", "orthographic"]
ViewsFormat = Literal["h5", "png"]

VIEWS, SPLIT = "Points and views", "Split"
HELD_OUT_FRACTION = 0.15
"""Share of the train split that the hash of the name sets apart as held-out; every selection uses it."""
IMAGE_SIZE = 224
"""Pixels of a view: the input size of ImageNet networks."""
RIG = "mvcnn12"
"""MVCNN's 12 views; the reference's 20 (`dodecahedron20`) cost more for little on a CPU."""
POINTS = 2048
"""Points kept per shape."""
DEFAULT_RENDERERS = {"mesh": "raster", "cloud": "points"}
"""Renderer plug-in for each kind of source."""


@dataclass(frozen=True)
class RenderConfig:
    """`pointcmt render`: meshes or clouds -> views.h5."""

    source: Annotated[
        Path,
        Setting(
            "Meshes or point clouds as CLASS/{train,test}/NAME.ext or CLASS/NAME.ext, or a benchmark's folder "
            "(ModelNet40 as HDF5 or normal_resampled, ScanObjectNN).",
            argument=True,
            shown=False,
        ),
    ]
    rig: Annotated[
        str | None,
        Setting(
            "Where the cameras stand: mvcnn12, dodecahedron20, orthogonal6, circle:N@ELEVATION (N around the "
            "shape, degrees above the ground, 30 by default), sphere:N (spread evenly), or a .toml or .json file of "
            "cameras, each with position (target, up), azimuth and elevation (distance), or matrix (4x4, "
            f"camera-to-world). By default {RIG}.",
            VIEWS,
            metavar="NAME|FILE",
            shown=False,
            source="MVCNN's 12 views; the reference's 20 (dodecahedron20) cost more for little on a CPU",
        ),
    ] = None
    projection: Annotated[
        Projection | None,
        Setting("By default perspective, or what the rig's file says.", VIEWS, shown=False),
    ] = None
    margin: Annotated[
        float | None,
        Setting(
            "Room around the unit sphere, as a share of its radius; 0.02 by default.",
            VIEWS,
            metavar="FRACTION",
            low=0.0,
            high=9.0,
            shown=False,
        ),
    ] = None
    """None: rigs.MARGIN."""
    up: Annotated[
        Axis | None,
        Setting(
            "The axis of the source that points up; by default y for .glb and the benchmarks' point layouts, z for "
            "all others. Stored shapes are z up.",
            VIEWS,
            shown=False,
            source="the specification of .glb; the code of the benchmarks' authors",
        ),
    ] = None
    color: Annotated[
        bool,
        Setting("Draw the colours that the files have, and store RGB; by default gray.", VIEWS),
    ] = False
    """The renderer's option `color`."""
    shading: Annotated[
        str | None,
        Setting(
            "How the renderer shades: its option `shading` (`pointcmt plugins list` shows what it takes).",
            VIEWS,
            metavar="NAME",
            shown=False,
        ),
    ] = None
    image_size: Annotated[
        int | None,
        Setting(
            f"Height and width of a view, pixels; by default {IMAGE_SIZE}, and with --views-from what the "
            "pictures have (others are made to fit where it is given).",
            VIEWS,
            low=16,
            high=2048,
            shown=False,
            source="the input size of ImageNet networks",
        ),
    ] = None
    points: Annotated[
        int | None,
        Setting(
            f"Points per shape, by default {POINTS}; drawn uniformly by area from meshes.",
            VIEWS,
            low=1,
            high=1_000_000,
            shown=False,
        ),
    ] = None
    """Training draws its own number from them."""
    renderer: Annotated[
        str | None,
        Setting(
            "Renderer plug-in, or module:attribute (`pointcmt plugins list` shows them); by default raster "
            "for meshes, points for clouds.",
            PLUGIN,
            metavar="NAME",
            shown=False,
        ),
    ] = None
    renderer_options: Annotated[
        Mapping[str, Any],
        Setting(
            "An option of the renderer; can be given several times.",
            PLUGIN,
            flag="--option",
            metavar="KEY=VALUE",
            shown=False,
        ),
    ] = field(default_factory=dict)
    test_fraction: Annotated[
        float,
        Setting(
            "Test share, by a hash of the name, where the source has no split of its own.",
            SPLIT,
            low=0.0,
            high=0.9,
        ),
    ] = 0.2
    held_out_fraction: Annotated[
        float,
        Setting(
            "Share of train kept apart, by a hash of the name, for every selection.",
            SPLIT,
            low=0.0,
            high=0.9,
        ),
    ] = HELD_OUT_FRACTION
    variant: Annotated[
        str | None,
        Setting(
            "Which one, where a benchmark's folder holds several: OBJ_ONLY, OBJ_BG, PB_T50_RS.",
            SPLIT,
            metavar="NAME",
            shown=False,
        ),
    ] = None
    work: Work = Path(".")
    out: Annotated[
        Path | None,
        Setting(
            "The file to write, by default views.h5 in --work; with --format png the folder.",
            FILES,
            metavar="FILE|DIR",
            shown=False,
            decides=False,
        ),
    ] = None
    preview: Annotated[
        Path | None,
        Setting(
            "Also draw a contact sheet of some shapes of each class; with --only, of all views of these, and "
            "nothing else.",
            FILES,
            metavar="PNG",
            folder=False,
            shown=False,
            decides=False,
        ),
    ] = None
    format: Annotated[
        ViewsFormat,
        Setting(
            "png: only pictures, CLASS/SPLIT/NAME_VVV.png in the folder --out (MVCNN's layout), and no points.",
            FILES,
        ),
    ] = "h5"
    views_from: Annotated[
        Path | None,
        Setting(
            "Draw nothing: take the views from pictures that were rendered elsewhere, CLASS/SPLIT/NAME_001.png, "
            "CLASS/NAME_001.png or .jpg, named as SOURCE's shapes, which give points, labels and splits.",
            FILES,
            metavar="DIR",
            shown=False,
            decides="content",
        ),
    ] = None
    unlabelled: Annotated[
        Path | None,
        Setting(
            "A folder of shapes without a class, any tree or flat, which go in with SOURCE's and are learned from "
            "without labels; those in SOURCE/unlabelled always do.",
            FILES,
            metavar="DIR",
            file=False,
            shown=False,
            decides="content",
        ),
    ] = None
    only: Annotated[
        tuple[str, ...],
        Setting(
            "Redraw this shape and keep all others as they are: CLASS/NAME, NAME or a pattern ('chair/*'); "
            "can be given several times.",
            RUN,
            metavar="NAME",
            shown=False,
            decides=False,
        ),
    ] = ()
    workers: Annotated[
        int | None,
        Setting(
            "Processes; 1 draws in this one. By default one per core.",
            RUN,
            low=1,
            shown=False,
            decides=False,
        ),
    ] = None
    cluster: Annotated[
        str | None,
        Setting(
            "Draw on a Dask cluster: dask://HOST:PORT. Every "
            "machine needs pointcmt, and the folders of source and output under the same names.",
            RUN,
            metavar="ADDRESS",
            shown=False,
            decides=False,
        ),
    ] = None
    profile: Annotated[
        bool, Setting("Also show where the time went, stage by stage.", RUN, decides=False)
    ] = False
    strict: Annotated[
        bool,
        Setting(
            "Stop at the first shape that cannot be read; by default it is left out and named.",
            RUN,
            decides=False,
        ),
    ] = False
    force: Force = False
