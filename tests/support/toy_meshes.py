"""A dozen small meshes of three classes, and how the tests of `render` draw them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pointcmt_cli.config import RenderConfig
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.records import Note, Record, Result

CLASSES = ("chair", "lamp", "table")


def write_mesh(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    vertices = np.random.default_rng(seed).normal(size=(6, 3))
    lines = ["OFF", "6 4 0", *(" ".join(map(str, vertex)) for vertex in vertices)]
    path.write_text("\n".join([*lines, "3 0 1 2", "3 1 2 3", "3 2 3 4", "3 3 4 5"]) + "\n")


def write_meshes(root: Path, each: int) -> Path:
    for number, name in enumerate(CLASSES):
        for index in range(each):
            split = "test" if index % 4 == 3 else "train"
            write_mesh(root / name / split / f"{name}_{index:04d}.off", 100 * number + index)
    return root


def config(meshes: Path, **changes: Any) -> RenderConfig:
    settings = {
        "work": meshes.parent,
        "image_size": 32,
        "points": None if changes.get("format") == "png" else 64,
        "renderer": "toy_renderers:dots",
        "workers": 1,
    }
    return RenderConfig(meshes, **{**settings, **changes})


def run(settings: RenderConfig) -> dict[str, Any]:
    *_, last = render(settings)
    assert isinstance(last, Result)
    return dict(last.values)


def notes(records: Iterable[Record]) -> list[str]:
    return [record.text for record in records if isinstance(record, Note)]
