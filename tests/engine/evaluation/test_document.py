"""The parts of the evaluation document: each against a slow obvious twin, and the whole against its page in docs."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.stats import bootstrap, ttest_rel
from typer.testing import CliRunner

import toy_student
from places import ROOT
from pointcmt_cli import console, discovery
from pointcmt_cli.cli import app
from pointcmt_cli.commands.evaluate import robustness, tables
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.features import read_features, write_features
from pointcmt_cli.data.store.views import read_shapes
from pointcmt_cli.engine.evaluation.calibration import (
    bins,
    calibration,
    calibration_error,
)
from pointcmt_cli.engine.evaluation.comparison import agreement, mcnemar, teacher_answers
from pointcmt_cli.engine.evaluation.document import history
from pointcmt_cli.engine.evaluation.evaluate import evaluate, measure
from pointcmt_cli.engine.evaluation.groups import group_of, groups, repeated
from pointcmt_cli.engine.evaluation.intervals import intervals
from pointcmt_cli.engine.evaluation.robustness import DGCNN, DGCNN_CLEAN, corruption_errors
from pointcmt_cli.engine.training.metrics import scores
from pointcmt_cli.engine.training.temperature import fit_temperature
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.records import Note, Result
from toy_student import CLASSES, POINTS, save, write_data

PAGE = (ROOT / "docs" / "json-schema.md").read_text()


@pytest.fixture(autouse=True)
def _metadata_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys are found by module:attribute, which reads every distribution's metadata each time."""
    found = discovery.packages_distributions()
    monkeypatch.setattr(discovery, "packages_distributions", lambda: found)


def document(work: Path, *names: str, **options: Any) -> dict[str, Any]:
    paths = tuple(Path(name) for name in names)
    *_, last = evaluate(EvaluateConfig(paths, work=work, device="cpu", **options))
    assert isinstance(last, Result)
    return dict(last.values)


def notes(work: Path, *names: str) -> list[str]:
    config = EvaluateConfig(tuple(map(Path, names)), work=work, device="cpu")
    return [each.text for each in evaluate(config) if isinstance(each, Note)]


def random_scores(seed: int = 0, count: int = 400, classes: int = 4) -> tuple[Any, Any]:
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, classes, count)
    logits = numbers.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    return torch.from_numpy(logits), labels


