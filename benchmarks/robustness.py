"""Plain and distilled students under corruption, with fewer points and turned: means over seeds, paired differences.

usage: python benchmarks/robustness.py WORK [--students pointnet pointnet2] [--out results/robustness.json]

WORK is the folder of `modelnet40.py` (or `real_meshes.py`), whose students are scored here on the test split by
`pointcmt evaluate --corrupt all`, all of them in one command: nothing is trained, and nothing is chosen.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline import pointcmt
from record import write_record

HERE = Path(__file__).resolve().parent
ARMS = ("plain", "distilled")
MEASURES = ("mce", "rmce")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--students", nargs="+", default=["pointnet", "pointnet2"])
    parser.add_argument("--seed", type=int, default=0, help="of the corruptions")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "robustness.json")
    options = parser.parse_args()
    work: Path = options.work
    checkpoints = [
        path
        for student in options.students
        for arm in ARMS
        for path in sorted(work.glob(f"{student}-{arm}-*.pt"))
    ]
    if not checkpoints:
        raise SystemExit(f"{work} has no students: run benchmarks/modelnet40.py --work {work}")
    text, seconds = pointcmt(
        "evaluate", *checkpoints, "--data", work / "views.h5", "--corrupt", "all",
        "--seed", str(options.seed), "--json",
    )  # fmt: skip
    document = json.loads(text)
    runs = [
        {key: run[key] for key in ("name", "options", "objective", "seed", "points", "robustness")}
        for run in document["runs"]
    ]
    data = {key: document["data"][key] for key in ("layout", "variant", "counts")}
    values = {
        "data": data,
        "protocol": document["protocol"],
        "seconds": seconds,
        "groups": document["groups"],
        "runs": runs,
    }
    write_record(options.out, values)
    show(document["groups"])


def show(groups: list[dict[str, Any]]) -> None:
    """Two Markdown tables: errors under corruption; accuracy by corruption, number of points and rotation."""
    print("| student | seeds | clean OA | mCE | RmCE | mCE less plain | RmCE less plain |")
    print("|---|---|---|---|---|---|---|")
    for group in groups:
        found = group["robustness"]["modelnet-c"]
        beside = group.get("against_plain", {}).get("robustness", {}).get("modelnet-c")
        cells = [_percent(found["clean"]), *(_figure(found[key]) for key in MEASURES)]
        cells += [_figure(beside[key], "+") if beside else "" for key in MEASURES]
        print("|", " | ".join([group["name"], str(group["n"]), *cells]), "|")
    print()
    names = [group["name"] for group in groups]
    print("|", " | ".join(["OA %", *names]), "|")
    print("|" + "---|" * (len(names) + 1))
    parts = [group["robustness"] for group in groups]
    for title, of in (
        ("", lambda part: part["modelnet-c"]["corruptions"]),
        ("points ", lambda part: part["points"]),
        ("rotation ", lambda part: part["rotations"]),
    ):
        for key in of(parts[0]):
            print("|", " | ".join([title + key, *(_percent(of(each)[key]) for each in parts)]), "|")


def _percent(value: dict[str, float | None]) -> str:
    return _figure({key: each and 100 * each for key, each in value.items()}, digits=1)


def _figure(value: dict[str, float | None], sign: str = "", digits: int = 3) -> str:
    """One seed has no spread."""
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:{sign}.{digits}f}{spread}"


if __name__ == "__main__":
    main()
