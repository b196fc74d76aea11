"""Training in several processes, started by torchrun as a user starts it: the same curve, one reader, one voice."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from places import SUPPORT
from pointcmt_cli.commands.options import parse_options
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.student.ranks import own_device
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.errors import UsageError
from pointcmt_cli.records import Result
from processes import HANGS, Running, is_running, marked, running, wait_for
from toy_distill import write_toy_features

WATCH = """
import os
import h5py
opened = h5py.File.__init__
def watched(self, name, *given, **named):
    with open(os.environ["WATCH_H5"], "a") as log:
        log.write(f"{os.environ.get('RANK')} {os.path.basename(str(name))}\\n")
    opened(self, name, *given, **named)
h5py.File.__init__ = watched
"""
"""Imported by every process at its start: who opens which HDF5 file."""


def command(processes: int, *words: str) -> list[str]:
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m"]
    return [sys.executable, *(start if processes > 1 else ["-m"]), *words]


def environment(**more: str) -> dict[str, str]:
    places = [more.pop("first", ""), str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(each for each in places if each)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def run(processes: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    line = command(processes, *words)
    return subprocess.run(
        line, env=environment(**more), capture_output=True, text=True, check=False, timeout=HANGS
    )


def settings(work: Path, *more: str, student: str = "pointnet2") -> list[str]:
    options = ["--student-option", "centres=(24,8)"] if student == "pointnet2" else []
    words = ["pointcmt_cli", "distill", "--student", student, *options, "--points", "64"]
    return [*words, "--lr", "1e-4", "--work", str(work), *more]


def spoken(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Our error lines; torchrun has its own to say."""
    return [line for line in done.stderr.splitlines() if line.startswith("pointcmt: ")]


def curves(path: Path) -> dict[str, list[float]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or -1) for row in rows] for key in rows[0] if key != "seconds"}


def check_same_curve(found: Path, wanted: Path) -> None:
    one, other = curves(wanted), curves(found)
    assert other.keys() == one.keys()
    for key in one:
        assert other[key] == pytest.approx(one[key], rel=1e-4, abs=1e-4), key


def works(tmp_path: Path, *names: str) -> list[Path]:
    for name in names:
        (tmp_path / name).mkdir()
        write_toy_features(tmp_path / name / "features.h5", per_class=16)
    return [tmp_path / name for name in names]


def test_parts_of_a_batch_make_the_whole() -> None:
    networks = ["pointnet2,bias=False", "pointnet,transforms=True", "dgcnn", "pct", "rscnn"]
    done = run(3, "ranks_worker", *networks)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all alike\n"


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    one, two = works(tmp_path, "one", "two")
    config = DistillConfig(
        student="pointnet2",
        student_options=parse_options(["centres=(24,8)"]),
        objective="toy_networks:relations",
        work=one,
        points=64,
        epochs=2,
        batch_size=13,
        lr=1e-4,
    )
    result = list(distill(config))[-1]
    assert isinstance(result, Result)
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "opened"
    words = settings(two, "--objective", "toy_networks:relations", "--epochs", "2")
    words += ["--batch-size", "13"]
    done = run(2, *words, first=str(tmp_path), WATCH_H5=str(log))
    assert done.returncode == 0, done.stderr
    name = "pointnet2-relations"
    check_same_curve(two / f"{name}.metrics.csv", one / f"{name}.metrics.csv")
    opened = log.read_text().splitlines()
    assert "0 features.h5" in opened
    assert {line.split()[0] for line in opened} == {"0"}
    assert done.stdout.count(f"{name}.pt") == 2  # the file, and what comes next
    assert done.stderr.count("learns from 28 shapes") == 1
    found, wanted = (checkpoint.load(each / f"{name}.pt") for each in (two, one))
    assert list(found["state_dict"]) == list(wanted["state_dict"])
    assert found["provenance"] == wanted["provenance"]
    assert found["metrics"]["test"] == wanted["metrics"]["test"]
    checkpoint.rebuild(found, two)
    assert sorted(path.name for path in two.iterdir()) == sorted(
        path.name for path in one.iterdir()
    )
    again = run(2, *words)
    assert again.returncode == 0, again.stderr
    assert "is up to date (--force trains it again)" in again.stderr