def test_precision_recall_and_f1_are_those_of_a_count() -> None:
    logits, labels = random_scores()
    guess = logits.argmax(1).numpy()
    for k, row in enumerate(scores(logits, labels, list("abcd"))["per_class"]):
        right = ((guess == k) & (labels == k)).sum()
        precision, recall = right / (guess == k).sum(), right / (labels == k).sum()
        assert row["precision"] == pytest.approx(precision, abs=1e-6)
        assert row["recall"] == pytest.approx(recall, abs=1e-6)
        assert row["f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)
    never = scores(torch.tensor([[2.0, 1.0], [2.0, 1.0]]), np.array([0, 1]), ["a", "b"])
    assert never["per_class"][1]["precision"] is None
    assert never["per_class"][1]["f1"] == 0


def test_intervals_are_the_percentile_bootstrap() -> None:
    logits, labels = random_scores()
    found = scores(logits, labels, list("abcd"))
    right = (logits.argmax(1).numpy() == labels).astype(float)
    expected = bootstrap((right,), np.mean, n_resamples=4000, method="percentile")
    np.testing.assert_allclose(intervals(found, 0)["oa"], expected.confidence_interval, atol=0.012)
    parts = [right[labels == k] for k in range(4)]
    expected = bootstrap(
        parts,
        lambda *each, axis: np.mean([part.mean(axis=axis) for part in each], axis=0),
        n_resamples=4000,
        method="percentile",
    )
    between = intervals(found, 0)["macc"]
    np.testing.assert_allclose(between, expected.confidence_interval, atol=0.012)
    assert intervals(found, 0) == intervals(found, 0) != intervals(found, 1)


def test_calibration_error_is_that_of_a_slow_count() -> None:
    logits, labels = random_scores()
    probabilities = logits.softmax(1)
    rows, total = bins(probabilities, labels), 0.0
    for low in range(15):
        inside = [
            (max(each), int(np.argmax(each)) == label)
            for each, label in zip(probabilities.tolist(), labels, strict=True)
            if low / 15 <= max(each) < (low + 1) / 15
        ]
        assert rows[low]["count"] == len(inside)
        if not inside:
            assert rows[low]["accuracy"] is rows[low]["confidence"] is None
            continue
        confidence, accuracy = np.mean(inside, axis=0)
        assert rows[low]["confidence"] == pytest.approx(confidence)
        assert rows[low]["accuracy"] == pytest.approx(accuracy)
        total += len(inside) / len(labels) * abs(confidence - accuracy)
    assert calibration_error(probabilities, labels) == pytest.approx(total, abs=1e-6)


def test_the_temperature_is_the_one_that_was_put_in() -> None:
    numbers = np.random.default_rng(0)
    true = torch.from_numpy(numbers.normal(size=(20_000, 5)) * 2)
    labels = (true.softmax(1).cumsum(1) < torch.from_numpy(numbers.random((20_000, 1)))).sum(1)
    found = fit_temperature(3 * true, labels.numpy())
    assert found == pytest.approx(3, rel=0.03)
    grid = np.geomspace(2, 4, 200)
    losses = [float(torch.nn.functional.cross_entropy(3 * true / t, labels)) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    after = calibration(3 * true, labels.numpy(), found, fitted_here=False)
    assert after["ece_scaled"] < 0.02 < 0.1 < after["ece"]
    here = calibration(3 * true, labels.numpy(), found, fitted_here=True)
    assert (here["ece_scaled"], here["bins_scaled"]) == (None, None)
    assert calibration(true, labels.numpy(), None, fitted_here=False)["ece_scaled"] is None


def test_mcnemar_is_the_exact_binomial_test() -> None:
    labels = np.zeros(40, np.int64)
    a, b = np.zeros(40, np.int64), np.zeros(40, np.int64)
    a[:3] = 1
    b[3:14] = 1
    b[20:25] = a[20:25] = 2
    found = mcnemar(a, b, labels)
    tail = sum(math.comb(14, k) for k in range(4)) / 2**14
    assert (found["only_a"], found["only_b"]) == (11, 3)
    assert found["p_value"] == pytest.approx(2 * tail)
    assert mcnemar(a, a, labels)["p_value"] == 1.0


def test_agreement_shares_out_the_shapes() -> None:
    labels, student = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 0])
    found = agreement(student, np.array([0, 1, 0, 1, 2]), labels)
    assert found == {
        "teacher_oa": 0.4, "same": 0.4, "both_right": 0.2, "only_student": 0.2, "only_teacher": 0.2,
        "both_wrong": 0.4,
    }  # fmt: skip


def test_dgcnn_has_corruption_errors_of_one() -> None:
    own = corruption_errors(DGCNN_CLEAN, {name: [value] * 5 for name, value in DGCNN.items()})
    assert (own["mce"], own["rmce"]) == (pytest.approx(1), pytest.approx(1))
    found = corruption_errors(0.9, {"jitter": [0.9, 0.8, 0.7, 0.6, 0.5]})
    assert found["ce"]["jitter"] == pytest.approx(0.3 / 0.316)
    assert found["rce"]["jitter"] == pytest.approx(0.2 / (0.926 - 0.684))


def a_run(objective: str, seed: int, oa: float, **config: Any) -> dict[str, Any]:
    settings = {"student": "net", "seed": seed, "out": f"{seed}", "objective": objective, **config}
    run = {
        "checkpoint": f"{objective}-{seed}-{config}.pt",
        "name": "net",
        "options": {},
        "is_teacher": False,
        "objective": objective,
        "objective_options": {},
        "plain": objective == "alone",
        "uses_generator": False,
        "seed": seed,
        "config": settings,
        "provenance": {"kind": "student"},
        "scores": {"test": {"single": {"oa": oa, "macc": oa / 2}}},
    }
    return {**run, "group": group_of(run)}


