"""Few labels, many shapes: plain, self-trained and taught students by labels per class, on equal steps and draws.

usage: python benchmarks/few_labels.py --data MESHES --work DIR [--labels 4] [--draws 5] [--arms ...] [--out FILE]

MESHES is a tree CLASS/{train,test}/NAME, or a tar of one. A draw hides the labels of all other train shapes (held-out's
too) from teacher and students; nothing is chosen by a score, the last epoch is kept, test is scored once per run.
Interrupted, the same line goes on; another line with the same --out adds to it.
"""

import argparse
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import pointcmt
from real_meshes import unpack
from record import spread, write_record

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.student.batches import steps_per_epoch
from pointcmt_cli.engine.training import checkpoint

HERE = Path(__file__).resolve().parent
RENDER = ["--rig", "mvcnn12", "--image-size", "128"]
STEPS = 2100
"""Of every student."""
SETTINGS = {
    "pointnet": ["--points", "128"],
    "pointnet2": ["--points", "128", "--student-option", "centres=(64,16)"],
}
ARMS: dict[str, list[str]] = {
    "plain": ["--objective", "none"],
    "plain, strong augmentation": ["--objective", "none", "--augmentation", "strong"],
    "self-training": ["--objective", "self-training"],
    "soft labels": ["--objective", "soft-labels"],
    "default": ["--objective", "contrast"],
    "PointCMT, classifier term": ["--objective", "pointcmt", "--objective-option", "feature_weight=0"],
    "PointCMT, head taught": [
        "--objective", "pointcmt", "--objective-option", "feature_weight=0", "--objective-option", "head_weight=1",
    ],
}  # fmt: skip
TEACHER = "teacher"
YARDSTICKS = ("plain", "self-training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--labels", nargs="+", default=["4"], help="per class; 100%% is all")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--students", nargs="+", default=["pointnet"], choices=list(SETTINGS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--jobs", type=int, default=2, help="students trained at once")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    name = options.data.name.split(".")[0]
    out = options.out or HERE / "results" / f"few_labels-{name}.json"
    views = work / "views.h5"
    pointcmt("render", unpack(options.data, work), "--out", views, *RENDER)
    rows = json.loads(out.read_text())["runs"] if out.exists() else []

    def add(row: dict[str, Any]) -> None:
        same = ("student", "arm", "labels", "draw")
        rows[:] = [each for each in rows if any(each[key] != row[key] for key in same)]
        rows.append(row)
        print(json.dumps(row), flush=True)
        preset = {"render": RENDER, "steps": STEPS, "students": SETTINGS, "arms": ARMS}
        values = {"data": name, "preset": preset, "summary": summary(rows), "runs": rows}
        write_record(out, values)

    for labels in options.labels:
        for draw in range(options.draws):
            features, teacher = taught(work, views, labels, draw)
            if teacher:
                add({"student": TEACHER, "arm": TEACHER, "labels": labels, "draw": draw, **teacher})
            jobs = [(student, arm) for student in options.students for arm in options.arms]
            with ThreadPoolExecutor(options.jobs) as pool:
                for row in pool.map(
                    partial(learned, work, features, labels, draw), *zip(*jobs, strict=True)
                ):
                    add(row)
    show(summary(rows))


def taught(work: Path, views: Path, labels: str, draw: int) -> tuple[Path, dict[str, float] | None]:
    """features.h5 of a draw, and the teacher's scores where it was trained now; image features are shared."""
    features = work / f"features-{labels.rstrip('%')}-{draw}.h5"
    if features.exists():
        return features, None
    pointcmt(
        "train-teacher", "--views", views, "--out", work / "teacher.pt", "--features", features,
        "--labels-per-class", labels, "--seed", str(draw), "--force",
    )  # fmt: skip
    test = checkpoint.load(work / "teacher.pt")["metrics"]["test"]  # type: ignore[typeddict-item]
    return features, {"oa": test["oa"], "macc": test["macc"]}


def learned(
    work: Path, features: Path, labels: str, draw: int, student: str, arm: str
) -> dict[str, Any]:
    """One student of one draw."""
    counts = read_shapes(features).counts()
    unlabelled = counts.get("unlabelled", 0)
    each = steps_per_epoch(counts["train"], unlabelled, DistillConfig())
    out = (
        work / f"{student}-{arm.replace(' ', '-').replace(',', '')}-{labels.rstrip('%')}-{draw}.pt"
    )
    pointcmt(
        "distill", "--student", student, *ARMS[arm], *SETTINGS[student], "--features", features,
        "--out", out, "--epochs", str(math.ceil(STEPS / each)), "--seed", str(draw), threads=1,
    )  # fmt: skip
    metrics = checkpoint.load(out)["metrics"]  # type: ignore[typeddict-item]
    row = {"student": student, "arm": arm, "labels": labels, "draw": draw}
    row |= {"labelled": counts["train"], "unlabelled": unlabelled, "seconds": metrics["seconds"]}
    return {**row, "oa": metrics["test"]["oa"], "macc": metrics["test"]["macc"]}


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and std over draws of every student, arm and number of labels, and paired differences to the yardsticks."""
    groups: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in rows:
        key = (row["student"], row["labels"], row["arm"])
        groups.setdefault(key, {})[row["draw"]] = row["oa"]
    found = []
    for (student, labels, arm), own in groups.items():
        line: dict[str, Any] = {"student": student, "labels": labels, "arm": arm}
        line["test_oa"] = spread(list(own.values()))
        for yardstick in YARDSTICKS:
            other = groups.get((student, labels, yardstick), {})
            pairs = [own[draw] - other[draw] for draw in own if draw in other]
            if pairs and arm != yardstick and student != TEACHER:
                line[f"minus {yardstick}"] = spread(pairs)
        found.append(line)
    return found


def show(lines: Sequence[dict[str, Any]]) -> None:
    """The summary as a Markdown table on standard output."""
    print(
        "| student | labels per class | trained as | n | test OA | minus plain | minus self-training |"
    )
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        cells = [
            _percent(line.get(key))
            for key in ("test_oa", *(f"minus {each}" for each in YARDSTICKS))
        ]
        said = [line["student"], line["labels"], line["arm"], str(line["test_oa"]["n"])]
        print("|", " | ".join([*said, *cells]), "|")


def _percent(value: dict[str, float] | None) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['std']:.1f}" if value else ""


if __name__ == "__main__":
    main()
