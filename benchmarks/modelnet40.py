"""ModelNet40 from its public point layout (views are projections): teacher, plain and distilled student over seeds.

usage: python benchmarks/modelnet40.py --data FOLDER [--per-class 20] [--student pointnet2] [--seeds 3] [--device cuda]

FOLDER is `modelnet40_ply_hdf5_2048` as it is downloaded. --per-class N keeps the first N shapes of each class and split
(for a CPU); without it all 12,311 are used (for a GPU). Test is scored once per run.
"""

import argparse
import time
from pathlib import Path

import h5py
import numpy as np
from pipeline import Arm, pointcmt, show, summary, train_arms, train_teachers
from real_meshes import ARMS
from record import write_record

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("modelnet40"))
    parser.add_argument("--per-class", type=int)
    parser.add_argument("--student", default="pointnet2")
    parser.add_argument("--student-option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=2, help="students trained at once")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--arms", nargs="+", default=["plain", "distilled"], choices=list(ARMS))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "modelnet40.json")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    data = subset(options.data, options.per_class, work) if options.per_class else options.data
    views = work / "views.h5"
    _, render = pointcmt(
        "render",
        data,
        "--out",
        views,
        "--rig",
        "orthogonal6",
        "--image-size",
        str(options.image_size),
    )
    seeds = list(range(options.seeds))
    device = ["--device", options.device]
    rows = train_teachers(views, seeds, work, device)
    seconds = {"render": render, "train-teacher, first seed": rows[0]["seconds"]}
    arms = [Arm(label, options.student, *ARMS[label]) for label in options.arms]
    settings = ["--epochs", str(options.epochs), "--points", str(options.points), *device]
    settings += ["--precision", options.precision]
    for each in options.student_option:
        settings += ["--student-option", each]
    rows += train_arms(arms, seeds, work, settings, options.jobs)
    lines = summary(rows)
    write_record(
        options.out,
        {
            "per_class": options.per_class,
            "settings": settings,
            "seconds": seconds | {"whole benchmark": time.monotonic() - start},
            "summary": lines,
            "runs": rows,
        },
    )
    show(lines)


def subset(data: Path, per_class: int, work: Path) -> Path:
    """The same layout with the first `per_class` shapes of each class and split."""
    folder = work / f"subset-{per_class}"
    folder.mkdir(exist_ok=True)
    (folder / "shape_names.txt").write_text((data / "shape_names.txt").read_text())
    for split in ("train", "test"):
        clouds, labels = [], []
        for path in sorted(data.glob(f"ply_data_{split}*.h5")):
            with h5py.File(path) as file:
                clouds.append(file["data"][:])
                labels.append(file["label"][:].reshape(-1))
        points, classes = np.concatenate(clouds), np.concatenate(labels)
        chosen = [np.flatnonzero(classes == label)[:per_class] for label in np.unique(classes)]
        rows = np.sort(np.concatenate(chosen))
        name = f"ply_data_{split}0.h5"
        if not (folder / name).exists():
            with h5py.File(folder / name, "w") as file:
                file["data"] = points[rows]
                file["label"] = classes[rows][:, None]
        (folder / f"{split}_files.txt").write_text(f"data/modelnet40_ply_hdf5_2048/{name}\n")
    return folder


if __name__ == "__main__":
    main()
