"""Several seeds of one student: each is what a run of its own would be, and what is finished is not trained again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pointcmt_cli.cli import app
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.student.seeds import distill_seeds, of_seed
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.records import Note, Result
from toy_student import POINTS, write_data


def config(work: Path, **options: Any) -> DistillConfig:
    return DistillConfig(
        student="toy_student:tiny",
        objective="none",
        work=work,
        points=POINTS,
        epochs=2,
        batch_size=10,
        device="cpu",
        precision="fp32",
        **options,
    )


def test_every_seed_is_a_run_of_its_own_and_is_kept(tmp_path: Path) -> None:
    write_data(tmp_path, 60)
    *records, last = distill_seeds(config(tmp_path, seed=1), 2)
    assert isinstance(last, Result)
    runs = last.values["runs"]
    assert [run["seed"] for run in runs] == [1, 2]
    names = [Path(run["checkpoint"]).name for run in runs]
    assert names == ["tiny-none-s1.pt", "tiny-none-s2.pt"]
    accuracies = [run["test"]["oa"] for run in runs]
    assert last.values["test"]["oa"]["mean"] == pytest.approx(np.mean(accuracies))
    assert last.values["test"]["oa"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert Note(f"seed 2 (2 of 2): {tmp_path / names[1]}") in records

    *_, alone = distill(config(tmp_path, seed=2, out=tmp_path / "alone.pt"))
    assert isinstance(alone, Result)
    values = [checkpoint.load(tmp_path / name) for name in (names[1], "alone.pt")]
    for key, value in values[0]["state_dict"].items():
        assert torch.equal(value, values[1]["state_dict"][key]), key

    (tmp_path / names[1]).unlink()
    again = list(distill_seeds(config(tmp_path, seed=1), 2))
    assert Note(f"{tmp_path / names[0]} is up to date (--force trains it again)") in again
    assert isinstance(again[-1], Result)
    assert again[-1].values["test"] == last.values["test"]


def test_seeds_have_generators_of_their_own() -> None:
    one = of_seed(DistillConfig(out=Path("a/x.pt"), work=Path("w")), 3)
    assert (one.out, one.generator, one.seed) == (Path("a/x-s3.pt"), Path("w/generator-s3.pt"), 3)


def test_the_command_shows_every_seed_their_mean_and_what_comes_next(tmp_path: Path) -> None:
    write_data(tmp_path, 60)
    words = ["--student", "toy_student:tiny", "--objective", "none", "--epochs", "1"]
    words += ["--points", "64", "--device", "cpu", "--batch-size", "10", "--work", str(tmp_path)]
    done = CliRunner().invoke(app, ["distill", *words, "--seeds", "2"], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    for text in ("seed 0", "seed 1", "mean ± std", "next: pointcmt evaluate", "tiny-none-s1.pt"):
        assert text in done.output, text
