"""`render --profile`: every stage has its seconds, from all processes; without it nothing is said."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pointcmt_cli.engine.rendering.profile import ORDER, START, Laps, summary
from render_command import command, environment
from toy_meshes import config, run, write_meshes


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return write_meshes(tmp_path / "meshes", 4)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_stage_of_every_process_counts(meshes: Path, workers: int) -> None:
    result = run(config(meshes, workers=workers, profile=True))
    profile: dict[str, Any] = result["profile"]
    alone = {"main process meanwhile"} if workers == 1 else set()
    assert list(profile["stages"]) == [stage for stage in ORDER if stage in profile["stages"]]
    assert set(profile["stages"]) >= set(ORDER) - alone
    assert profile["processes"] == workers
    assert profile["views"] == 12 * result["views"]
    spent = [stage["cpu_seconds"] for stage in profile["stages"].values()]
    assert min(spent) >= 0
    assert sum(spent) == pytest.approx(profile["cpu_seconds"])
    assert sum(stage["share"] for stage in profile["stages"].values()) == pytest.approx(1)
    assert profile["views_per_second"] == pytest.approx(profile["views"] / profile["seconds"])
    if workers == 1:
        elapsed = sum(stage["seconds"] for stage in profile["stages"].values())
        assert elapsed == pytest.approx(profile["seconds"], rel=0.05)


def test_it_is_left_out_where_nobody_asked_and_empty_where_nothing_was_drawn(meshes: Path) -> None:
    assert run(config(meshes))["profile"] is None
    profile = run(config(meshes, profile=True))["profile"]
    assert (profile["views"], profile["views_per_second"]) == (0, 0)
    assert "draw" not in profile["stages"]


def test_laps_add_up_by_stage_and_start_until_told_otherwise() -> None:
    laps = Laps()
    laps.starting = True
    laps.end("draw")
    laps.starting = False
    laps.end("draw")
    laps.add({"draw": (1.0, 2.0), "write": (0.5, 0.5)})
    laps.add({"draw": (1.0, 2.0)})
    stages = summary(laps, 10)["stages"]
    assert list(stages) == [START, "draw", "write"]
    assert stages["draw"]["cpu_seconds"] == pytest.approx(2, abs=0.5)
    assert stages["draw"]["seconds"] == pytest.approx(4, abs=0.5)
    assert laps.take() == {}


def test_the_command_shows_a_table(meshes: Path) -> None:
    typed = command(meshes, "--workers", "1", "--profile")
    shown = subprocess.run(typed, env=environment(), capture_output=True, text=True, check=True)
    for text in ("processes that drew: 1", "processor s", "share %", "read and parse", "draw"):
        assert text in shown.stdout, text
    assert "144 views in " in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("next: pointcmt train-teacher")
