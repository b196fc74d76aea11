"""What the end-to-end benchmarks share: run the commands as a user types them, collect scores over seeds, tabulate.

Every run is one `pointcmt` command in a process of its own; scores are read back with `evaluate --json`. Interrupted,
the same line goes on: finished checkpoints are up to date, the one in flight resumes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import spread

COMMAND = [sys.executable, "-m", "pointcmt_cli"]


@dataclass(frozen=True)
class Arm:
    """One way to train a student."""

    label: str
    student: str
    objective: str
    options: tuple[str, ...] = ()
    """More options of `pointcmt distill`."""

    def out(self, work: Path, seed: int) -> Path:
        """Its checkpoint."""
        return work / f"{self.student}-{self.label.replace(' ', '-')}-{seed}.pt"


def pointcmt(*words: str | Path, threads: int | None = None) -> tuple[str, float]:
    """Run one command; returns its standard output and its wall-clock seconds; ends the benchmark if it fails."""
    environment = dict(os.environ)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    line = [*COMMAND, *map(str, words)]
    print("$ pointcmt", *words, file=sys.stderr, flush=True)
    start = time.monotonic()
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pointcmt {words[0]} failed:\n{done.stderr[-3000:]}")
    return done.stdout, time.monotonic() - start


def scores(checkpoint: Path, data: Path) -> dict[str, Any]:
    """OA and mAcc of the held-out and the test split, by `evaluate --json`."""
    text, _ = pointcmt("evaluate", checkpoint, "--data", data, "--json")
    found = json.loads(text)["runs"][0]["scores"]
    return {
        split: {key: found[split]["single"][key] for key in ("oa", "macc")}
        for split in ("held_out", "test")
        if split in found
    }


def train_arms(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    work: Path,
    settings: Sequence[str],
    jobs: int,
) -> list[dict[str, Any]]:
    """Every arm with every seed, `jobs` processes at once sharing the cores; one row each."""
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def one(job: tuple[int, Arm]) -> dict[str, Any]:
        seed, arm = job
        out = arm.out(work, seed)
        features = work / f"features-{seed}.h5"
        pointcmt(
            "distill", "--student", arm.student, "--objective", arm.objective, *arm.options,
            "--features", features, "--generator", work / f"generator-{seed}-{arm.student}.pt",
            "--out", out, "--seed", str(seed), *settings, threads=threads,
        )  # fmt: skip
        trained = out.with_suffix(".metrics.csv").read_text().splitlines()
        column = trained[0].split(",").index("seconds")
        seconds = sum(float(line.split(",")[column]) for line in trained[1:])
        row = {"student": arm.student, "arm": arm.label, "seed": seed, "seconds": seconds}
        row |= scores(out, features)
        print(json.dumps(row), file=sys.stderr, flush=True)
        return row

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, [(seed, arm) for seed in seeds for arm in arms]))


def train_teachers(
    views: Path, seeds: Sequence[int], work: Path, settings: Sequence[str]
) -> list[dict[str, Any]]:
    """A teacher per seed, in turn (they share the image features)."""
    rows = []
    for seed in seeds:
        out = work / f"teacher-{seed}.pt"
        _, seconds = pointcmt(
            "train-teacher", "--views", views, "--out", out,
            "--features", work / f"features-{seed}.h5", "--seed", str(seed), *settings,
        )  # fmt: skip
        rows.append({"student": "teacher", "arm": "teacher", "seed": seed, "seconds": seconds})
        rows[-1] |= scores(out, views)
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every student and arm; paired differences to the plain student."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["student"], row["arm"]), []).append(row)
    found = []
    for (student, arm), members in groups.items():
        line: dict[str, Any] = {"student": student, "arm": arm, "n": len(members)}
        for split in ("held_out", "test"):
            for key in ("oa", "macc"):
                line[f"{split}_{key}"] = spread([row[split][key] for row in members])
        plain = {row["seed"]: row for row in groups.get((student, "plain"), [])}
        pairs = [
            row["test"]["oa"] - plain[row["seed"]]["test"]["oa"]
            for row in members
            if row["seed"] in plain
        ]
        if pairs and arm != "plain":
            line["test_oa_minus_plain"] = spread(pairs)
        line["seconds"] = spread([row["seconds"] for row in members])
        found.append(line)
    return found


def show(lines: Sequence[dict[str, Any]]) -> None:
    """The summary as a Markdown table on standard output."""
    print("| student | trained as | n | held-out OA | test OA | test mAcc | test OA minus plain |")
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        cells = [_percent(line[key]) for key in ("held_out_oa", "test_oa", "test_macc")]
        gain = _percent(line["test_oa_minus_plain"]) if "test_oa_minus_plain" in line else ""
        print("|", " | ".join([line["student"], line["arm"], str(line["n"]), *cells, gain]), "|")


def _percent(value: dict[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['std']:.1f}"
