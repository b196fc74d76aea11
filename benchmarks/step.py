"""A training step on a CPU, forward and backward: ours, the straightforward form, and other people's code, in turn.

usage: python benchmarks/step.py [--yanx27 FOLDER] [--installed FOLDER] [--rounds 3] [--threads 2]
       [--only NETWORK] [--batch 8] [--note LINE]

The first folder is a checkout of yanx27/Pointnet_Pointnet2_pytorch, the second what
`pip install --no-deps --target FOLDER openpoints torch-pointcloud` (and what they import) has made; what is not there,
or does not run on a CPU, is left out with a line. Each contestant is a process of its own, as the allocator's settings
are a process's, and takes a step when it is told to. "conv2d" is the straightforward form on our geometry, with the
system's allocator. Where two do not fit into memory beside each other, ours meets them one by one; what does not fit at
all is left out. Interrupted, the same line goes on with the sections that are missing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import ROOT, spread, write_record

HERE = Path(__file__).resolve().parent
OURS = "ours"
SECTIONS: list[tuple[str, int, list[str]]] = [
    (
        "PointNet++ MSG",
        8,
        [
            "ours, default allocator",
            "conv2d",
            "conv2d, our allocator",
            "yanx27",
            "torch-pointcloud",
        ],
    ),
    ("PointNet++ SSG", 8, ["conv2d", "yanx27", "openpoints", "torch-pointcloud"]),
    ("DGCNN", 8, ["conv2d", "torch-pointcloud"]),
    ("PointNeXt-S", 8, ["conv2d", "openpoints"]),
    ("PointNet++ MSG", 32, ["conv2d", "yanx27"]),
    ("DGCNN", 32, ["conv2d"]),
]
"""Network, batch, and whom ours meets; the small batches first, for they tell how much memory the large ones need."""
SPARE = 1.5
"""GiB of memory that nobody takes."""


class Worker:
    """One contestant's process."""

    def __init__(self, name: str, network: str, batch: int, options: argparse.Namespace) -> None:
        words = [sys.executable, str(HERE / "step.py"), "--worker", name, network, str(batch)]
        words += ["--points", str(options.points), "--threads", str(options.threads)]
        for folder in ("yanx27", "installed"):
            if getattr(options, folder):
                words += [f"--{folder}", str(getattr(options, folder))]
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, text=True, env=environment, bufsize=1
        )

    def step(self) -> dict[str, Any]:
        """Wall and processor's seconds, and the peak so far in GiB; or `error`, one line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print("step", file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "its process ended"}
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else {"error": "its process ended"}

    def close(self) -> None:
        """End the process, and wait until its memory is free."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yanx27", type=Path, help="a checkout of the port")
    parser.add_argument("--installed", type=Path, help="a folder of installed packages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--points", type=int, default=1024)
    networks = list(dict.fromkeys(network for network, _, _ in SECTIONS))
    parser.add_argument("--only", choices=networks, help="one network")
    parser.add_argument("--batch", type=int, help="one size of batches")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "step.json")
    parser.add_argument("--note", help="a line for the record")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    setting: dict[str, Any] = {
        name: getattr(options, name) for name in ("points", "rounds", "threads")
    }
    setting["code"] = code()
    sections = kept(options.out, setting)
    machine = measured_limits(options.threads)
    for network, batch, names in SECTIONS:
        known = any((each["network"], each["batch"]) == (network, batch) for each in sections)
        if known or options.only not in (None, network) or options.batch not in (None, batch):
            continue
        print(f"\n{network}, batch {batch}", flush=True)
        sections.append(measure(network, batch, names, options, sections))
        sections[-1]["limits"] = against_limits(machine, sections[-1], options.points)
        values = {
            "note": options.note,
            "setting": setting,
            "machine": machine,
            "sections": sections,
        }
        write_record(options.out, values, ["openpoints", "torch-pointcloud"])
        show(sections[-1])


def kept(path: Path, setting: dict[str, Any]) -> list[dict[str, Any]]:
    """Sections that an interrupted run of the same code and setting has left; a whole record is made anew."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    same = found.get("setting") == setting
    sections: list[dict[str, Any]] = found["sections"] if same else []
    return sections if len(sections) < len(SECTIONS) else []


def code() -> list[str]:
    """git's names of the code that is measured, as committed."""
    words = ["git", "rev-parse", "HEAD:pointcmt_cli/ops", "HEAD:plugins/pointcmt_backbones"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.split()


def measured_limits(threads: int) -> dict[str, Any]:
    """Rates of one core."""
    from limits import Machine

    return {"threads": threads, **vars(Machine.measure())}


def against_limits(
    machine: dict[str, Any], section: dict[str, Any], points: int
) -> dict[str, float] | None:
    """Our work and floor; None for a network whose work nobody has counted."""
    from limits import STEPS, Machine
    from step_peers import NETWORKS

    from pointcmt_cli import discovery

    name, values = NETWORKS[section["network"]]
    if name not in STEPS:
        return None
    rates = Machine(**{key: value for key, value in machine.items() if key != "threads"})
    todo = STEPS[name](discovery.build("backbones", name, values), section["batch"], points)
    return rates.compare(todo, section["contestants"][OURS]["cpu_seconds"]["median"])


def measure(
    network: str,
    batch: int,
    names: list[str],
    options: argparse.Namespace,
    before: list[dict[str, Any]],
) -> dict[str, Any]:
    """All of a section, in groups that fit into memory, each with ours."""
    left_out: dict[str, str] = {}
    needs = {name: expected(network, batch, name, before) for name in [OURS, *names]}
    groups: list[list[str]] = []
    for name in names:
        reason = missing(name, options)
        room = available() - SPARE - needs[OURS]
        if not reason and needs[name] > room:
            reason = f"needs about {needs[name]:.0f} GiB, {room:.0f} are free"
        if reason:
            left_out[name] = reason
        elif groups and sum(needs[each] for each in groups[-1]) + needs[name] < room:
            groups[-1].append(name)
        else:
            groups.append([name])
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in [OURS, *names]}
    versus: dict[str, list[tuple[float, float]]] = {}
    for group in groups or [[]]:
        take_turns(network, batch, group, options, steps, versus, left_out)
    for name, reason in left_out.items():
        print(f"  {name} is left out: {reason}", flush=True)
    return {
        "network": network,
        "batch": batch,
        "contestants": {name: row(found) for name, found in steps.items() if found},
        "ours_is_faster_by": {
            name: {
                "wall": spread([wall for wall, _ in found]),
                "cpu": spread([cpu for _, cpu in found]),
                "memory": peak(steps[name]) / peak(steps[OURS]),
            }
            for name, found in versus.items()
        },
        "left_out": left_out,
    }


