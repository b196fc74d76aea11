"""All of ModelNet40, from raw points to a mean test accuracy: time per stage, teacher included and excluded.

usage: python benchmarks/speedrun.py --data FOLDER [--seeds 3] [--epochs 30 60 120] [--rehearse]

FOLDER is `modelnet40_ply_hdf5_2048` as it is downloaded. Views are projections of the points. Every student is trained
plain and distilled for each number of epochs; the last epoch is kept, nothing is voted, test is scored once per run.
The time to a target is that of the shortest schedule whose mean *held-out* accuracy over the seeds reaches it, and the
test mean beside it is what it then is, above the target or below. Without a CUDA device, or with --rehearse, a few
shapes of each class go the same way for a few epochs: it shows that the path works, its accuracies mean nothing.
Interrupted, the same line goes on.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from modelnet40 import subset
from pipeline import Arm, pointcmt, show, summary, train_arms, train_teachers
from real_meshes import ARMS
from record import spread, write_record
from torch.utils.flop_counter import FlopCounterMode

from pointcmt_cli import discovery
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.models.classifier import Classifier

HERE = Path(__file__).resolve().parent
TARGETS = (0.925, 0.930)
STUDENTS = ("pointnet2", "pointnext")
RENDER = ("--rig", "orthogonal6", "--image-size", "128")
REHEARSAL = {"per_class": 4, "epochs": [8], "points": 128, "batch_size": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("speedrun"))
    parser.add_argument("--students", nargs="+", default=list(STUDENTS))
    parser.add_argument("--epochs", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--rehearse", action="store_true", help="few shapes and epochs, on a CPU")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "speedrun.json")
    options = parser.parse_args()
    rehearsal = options.rehearse or not torch.cuda.is_available()
    if rehearsal:
        print("rehearsal: few shapes and epochs; the accuracies mean nothing")
        vars(options).update(REHEARSAL)
    options.work.mkdir(parents=True, exist_ok=True)
    data = subset(options.data, options.per_class, options.work) if rehearsal else options.data
    device = ["--device", "cpu" if rehearsal else "cuda"]

    views, start = options.work / "views.h5", time.monotonic()
    _, render = pointcmt("render", data, "--out", views, *RENDER)
    seeds = list(range(options.seeds))
    teachers = train_teachers(views, seeds, options.work, device)
    arms = [
        Arm(f"{label} {epochs}", student, *_arm(label, epochs))
        for student in options.students
        for epochs in options.epochs
        for label in ("plain", "distilled")
    ]
    settings = ["--points", str(options.points), "--batch-size", str(options.batch_size)]
    settings += ["--lr", str(options.lr), *device]
    overhead = {each: start_up(each, options.work, settings) for each in options.students}
    runs = train_arms(arms, seeds, options.work, settings, jobs=1)
    for row in runs:
        row["arm"], _, epochs = row["arm"].partition(" ")
        row["epochs"] = int(epochs)
        row["seconds_of_command"] = row["seconds"] + overhead[row["student"]]
    lines = [
        {"epochs": epochs, **line}
        for epochs in options.epochs
        for line in summary([row for row in runs if row["epochs"] == epochs])
    ]
    stages = {
        "render": render,
        "train-teacher": spread([row["seconds"] for row in teachers]),
        "start-up and scoring of distill": overhead,
    }
    values = {
        "rehearsal": rehearsal,
        "settings": [*RENDER, *settings],
        "targets": list(TARGETS),
        "stages_seconds": stages,
        "to_target": [
            row
            for student in options.students
            for label in ("plain", "distilled")
            for row in to_targets(student, label, options.epochs, runs, stages)
        ],
        "steps": [steps(student, runs, options, device[1]) for student in options.students],
        "teacher": summary(teachers),
        "summary": lines,
        "runs": runs,
        "seconds_in_all": time.monotonic() - start,
    }
    write_record(options.out, values)
    for epochs in options.epochs:
        print(f"\n{epochs} epochs")
        show([line for line in lines if line["epochs"] == epochs])
    report(values)


def to_targets(
    student: str,
    label: str,
    schedules: Sequence[int],
    runs: Sequence[dict[str, Any]],
    stages: dict[str, Any],
) -> list[dict[str, Any]]:
    """For each target, the shortest schedule whose held-out mean reaches it; `epochs` None where none does."""
    found = []
    for target in TARGETS:
        row: dict[str, Any] = {"student": student, "arm": label, "target": target, "epochs": None}
        for epochs in sorted(schedules):
            wanted = (student, label, epochs)
            members = [r for r in runs if (r["student"], r["arm"], r["epochs"]) == wanted]
            held_out = statistics.mean(each["held_out"]["oa"] for each in members)
            if held_out < target:
                continue
            seconds = spread([each["seconds_of_command"] for each in members])
            teacher = stages["render"] + stages["train-teacher"]["mean"]
            row |= {
                "epochs": epochs,
                "held_out_oa": held_out,
                "test_oa": spread([each["test"]["oa"] for each in members]),
                "seconds": seconds,
                "seconds_with_teacher": seconds["mean"] + teacher,
            }
            break
        found.append(row)
    return found


def start_up(student: str, work: Path, settings: Sequence[str]) -> float:
    """Seconds of `distill` beside its epochs: import, reading, capture of the step, scores, writing."""
    out = work / f"start-up-{student}.pt"
    _, whole = pointcmt(
        "distill", "--student", student, "--objective", "none", "--features", work / "features-0.h5",
        "--epochs", "1", "--out", out, "--force", *settings,
    )  # fmt: skip
    return whole - checkpoint.load(out)["metrics"]["seconds"]


def steps(
    student: str, runs: Sequence[dict[str, Any]], options: Any, device: str
) -> dict[str, Any]:
    """Steps per second of the plain student, and the floor: its matrix products alone at this machine's best rate."""
    shapes = read_features(options.work / "features-0.h5").shapes.counts()["train"]
    full, rest = divmod(shapes, options.batch_size)
    per_epoch = full + (rest > 1)
    plain = [r for r in runs if r["student"] == student and r["arm"] == "plain"]
    products = operations(student, options.batch_size, options.points)
    rate = matrix_rate(device)
    return {
        "student": student,
        "steps_per_second": spread([per_epoch * r["epochs"] / r["seconds"] for r in plain]),
        "operations_per_step": products,
        "matrix_rate": rate,
        "floor_steps_per_second": rate / products,
    }


