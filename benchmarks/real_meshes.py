"""Real meshes through all five commands: time per stage, teacher, plain and distilled students, mean ± std over seeds.

usage: python benchmarks/real_meshes.py [--data FOLDER_OR_TAR] [--work DIR] [--seeds 3]

The data is a mesh tree CLASS/{train,test}/NAME.off, or a tar of one. The preset fits a 2-core CPU in under 2 hours;
what it leaves out is in the result under `preset`. Everything was chosen on the held-out split;
test is scored once per run.
"""

import argparse
import tarfile
import time
from pathlib import Path

from pipeline import Arm, pointcmt, show, summary, train_arms, train_teachers
from record import write_record

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "meshes36.tar.xz"
RENDER = ["--rig", "mvcnn12", "--image-size", "128"]
TEACHER: list[str] = []
BOTH = ["--points", "512", "--precision", "bf16"]
STUDENTS = {
    "pointnet": [*BOTH, "--epochs", "100"],
    "pointnet2": [*BOTH, "--epochs", "50", "--student-option", "centres=128,32"],
}
"""Settings per student, the same for every arm."""
GENERATOR = ("--generator-points", "256", "--generator-epochs", "20")
ARMS = {
    "plain": ("none", ()),
    "distilled": ("contrast", ()),
    "pointcmt balanced": ("pointcmt", GENERATOR),
    "pointcmt reference": ("pointcmt", (*GENERATOR, "--objective-option", "recipe=reference")),
}
ARMS_OF = {"pointnet": tuple(ARMS), "pointnet2": ("plain", "distilled")}
LEFT_OUT = (
    "12 views of 128 px instead of 20 of 224; 512 points instead of 1,024; a frozen ImageNet network with a trained "
    "head instead of MVCNN trained end to end; PointNet++ SSG with 128 and 32 centres instead of MSG with 512 and 128; "
    "100 and 50 epochs instead of 1,000; bf16 matrix products; a generator of 256 points and 20 epochs instead of "
    "1,024 and 50; PointCMT's own terms for PointNet only"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("real-meshes"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="students trained at once")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "real_meshes.json")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    meshes = unpack(options.data, work)
    seconds = {}
    views = work / "views.h5"
    _, seconds["render"] = pointcmt("render", meshes, "--out", views, *RENDER)
    seeds = list(range(options.seeds))
    rows = train_teachers(views, seeds, work, TEACHER)
    seconds["train-teacher, first seed"] = rows[0]["seconds"]
    for student in options.students:
        arms = [Arm(label, student, *ARMS[label]) for label in ARMS_OF[student]]
        rows += train_arms(arms, seeds, work, STUDENTS[student], options.jobs)
        checkpoint = Arm("distilled", student, "").out(work, 0)
        data = work / "features-0.h5"
        _, seconds[f"evaluate {student}"] = pointcmt(
            "evaluate", checkpoint, "--data", data, "--json"
        )
        _, seconds[f"export {student}"] = pointcmt("export", checkpoint, "--data", data)
    lines = summary(rows)
    write_record(
        options.out,
        {
            "preset": {"render": RENDER, "students": STUDENTS, "left_out": LEFT_OUT},
            "seconds": seconds | {"whole benchmark": time.monotonic() - start},
            "summary": lines,
            "runs": rows,
        },
    )
    show(lines)


def unpack(data: Path, work: Path) -> Path:
    """The folder of classes: `data` itself, or what the tar holds."""
    if data.is_dir():
        return data
    with tarfile.open(data) as archive:
        top = archive.getnames()[0].split("/")[0]
        if not (work / top).is_dir():
            archive.extractall(work, filter="data")
    return work / top


if __name__ == "__main__":
    main()
