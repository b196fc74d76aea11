"""The picture of the README: shapes of the demo, drawn by every renderer and shading that works here, side by side.

usage: python benchmarks/renderer_pictures.py [--out docs/renderers.png]
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from record import ROOT

from pointcmt_cli import discovery
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.data.clouds.sampling import sample_points
from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.errors import PointCMTError

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("raster", "raster", {}),
    ("raster\nnormals=smooth\nsupersample=2", "raster", {"normals": "smooth", "supersample": 2}),
    ("raster\n--shading normal", "raster", {"shading": "normal", "color": True}),
    ("raster\n--shading depth", "raster", {"shading": "depth"}),
    ("raster\n--shading silhouette", "raster", {"shading": "silhouette"}),
    ("pyrender", "pyrender", {}),
    ("pyrender\nshader=pbr", "pyrender", {"shader": "pbr"}),
    ("points", "points", {}),
    ("points\n--shading lambert", "points", {"shading": "lambert"}),
]
TILE, TITLE = 128, 170
"""Pixels of a view, and of the column that names the rows."""
VIEW = 10
"""Of mvcnn12's: from the front and the side."""
SHAPES = ("bottle", "chair", "desk", "lamp", "mug", "mushroom", "table", "vase")


def main() -> None:
    """A column for each shape, a row for each renderer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "renderers.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_demo_meshes(Path(folder), 1, 0, seed=0)
        shapes = [read_file(path) for path in sorted(Path(folder).rglob("*.off"))]
    shapes = [each for each in shapes if each.name.rpartition("_")[0] in SHAPES]
    shapes = [replace(each, points=sample_points(each, 2048)) for each in shapes]
    rig = cameras("mvcnn12", TILE)
    rig = replace(rig, poses=rig.poses[VIEW : VIEW + 1])
    rows = []
    for title, name, values in ROWS:
        try:
            draw = discovery.build("renderers", name, values)
        except PointCMTError as error:
            print(f"left out: {error}")
            continue
        rows.append((title, [draw(each, rig)[0] for each in shapes]))
    paper = Image.new("RGB", (TITLE + TILE * len(shapes), TILE * len(rows)), "white")
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(14)
    for row, (title, views) in enumerate(rows):
        box = pen.multiline_textbbox((0, 0), title, font=font)
        pen.multiline_text((6, row * TILE + (TILE - box[3]) // 2), title, fill=40, font=font)
        for column, view in enumerate(views):
            picture = Image.fromarray(np.ascontiguousarray(view))
            paper.paste(picture, (TITLE + column * TILE, row * TILE))
    paper.quantize(128).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