def test_runs_are_grouped_over_seeds_and_tested_against_the_plain_ones() -> None:
    runs = [a_run("taught", seed, oa) for seed, oa in enumerate((0.8, 0.83, 0.81))]
    runs += [a_run("alone", seed, oa) for seed, oa in enumerate((0.78, 0.80, 0.80))]
    runs += [a_run("taught", 0, 0.9, epochs=100)]
    runs[1]["config"]["generator_epochs"] = 3  # of no use here
    assert group_of(runs[1]) == group_of(runs[0]) != group_of({**runs[1], "uses_generator": True})
    taught, alone, longer = groups(runs)
    assert (taught["n"], taught["seeds"]) == (3, [0, 1, 2])
    assert taught["oa"]["mean"] == pytest.approx(np.mean([0.8, 0.83, 0.81]))
    assert taught["oa"]["std"] == pytest.approx(np.std([0.8, 0.83, 0.81], ddof=1))
    against = taught["against_plain"]
    assert (against["group"], against["n"]) == (alone["group"], 3)
    assert against["difference"]["mean"] == pytest.approx(0.02)
    expected = ttest_rel([0.8, 0.83, 0.81], [0.78, 0.80, 0.80]).pvalue
    assert against["p_value"] == pytest.approx(expected)
    assert "against_plain" not in alone
    assert "against_plain" not in longer  # no plain one was trained for 100 epochs
    assert (taught["name"], longer["name"]) == (
        "net, taught, epochs 60",
        "net, taught, epochs 100",
    )
    assert longer["oa"]["std"] is None
    begun = {
        **a_run("taught", 0, 0.8),
        "provenance": {"kind": "student", "init_digest": "abcdefgh"},
    }
    names = [each["name"] for each in groups([runs[0], {**begun, "group": group_of(begun)}])]
    assert names == ["net, taught, init none", "net, taught, init abcdef"]


def test_robustness_is_averaged_over_seeds_and_compared_pair_by_pair() -> None:
    """A list of severities counts as its mean; every number has its spread, and the one beside the plain student."""
    runs = [a_run(objective, seed, 0.8) for objective in ("taught", "alone") for seed in range(3)]
    mces, accuracies = [0.9, 1.1, 1.3, 1.0, 1.4, 1.5], [0.5, 0.6, 0.7, 0.4, 0.6, 0.5]
    for run, mce, accuracy in zip(runs, mces, accuracies, strict=True):
        corrupted = {"mce": mce, "corruptions": {"scale": [accuracy - 0.1, accuracy + 0.1]}}
        run["robustness"] = {"modelnet-c": corrupted, "points": {"512": accuracy}}
    taught, alone = groups(runs)
    found = taught["robustness"]
    assert found["modelnet-c"]["mce"]["mean"] == pytest.approx(1.1)
    assert found["modelnet-c"]["mce"]["std"] == pytest.approx(0.2)
    assert found["modelnet-c"]["corruptions"]["scale"]["mean"] == pytest.approx(0.6)
    assert alone["robustness"]["points"]["512"]["mean"] == pytest.approx(0.5)
    beside = taught["against_plain"]["robustness"]
    assert beside["modelnet-c"]["mce"]["mean"] == pytest.approx(-0.2)
    assert beside["modelnet-c"]["mce"]["std"] == pytest.approx(np.std([-0.1, -0.3, -0.2], ddof=1))
    assert beside["points"]["512"]["mean"] == pytest.approx(0.1)
    assert "robustness" not in groups([a_run("taught", 0, 0.8)])[0]


def test_students_of_other_teachers_are_no_repeats_and_have_the_same_plain_twin() -> None:
    runs = [a_run(objective, 0, 0.8) for objective in ("taught", "taught", "alone", "alone")]
    for run, teacher in zip(runs, ("mvcnn", "resnet", "mvcnn", "resnet"), strict=True):
        run["provenance"]["teacher"] = teacher
        run["group"] = group_of(run)
    assert runs[0]["group"] != runs[1]["group"]
    assert runs[2]["group"] == runs[3]["group"]  # it learns from none
    first, second, alone = groups(runs)
    assert [first["name"], second["name"]] == [
        "net, taught, teacher mvcnn",
        "net, taught, teacher resnet",
    ]
    assert {each["against_plain"]["group"] for each in (first, second)} == {alone["group"]}


def test_one_pair_or_equal_differences_have_no_p_value_and_repeats_count_once() -> None:
    runs = [a_run("taught", 0, 0.8), a_run("alone", 0, 0.7)]
    assert groups(runs)[0]["against_plain"]["p_value"] is None
    runs += [a_run("taught", 1, 0.9), a_run("alone", 1, 0.8)]
    assert groups(runs)[0]["against_plain"]["p_value"] is None
    again = {**a_run("taught", 0, 0.1), "checkpoint": "copy.pt"}
    assert groups([*runs, again])[0]["oa"]["mean"] == pytest.approx(0.85)
    assert list(repeated([*runs, again])) == [("copy.pt", "taught-0-{}.pt")]


