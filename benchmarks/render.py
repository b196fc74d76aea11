"""Views per CPU-second: the raster renderer and every peer that runs here, in turn, on the same meshes and cameras.

usage: python benchmarks/render.py [--meshes FOLDER] [--tree FOLDER] [--rounds 5] [--pyopengl FOLDER]

Then the whole of `pointcmt render`, with one worker and with one per core in turn: on 2,000 copies of the same meshes,
from which all of ModelNet40 is projected, and on `--tree`, a mesh tree of your own.

pyrender pins PyOpenGL 3.1.0, whose OSMesa lacks a function that pyrender calls. To measure it without touching the
environment: `pip install --no-deps --target FOLDER PyOpenGL==3.1.10`, and name that folder. CPU time is that of the
whole process, so a GL driver's threads count. The peers draw with a light at the camera; one that does not start is
recorded with its reason.
"""

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import ROOT, spread, write_record

from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file
from render_command import copies, measure, projected

HERE = Path(__file__).resolve().parent
SHARED = ROOT.parent / "shared" / "data" / "modelnet_meshes"
COPIES = (50, 2000)
"""Shapes of the whole command's runs, few and many: memory must not grow with their number."""
PLATFORMS = {"OSMesa": "osmesa", "EGL": "egl"}
RENDERERS = [
    "raster",
    "pyrender, OSMesa",
    "pyrender, EGL",
    "pyrender plug-in, EGL",
    "moderngl, EGL",
    "points",
]


class Worker:
    """A renderer in its own process; `failure` says why it does not run, `gl` is PyOpenGL's version."""

    def __init__(
        self, name: str, size: int, rig: str, meshes: list[Path], pyopengl: str | None
    ) -> None:
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        environment["PYOPENGL_PLATFORM"] = PLATFORMS.get(name.rpartition(" ")[2], "egl")
        if pyopengl and "OSMesa" in name:
            environment["PYTHONPATH"] = pyopengl
        self.views = 0
        self.rounds: list[dict[str, float]] = []
        self.failure: str | None = None
        words = [sys.executable, HERE / "render_backends.py", name, str(size), rig, *meshes]
        with tempfile.TemporaryFile("w+") as errors:
            self.process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            ready = self._answer()
            self.gl = ready and ready["gl"]
            if ready is None:
                self.process.wait()
                errors.seek(0)
                self.failure = (errors.read().strip().splitlines() or ["it ended without a word"])[
                    -1
                ]

    def ask(self, word: str) -> dict[str, float]:
        """Its answer to `draw` (one round over all meshes) or `picture` (their mean gray)."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if answer is None:
            raise SystemExit("a renderer ended in the middle of a round")
        return answer

    def _answer(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # a driver's chatter
                return dict(json.loads(line))
        return None


def main() -> None:
    """Start them all, measure, record, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshes", type=Path, default=SHARED)
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rig", default="dodecahedron20")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pyopengl")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "render.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        meshes = sorted(options.meshes.rglob("*.off"))
        generated = not meshes
        if generated:
            write_demo_meshes(Path(folder), 1, 0, seed=0)
            meshes = sorted(Path(folder).rglob("*.off"))
        faces = [len(read_file(path).faces) for path in meshes]  # type: ignore[arg-type]
        workers = {
            name: Worker(name, options.size, options.rig, meshes, options.pyopengl)
            for name in RENDERERS
        }
        draw_in_turn(workers, options.rounds)
        commands = whole_commands(options, meshes, Path(folder))
    views = len(meshes) * int(options.rig.lstrip("abcdefghijklmnopqrstuvwxyz"))
    setting = {
        "meshes": len(meshes),
        "generated": generated,
        "mean_faces": float(np.mean(faces)),
        "views_per_round": views,
        "size": options.size,
        "rig": options.rig,
        "rounds": options.rounds,
    }
    rows = [row(name, worker, workers["raster"], views) for name, worker in workers.items()]
    projection = projected(commands[f"{COPIES[1]} copies"])
    values = {"renderers": rows, "whole_command": commands, "all_of_modelnet40": projection}
    write_record(options.out, {"setting": setting, **values}, ["PyOpenGL", "moderngl"])
    show(setting, rows)
    show_commands(commands, projection)


