"""The report's gallery: shapes that were misjudged, with the views that the teacher saw, points and every top-3.

In: the shapes of a split and what each checkpoint said of them (S, K); out: plain values with images and points inside.
With one checkpoint these are its errors; with several, the shapes about which they disagree.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from pointcmt_cli.data.store.views import ShapeSet, read_images

SHOWN = 24
"""Shapes in the gallery: at twelve views each about a megabyte of the page."""
VIEWS = 12
"""Views shown of each shape, evenly taken from all."""
TILE = 96
"""Pixels of a shown view."""
POINTS = 1024
TOP = 3


@dataclass(frozen=True)
class Answers:
    """What one checkpoint says of the S shapes of a split."""

    label: str
    logits: NDArray[np.float32]
    """(S, K)."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(S, K) in [0, 1]."""
        found: NDArray[np.float64] = softmax(self.logits.astype(np.float64), axis=1)
        return found

    @property
    def guesses(self) -> NDArray[np.int64]:
        """(S,)."""
        found: NDArray[np.int64] = self.logits.argmax(axis=1)
        return found


def gallery(
    shapes: ShapeSet,
    rows: NDArray[np.int64],
    runs: Sequence[Answers],
    teacher: Answers | None,
    views: Path | None,
    points: int = POINTS,
) -> dict[str, Any]:
    """The shapes to show of `rows` (S,) and how many there are; `views` is the views.h5 of the same shapes."""
    labels = shapes.labels[rows]
    wanted = choose(runs, labels)
    chosen = wanted[:SHOWN]
    voices = [*([teacher] if teacher else []), *runs]
    tops = [_tops(each, chosen, shapes.classes) for each in voices]
    sheets = _sheets(views, rows[chosen]) if views and len(chosen) else [None] * len(chosen)
    items = [
        {
            "name": shapes.names[rows[index]],
            "label": shapes.classes[labels[index]],
            "kinds": _kinds(runs, teacher, int(index), int(labels[index])),
            "says": [
                {"who": voice.label, "top": top[place]}
                for voice, top in zip(voices, tops, strict=True)
            ],
            "views": sheets[place],
            "points": _packed(shapes.points[rows[index], : min(points, POINTS)]),
        }
        for place, index in enumerate(chosen)
    ]
    return {"total": len(wanted), "shapes": len(rows), "items": items}


def choose(runs: Sequence[Answers], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the S shapes: every class in turn, of each the one that a wrong answer is surest of first."""
    guesses = np.stack([each.guesses for each in runs])  # (R, S)
    wrong = guesses != labels
    wanted = wrong[0] if len(runs) == 1 else (guesses != guesses[0]).any(axis=0)
    surest = np.stack([each.probabilities.max(axis=1) for each in runs])
    sureness = np.where(wrong, surest, 0).max(axis=0)  # (S,)
    turns: dict[int, int] = {}
    order: list[tuple[int, int, int]] = []
    for index in np.lexsort((np.arange(len(labels)), -sureness)):
        if wanted[index]:
            label = int(labels[index])
            turns[label] = turns.get(label, 0) + 1
            order.append((turns[label], len(order), int(index)))
    return np.array([index for *_, index in sorted(order)], np.int64)


def _kinds(
    runs: Sequence[Answers], teacher: Answers | None, index: int, label: int
) -> dict[str, bool]:
    """Who is right about a shape; what the page filters by."""
    right = {each.label: bool(each.guesses[index] == label) for each in runs}
    if teacher:
        right[teacher.label] = bool(teacher.guesses[index] == label)
    return right


def _tops(
    answers: Answers, chosen: NDArray[np.int64], classes: Sequence[str]
) -> list[list[dict[str, Any]]]:
    """The three most probable classes of each chosen shape; the first of equals first."""
    found = answers.probabilities[chosen]  # (C, K)
    best = np.argsort(-found, axis=1, kind="stable")[:, :TOP]
    return [
        [{"class": classes[index], "probability": float(row[index])} for index in indices]
        for row, indices in zip(found, best, strict=True)
    ]


def _sheets(views: Path, rows: NDArray[np.int64]) -> list[dict[str, Any] | None]:
    """One picture of all shown views of each row, as a data address."""
    sheets: list[dict[str, Any] | None] = []
    for row in rows:
        images = read_images(views, [row])[0]  # (V, H, W) or (V, H, W, 3)
        kept = np.unique(np.linspace(0, len(images) - 1, min(len(images), VIEWS)).round())
        columns = min(len(kept), 6)
        lines = -(-len(kept) // columns)
        sheet = Image.new("L" if images.ndim == 3 else "RGB", (columns * TILE, lines * TILE), 255)
        for place, view in enumerate(kept.astype(int)):
            tile = Image.fromarray(images[view]).resize((TILE, TILE), Image.Resampling.BOX)
            sheet.paste(tile, (place % columns * TILE, place // columns * TILE))
        content = io.BytesIO()
        sheet.save(content, "WEBP", quality=60, method=4)
        address = "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
        sheets.append(
            {
                "address": address,
                "width": sheet.width,
                "height": sheet.height,
                "shown": len(kept),
                "of": len(images),
            }
        )
    return sheets


def _packed(points: NDArray[np.float32]) -> str:
    """Points (N, 3) in the unit sphere as base64 of little-endian int16, 32767 for one."""
    whole = np.rint(np.clip(points, -1, 1) * 32767).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