def test_an_objective_that_is_not_installed_is_not_taken_for_plain(tmp_path: Path) -> None:
    write_data(tmp_path)
    for name in ("none", "contrast", "gone"):
        save(tmp_path / f"{name}.pt", config={"objective": name}, objective=name)
    runs = document(tmp_path, "none.pt", "contrast.pt", "gone.pt")["runs"]
    assert [run["plain"] for run in runs] == [True, False, None]


def test_the_page_on_robustness_has_the_published_accuracies() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    heads, figures = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.splitlines()
        if line.startswith(("| clean", "| 0.926"))
    )
    assert dict(zip(heads, map(float, figures), strict=True)) == {"clean": DGCNN_CLEAN, **DGCNN}


def keys_of(value: Any, stop: frozenset[str]) -> set[str]:
    """Names of all fields, but of those below `stop`, which are not ours to name."""
    if isinstance(value, dict):
        below = [keys_of(each, stop) for key, each in value.items() if key not in stop]
        return set(value).union(*below)
    return (
        set().union(*(keys_of(each, stop) for each in value)) if isinstance(value, list) else set()
    )


def test_every_field_stands_in_the_docs_and_the_document_is_strict_json(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "a.pt", seed=0, objective="none")
    save(tmp_path / "b.pt", seed=9)
    (tmp_path / "a.metrics.csv").write_text("epoch,loss,held_out_oa\n1,0.5,\n2,0.25,0.75\n")
    found = document(tmp_path, "a.pt", "b.pt", votes=2, corrupt="all")
    free = frozenset({"versions", "units", "config", "provenance", "recorded", "options"})
    named = keys_of(found, free | {"training", "points", "objective_options"})
    assert {key for key in named if not re.search(rf"[`.\"]{key}[`.\"]", PAGE)} == set()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["runs"][0]["training"]["student"] == [
        {"epoch": 1, "loss": 0.5, "held_out_oa": None},
        {"epoch": 2, "loss": 0.25, "held_out_oa": 0.75},
    ]
    assert document(tmp_path, "a.pt", "b.pt", votes=2, corrupt="all") == found


def test_robustness_is_scored_on_the_test_split_with_all_points(tmp_path: Path) -> None:
    from pointcmt_cli.data.clouds.corruption import corrupt, rotate_fully

    write_data(tmp_path)
    model = save(tmp_path / "a.pt")
    (run,) = document(tmp_path, "a.pt", corrupt="all", batch_size=7, seed=3)["runs"]
    shapes = read_shapes(tmp_path / "features.h5")
    rows = shapes.rows("test")
    clouds, names = shapes.points[rows, :POINTS], [shapes.names[row] for row in rows]

    def accuracy(changed: Any) -> float:
        with torch.no_grad():
            guess = model(torch.from_numpy(np.ascontiguousarray(changed))).argmax(1).numpy()
        return float((guess == shapes.labels[rows]).mean())

    found = run["robustness"]
    assert set(found) == {"modelnet-c", "points", "rotations"}
    assert found["modelnet-c"]["clean"] == run["scores"]["test"]["single"]["oa"]
    for name, each in found["modelnet-c"]["corruptions"].items():
        assert each[4] == accuracy(corrupt(name, clouds, names, 5, 3)), name
    assert found["points"] == {"64": accuracy(shapes.points[rows, :64])}
    assert found["rotations"]["so3"] == accuracy(rotate_fully("so3", clouds, names, 3))
    (run,) = document(tmp_path, "a.pt", points=(96, 8), rotations=("z",))["runs"]
    assert run["robustness"]["points"]["96"] == accuracy(shapes.points[rows])
    assert set(run["robustness"]) == {"points", "rotations"}
    assert set(run["robustness"]["rotations"]) == {"none", "z"}


def test_agreement_is_with_the_teacher_that_features_h5_holds(tmp_path: Path) -> None:
    path = write_data(tmp_path)
    features = read_features(path)
    logits = np.eye(3, dtype=np.float32)[(features.shapes.labels + (np.arange(90) % 2)) % 3]
    views = read_shapes(tmp_path / "views.h5")
    stored = (features.teacher_features, logits, logits, features.encoder_features)
    write_features(path, type(features)(views, *stored), {})
    save(tmp_path / "a.pt")
    for data in ("features.h5", "views.h5"):  # beside views.h5 stands the features.h5 made from it
        (run,) = document(tmp_path, "a.pt", data=tmp_path / data)["runs"]
        assert run["scores"]["test"]["agreement"]["teacher_oa"] == 0.5
    write_data(tmp_path / "other", seed=5)
    (tmp_path / "other" / "features.h5").replace(tmp_path / "features.h5")
    assert teacher_answers(tmp_path / "views.h5", views) is None