def whole_commands(
    options: argparse.Namespace, meshes: list[Path], folder: Path
) -> dict[str, dict[str, Any]]:
    """The command on copies of the meshes, few and many, and on a tree of the user's, if there is one."""
    cores = sorted({1, os.cpu_count() or 1})
    few, many = (copies(meshes, number, folder / f"{number} copies") for number in COPIES)
    run = functools.partial(measure, size=options.size, rig=options.rig)
    commands = {
        few.name: run(few, cores[:1], rounds=1),
        many.name: run(many, cores, rounds=options.rounds),
    }
    if options.tree:
        commands[options.tree.name] = run(options.tree, cores, rounds=options.rounds)
    return commands


def draw_in_turn(workers: dict[str, Worker], rounds: int) -> None:
    """All in turn, again and again, so that a busy moment of the machine hits everyone alike."""
    for number in range(rounds):
        for name, worker in workers.items():
            if worker.failure is None:
                worker.rounds.append(worker.ask("draw"))
                print(
                    f"round {number + 1}: {name}: {worker.rounds[-1]['cpu_seconds']:.2f} CPU-s",
                    flush=True,
                )


def row(name: str, worker: Worker, ours: Worker, views: int) -> dict[str, Any]:
    """One renderer's figures; the ratio is of raster to it, round by round."""
    if worker.failure is not None:
        return {"renderer": name, "failure": worker.failure}
    pairs = zip(worker.rounds, ours.rounds, strict=True)
    return {
        "renderer": name,
        "views_per_cpu_second": spread([views / each["cpu_seconds"] for each in worker.rounds]),
        "views_per_wall_second": spread([views / each["wall_seconds"] for each in worker.rounds]),
        "raster_is_faster_by": spread([it["cpu_seconds"] / us["cpu_seconds"] for it, us in pairs]),
        "pyopengl": worker.gl,
        "peak_mib": worker.rounds[-1]["peak_mib"],
        "mean_gray": worker.ask("picture")["gray"],
    }


def show(setting: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The record as lines to read."""
    print(", ".join(f"{key} {value}" for key, value in setting.items()))
    for each in rows:
        if "failure" in each:
            print(f"{each['renderer']:24} {each['failure']}")
            continue
        speed, ratio = each["views_per_cpu_second"], each["raster_is_faster_by"]
        print(
            f"{each['renderer']:24} {speed['median']:8.1f} ± {speed['std']:.1f} views / CPU-s, "
            f"raster is {ratio['median']:.1f} times as fast, {each['peak_mib']:.0f} MiB"
        )


def show_commands(commands: dict[str, dict[str, Any]], projection: list[dict[str, Any]]) -> None:
    """Speed of the whole command, where its time goes, and what it means for ModelNet40."""
    for name, command in commands.items():
        for each in command["workers"]:
            print(
                f"{name}: {command['views']} views, {each['workers']} workers: "
                f"{each['views_per_second']['median']:.0f} views / s, "
                f"{each['views_per_cpu_second']['median']:.0f} / CPU-s, "
                f"{each['peak_mib_of_the_main_process']:.0f} MiB"
            )
            shares = each["share_of_processor"].items()
            print("   ", ", ".join(f"{stage} {share:.0%}" for stage, share in shares))
        if len(command["workers"]) == 1:
            continue
        for what, ratio in command["more_workers_are_faster_by"].items():
            print(f"    more workers, {what}: {ratio['median']:.2f} times as fast")
    for each in projection:
        print(
            f"ModelNet40, {each['meshes']} meshes, {each['views']} views, {each['workers']} workers: "
            f"{each['minutes']:.1f} minutes, {each['gigabytes']:.2f} GB"
        )


if __name__ == "__main__":
    main()