def take_turns(
    network: str,
    batch: int,
    group: list[str],
    options: argparse.Namespace,
    steps: dict[str, list[dict[str, float]]],
    versus: dict[str, list[tuple[float, float]]],
    left_out: dict[str, str],
) -> None:
    """Steps of ours and of a group, round by round; the first round warms up."""
    workers = {name: Worker(name, network, batch, options) for name in [OURS, *group]}
    try:
        for turn in range(options.rounds + 1):
            taken: dict[str, dict[str, Any]] = {}
            for name, worker in list(workers.items()):
                taken[name] = worker.step()
                if "error" in taken[name]:
                    left_out[name] = taken.pop(name)["error"]
                    workers.pop(name).close()
            if OURS not in taken:
                raise SystemExit(f"ours: {left_out[OURS]}")
            for name, found in taken.items() if turn else ():
                steps[name].append(found)
                if name != OURS:
                    ratios = [found[key] / taken[OURS][key] for key in ("wall", "cpu")]
                    versus.setdefault(name, []).append((ratios[0], ratios[1]))
            line = ", ".join(f"{name} {found['wall']:.2f}" for name, found in taken.items())
            print(f"  {'round ' + str(turn) if turn else 'warm-up'}, seconds: {line}", flush=True)
    finally:
        for worker in workers.values():
            worker.close()


def row(found: list[dict[str, float]]) -> dict[str, Any]:
    """Of one contestant."""
    return {
        "seconds": spread([each["wall"] for each in found]),
        "cpu_seconds": spread([each["cpu"] for each in found]),
        "peak_gib": peak(found),
    }


def peak(found: list[dict[str, float]]) -> float:
    return max(each["peak"] for each in found)


def missing(name: str, options: argparse.Namespace) -> str:
    """Why a contestant cannot start; empty if it can."""
    if name == "yanx27" and not (options.yanx27 and (options.yanx27 / "models").is_dir()):
        return "--yanx27 names a checkout of yanx27/Pointnet_Pointnet2_pytorch"
    if name in ("openpoints", "torch-pointcloud") and not (
        options.installed and (options.installed / name.replace("-", "_")).is_dir()
    ):
        return "--installed names a folder into which pip has installed it"
    return ""


def expected(network: str, batch: int, name: str, before: list[dict[str, Any]]) -> float:
    """GiB, in proportion to a smaller batch of the same; a little where nobody knows."""
    for each in before:
        if each["network"] == network and name in each["contestants"]:
            return float(each["contestants"][name]["peak_gib"] * batch / each["batch"])
    return 1.0


def available() -> float:
    """GiB of memory that are free now."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 2**20
    raise SystemExit("/proc/meminfo does not say how much memory is available")


def show(section: dict[str, Any]) -> None:
    """The section's table."""
    for name, values in section["contestants"].items():
        times = section["ours_is_faster_by"].get(name)
        ratios = f"{times['wall']['median']:6.1f} x{times['cpu']['median']:6.1f} x" if times else ""
        print(
            f"  {name:24}{values['seconds']['median']:8.2f} s{values['cpu_seconds']['median']:8.2f}"
            f" s of processors{values['peak_gib']:6.1f} GiB {ratios}"
        )
    if section["limits"]:
        from limits import show as line

        print(f"  {line('limits', section['limits'])}", flush=True)


def work(options: argparse.Namespace) -> None:
    """The worker: a step for every line that comes in, its result as a line of JSON."""
    from step_peers import CONTESTANTS

    name, network, batch = options.worker
    contestant = CONTESTANTS[name]
    if contestant.tuned:
        from pointcmt_cli import allocator

        allocator.tune()
    import resource

    import torch

    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what other people's code prints is no answer
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    folder = options.yanx27 if name == "yanx27" else options.installed
    try:
        forward = contestant.builds(network, folder and folder.resolve())
        points = torch.randn(int(batch), options.points, 3)
        points /= points.norm(dim=-1).amax(dim=1)[:, None, None]
        for _ in sys.stdin:
            began, busy = time.perf_counter(), time.process_time()
            features = forward(points)
            (features.square().sum() / features.numel()).backward()
            found: dict[str, Any] = {
                "wall": time.perf_counter() - began,
                "cpu": time.process_time() - busy,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
            print(json.dumps(found), file=answer, flush=True)
    except Exception as error:  # whatever other people's code raises
        text = " ".join(str(error).split())[:200]
        print(json.dumps({"error": f"{type(error).__name__}: {text}"}), file=answer, flush=True)


if __name__ == "__main__":
    main()