def test_another_teacher_than_the_students_own_is_said(tmp_path: Path) -> None:
    path = write_data(tmp_path)
    write_features(path, read_features(path), {"teacher_digest": "one"})
    save(tmp_path / "own.pt", teacher_digest="one")
    save(tmp_path / "other.pt", teacher_digest="two")
    for name, said in (("own.pt", 0), ("other.pt", 1)):
        config = EvaluateConfig((tmp_path / name,), work=tmp_path, data=path)
        notes = [str(each) for each in evaluate(config) if isinstance(each, Note)]
        assert sum("holds another teacher's answers" in each for each in notes) == said


def test_several_checkpoints_are_compared_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    from pointcmt_cli.engine.training import checkpoint

    write_data(tmp_path)
    save(tmp_path / "a.pt", seed=0)
    save(tmp_path / "b.pt", seed=9)
    save(tmp_path / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    values = checkpoint.load(tmp_path / "a.pt")
    checkpoint.save(tmp_path / "generator.pt", {**values, "group": "generator"})
    found = document(tmp_path, "a.pt", "b.pt", "generator.pt", "teacher.pt", votes=2)
    assert [run["is_teacher"] for run in found["runs"]] == [False, False, True]
    assert ["voted" in run["scores"]["test"] for run in found["runs"]] == [True, True, False]
    assert len(found["comparisons"]) == 3 * 2
    first = found["comparisons"][1]
    right = [
        sum(row[k] for k, row in enumerate(run["scores"]["test"]["single"]["confusion"]))
        for run in found["runs"]
    ]
    assert first["split"] == "test"
    assert first["only_a"] - first["only_b"] == right[0] - right[1]
    said = notes(tmp_path, "a.pt", "generator.pt")
    assert any("left out" in text and "generator.pt holds a generator" in text for text in said)
    with pytest.raises(UsageError, match=r"a\.pt is given twice"):
        document(tmp_path, "a.pt", str(tmp_path / "a.pt"))
    with pytest.raises(UsageError, match=r"--corrupt changes points; .* sees views"):
        document(tmp_path, "teacher.pt", corrupt="modelnet-c")
    with pytest.raises(
        UsageError, match=r"--points 100: .*features\.h5 stores 96 points per shape"
    ):
        document(tmp_path, "a.pt", points=(100,))


def test_measure_also_gives_every_answer(tmp_path: Path) -> None:
    write_data(tmp_path)
    model = save(tmp_path / "a.pt")
    stage, found = measure(EvaluateConfig((Path("a.pt"),), work=tmp_path, device="cpu")), None
    while found is None:
        try:
            next(stage)
        except StopIteration as ending:
            found = ending.value
    (scored,) = found.scored
    rows = scored.rows["test"]
    np.testing.assert_array_equal(scored.labels["test"], found.shapes.labels[rows])
    with torch.no_grad():
        expected = model(torch.from_numpy(found.shapes.points[rows][:, :POINTS].copy()))
    torch.testing.assert_close(scored.logits["test"], expected)


def pointcmt(*words: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *words], env={"COLUMNS": "200"})