def operations(student: str, batch: int, points: int) -> int:
    """Floating-point operations of the matrix products of one forward and backward pass, as torch counts them."""
    model = Classifier(discovery.build("backbones", student, {}), 40, 512).double()
    model.eval()  # with gradients, and in float64: torch's counter sees every product
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(1, points, 3).double()).sum().backward()
    return batch * int(counter.get_total_flops())


def matrix_rate(device: str, size: int = 4096, repeats: int = 8) -> float:
    """Operations per second of square products: bf16 on CUDA, fp32 on a CPU (a quarter of the size); the best run."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    size = size if device == "cuda" else size // 4
    a = torch.rand(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        product = a @ a
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def report(values: dict[str, Any]) -> None:
    """What the headline is, in lines."""
    for row in values["to_target"]:
        name = f"{row['student']} ({row['arm']}) to {100 * row['target']:.1f} %"
        if row["epochs"] is None:
            print(f"{name}: no schedule reaches it on the held-out split")
            continue
        test = row["test_oa"]
        print(
            f"{name}: {row['epochs']} epochs, test {100 * test['mean']:.2f} ± {100 * test['std']:.2f}, "
            f"{row['seconds']['mean'] / 60:.1f} min, {row['seconds_with_teacher'] / 60:.1f} with the teacher"
        )
    for row in values["steps"]:
        print(
            f"{row['student']}: {row['steps_per_second']['mean']:.1f} steps/s, "
            f"matrix products alone would allow {row['floor_steps_per_second']:.1f}"
        )


def _arm(label: str, epochs: int) -> tuple[str, tuple[str, ...]]:
    objective, extra = ARMS[label]
    return objective, (*extra, "--epochs", str(epochs))


if __name__ == "__main__":
    main()
