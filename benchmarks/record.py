"""What every result carries: command, commit, machine, versions. In: a benchmark's values; out: a JSON file."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pointcmt_cli.files import atomic, plain

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["pointcmt", "torch", "numpy", "numba", "scipy", "h5py", "trimesh", "pyrender"]


def write_record(path: Path, values: Mapping[str, Any], packages: Sequence[str] = ()) -> None:
    """Write the values and how they came about, whole or not at all; `packages` are named beside the usual ones."""
    known = {"command": command(), "commit": commit(), "date": datetime.now(UTC).date().isoformat()}
    known |= {"hardware": hardware(), "versions": versions([*PACKAGES, *packages])}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(plain({**known, **values}), indent=2) + "\n")


def spread(values: Sequence[float]) -> dict[str, float]:
    """n, mean, sample standard deviation (0 for one value), median."""
    return {
        "n": len(values),
        "mean": statistics.mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "median": statistics.median(values),
    }


def command() -> str:
    """The line that was typed; of a file outside the current folder only the name."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def commit() -> str:
    """The checked-out commit, marked when a tracked file of the package differs from it."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "pointcmt_cli", "plugins")
    except (OSError, subprocess.CalledProcessError):
        return "no repository"
    return name + (" with local changes" if changed else "")


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, GPU if torch is loaded and sees one."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gib"] = round(
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1
        )
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*words: str) -> str:
    answer = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return answer.stdout.strip()