def test_fail_under_is_for_every_checkpoint(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "a.pt", seed=0)
    save(tmp_path / "b.pt", seed=9)
    where = ["--work", str(tmp_path), "--device", "cpu"]
    oa = [
        run["scores"]["test"]["single"]["oa"] for run in document(tmp_path, "a.pt", "b.pt")["runs"]
    ]
    low, high = min(oa), max(oa)
    assert low < high
    assert pointcmt("a.pt", "b.pt", *where, "--fail-under", str(low)).exit_code == 0
    done = pointcmt("a.pt", "b.pt", *where, "--fail-under", str(high))
    assert done.exit_code == 1
    worse = tmp_path / ("a.pt" if oa[0] == low else "b.pt")
    assert str(done.exception) == f"OA on test is under {high:g}: {worse} {low:.4f}"
    assert pointcmt("a.pt", *where, "--fail-under", "90").exit_code == 2
    write_data(tmp_path, 2)
    done = pointcmt("a.pt", *where, "--fail-under", "0.1")
    assert isinstance(done.exception, Exception)
    assert "has no score on test" in str(done.exception)
    with pytest.raises(DataError, match="has no test shapes: nothing to corrupt"):
        document(tmp_path, "a.pt", corrupt="modelnet-c")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points", "64,many"], "--points 64,many: whole numbers are needed"),
        (["--points", "0"], "--points 0: whole numbers are needed"),
        (["--rotations", "y"], "--rotations y: z, so3 or both"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(words: list[str], message: str) -> None:
    done = pointcmt("a.pt", *words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_the_tables_of_several_and_of_robustness(tmp_path: Path) -> None:
    write_data(tmp_path)
    for seed in range(2):
        for objective in ("none", "contrast"):
            save(
                tmp_path / f"{objective}-s{seed}.pt",
                seed=10 * seed + len(objective),
                config={"seed": seed, "objective": objective},
                objective=objective,
            )
    names = sorted(path.name for path in tmp_path.glob("*-s?.pt"))
    where = ["--work", str(tmp_path), "--device", "cpu"]
    shown = pointcmt(*names, *where, "--corrupt", "all", "--votes", "2").output
    for words in (
        "Mean ± standard deviation over training seeds",
        "OA minus plain",
        "toy_student:tiny, contrast",
        "worst under",
        "so3",
        "OA %, 2 votes",
    ):
        assert words in shown, words
    assert "exact McNemar" not in shown  # six pairs are for the document
    assert "exact McNemar" in pointcmt(*names[:2], *where).output
    two = pointcmt(names[0], names[3], *where, "--corrupt", "modelnet-c").output
    assert "worst under" in two
    alone = pointcmt(names[0], *where, "--corrupt", "modelnet-c").output
    assert "severities 1 to 5" in alone
    assert "drop-global" in alone
    assert "multiples of DGCNN" in alone
    assert CLASSES[0] in pointcmt(names[0], *where, "--per-class").output
    assert toy_student.STORED == 96


def test_the_teachers_curves_are_found_by_its_hash_under_another_name(tmp_path: Path) -> None:
    write_data(tmp_path)
    save(tmp_path / "a.pt", teacher_digest="theirs")
    for name, digest in (("teacher.pt", "another"), ("teacher-2.pt", "theirs")):
        save(tmp_path / name, "toy_student:tiny_teacher", group="teachers", digest=digest)
        rows = f"epoch,loss\n1,{len(name)}\n"
        (tmp_path / name).with_suffix(".metrics.csv").write_text(rows)
    (run,) = document(tmp_path, "a.pt")["runs"]
    assert run["training"] == {"teacher": [{"epoch": 1, "loss": len("teacher-2.pt")}]}
    (tmp_path / "teacher-2.pt").write_bytes(b"damaged")
    assert document(tmp_path, "a.pt")["runs"][0]["training"] == {}


def test_a_damaged_history_has_gaps_and_stops_nothing(tmp_path: Path) -> None:
    beside = tmp_path / "a.metrics.csv"
    beside.write_text("epoch,loss\n1,0.5,9\n2,nan\n3,0;5\n4\n5;1\n")
    losses = [0.5, None, None, None]
    expected = [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(losses, 1)]
    assert history(tmp_path / "a.pt") == expected
    beside.write_text("")
    assert history(tmp_path / "a.pt") == []


def test_the_table_of_groups_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", Console(width=80))
    runs = [a_run("taught", seed, 0.445 + 0.01 * seed**2) for seed in range(3)]
    runs += [a_run("alone", seed, 0.457 + 0.003 * seed) for seed in range(3)]
    for run in runs:
        corrupted = {"add-global": [0.2], "scale": [0.9]}
        errors = {
            "clean": 0.75,
            "corruptions": corrupted,
            "mce": 1.5 + run["seed"] / 9,
            "rmce": 1.0,
        }
        run["robustness"] = {"modelnet-c": errors}
    named = zip(groups(runs), ("pointnet2, contrast", "pointnet2, none"), strict=True)
    labelled = [{**group, "name": name} for group, name in named]
    tables._groups(labelled)
    robustness.over_seeds(labelled)
    shown = capsys.readouterr().out.splitlines()
    assert all(line[-1] in "┓┃┩│┘" for line in shown if line[0] in "┏┃┡│└")
    assert max(map(len, shown[:-1])) <= 80
    assert "pointnet2, contrast: add-global 20.0 %" in shown[-1]