@pytest.mark.slow
def test_uneven_parts_and_fewer_rows_than_processes(tmp_path: Path) -> None:
    """Of 28 shapes 5, 4, 4 a batch, and 2 at the end; the generator is made by the first process for all."""
    one, three = works(tmp_path, "one", "three")
    more = ["--objective", "pointcmt", "--generator-epochs", "1", "--generator-points", "64"]
    more += ["--epochs", "2", "--batch-size", "13", "--select", "held-out"]
    for processes, work in ((1, one), (3, three)):
        done = run(processes, *settings(work, *more))
        assert done.returncode == 0, done.stderr
    check_same_curve(
        three / "pointnet2-pointcmt.metrics.csv", one / "pointnet2-pointcmt.metrics.csv"
    )
    assert (three / "generator.metrics.csv").read_bytes() == (
        one / "generator.metrics.csv"
    ).read_bytes()


class Job:
    """torchrun in the background, and its processes by rank."""

    def __init__(self, work: Path, torchrun: Running) -> None:
        self.work, self.torchrun = work, torchrun
        self.begun = time.time()

    def started(self) -> dict[int, int]:
        """Process numbers by rank, when this job has made an epoch safe."""
        self.torchrun.wait_for(
            lambda: any(path.stat().st_mtime > self.begun for path in self.work.glob(".*.resume"))
        )
        started = marked().items()
        return {
            int(each.variables["RANK"]): number
            for number, each in started
            if each.parent == self.torchrun.pid
        }

    def lines(self) -> list[str]:
        """What pointcmt says at its end."""
        text = self.torchrun.errors.splitlines()
        return [line for line in text if line.startswith("pointcmt: ")]


LOST = r"pointcmt: .*(has died|died).*; run the same command again: it goes on after epoch \d+"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_process_ends_the_job_with_one_line_and_the_command_resumes(
    tmp_path: Path,
) -> None:
    one, two = works(tmp_path, "one", "two")
    more = ["--objective", "none", "--epochs", "120", "--batch-size", "12"]
    long = settings(two, *more, student="toy_networks:tiny")
    paced = environment(TOY_PAUSE="0.05")  # so that the job is met in the middle
    with running(command(2, *long), tmp_path / "first", env=paced) as torchrun:
        job = Job(two, torchrun)
        os.kill(job.started()[1], signal.SIGKILL)
        assert torchrun.wait() == 1
        assert len(job.lines()) == 1, torchrun.errors
        early = job.lines()[0].replace("the last saved epoch, if there is one", "epoch 1")
        assert re.fullmatch(LOST, early)  # it may have been stopped before it knew of the epoch
    assert not (two / "tiny-none.pt").exists()
    with running(command(2, *long), tmp_path / "second", env=paced) as torchrun:
        job = Job(two, torchrun)
        ranks = job.started()
        torchrun.process.kill()  # without its help, and the other one
        torchrun.process.wait()
        os.kill(ranks[0], signal.SIGKILL)
        wait_for(lambda: not is_running(ranks[1]))
        assert len(job.lines()) == 1, torchrun.errors
        assert re.fullmatch(LOST, job.lines()[0])
    done = run(2, *long)
    assert done.returncode == 0, done.stderr
    assert re.search(r"going on after epoch \d+ of 120", done.stderr)
    whole = run(2, *settings(one, *more, student="toy_networks:tiny"))
    assert whole.returncode == 0, whole.stderr
    assert curves(two / "tiny-none.metrics.csv") == curves(one / "tiny-none.metrics.csv")
    states = [checkpoint.load(each / "tiny-none.pt")["state_dict"] for each in (one, two)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_what_all_find_wrong_is_said_once(tmp_path: Path) -> None:
    for words, status, line in (
        (["pointcmt_cli", "doctor"], 2, "pointcmt: doctor works in one process: start it without"),
        (settings(tmp_path), 1, f"pointcmt: {tmp_path}/features.h5: no such file"),
    ):
        done = run(2, *words)
        assert done.returncode == 1
        assert f"exitcode  : {status} " in done.stderr
        assert len(spoken(done)) == 1, done.stderr
        assert spoken(done)[0].startswith(line)


def test_more_processes_than_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1", "RANK": "1"}
    for name, value in {**told, "TORCHELASTIC_RUN_ID": "toy"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="4 processes on a node of 2 CUDA devices: torchrun --np"):
        next(iter(distill(DistillConfig(device="cuda"))))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert own_device("cuda") == torch.device("cuda", 1)
    assert own_device("cpu") == torch.device("cpu")
