"""Runs that are equal but for the seed. In: an evaluation's runs; out: mean and spread of each group, a paired test.

A student's worth is what it does beside a plain one, trained in the same way without a teacher: where such a group is
among the runs, the scores of equal seeds are subtracted and the differences tested (paired t-test, two-sided).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from scipy.stats import ttest_rel

from pointcmt_cli.config import DistillConfig, TeacherConfig, deciding
from pointcmt_cli.engine.evaluation.naming import shown_split
from pointcmt_cli.engine.evaluation.robust_schema import Robustness, RobustnessSpread
from pointcmt_cli.engine.evaluation.schema import (
    Accuracy,
    AgainstPlain,
    Group,
    Run,
    Split,
)
from pointcmt_cli.engine.training.metrics import spread
from pointcmt_cli.files import digest

WITHIN = ("seed", "device")
"""Settings that differ within a group, by what a group is: one training, repeated, wherever it ran."""
MADE = ("views_digest", "init_digest", "weights_digest")
"""The hashes by which a checkpoint says what it was made from."""
GENERATOR = "generator_"
OBJECTIVE = ("objective", "objective_options", "teacher", GENERATOR)
"""How the settings begin in which a student and its plain twin may differ."""


def group_of(run: Run) -> str:
    """A short hash of everything that decides the weights, but the seed."""
    return digest(run["name"], options(run), settings(run), origin(run))[:12]


def settings(run: Run) -> dict[str, Any]:
    """What the runs of a group have in common; generator and teacher only where the student learns from them."""
    idle = () if run["uses_generator"] else (GENERATOR,)
    stage = TeacherConfig if run["is_teacher"] else DistillConfig
    found = {
        key: value
        for key, value in deciding(run["config"], stage).items()
        if key not in WITHIN and not key.startswith(idle)
    }
    taught = not run["is_teacher"] and not run["plain"]
    return found | ({"teacher": run["provenance"].get("teacher")} if taught else {})


def origin(run: Run) -> list[Any]:
    """What a run was made from, as its file says it."""
    return [run["provenance"].get(key) for key in ("kind", *MADE, "labels_per_class")]


def options(run: Run) -> dict[str, Any]:
    """The plug-in's options, but for the file of its first weights."""
    return {key: value for key, value in run["options"].items() if key != "weights"}


def twin_of(run: Run) -> str:
    """Equal for a student and for the plain student that was trained in the same way."""
    same = {key: value for key, value in settings(run).items() if not key.startswith(OBJECTIVE)}
    return digest(run["name"], options(run), same, origin(run))


def groups(runs: Sequence[Run]) -> list[Group]:
    """Every group in the order of the runs; scores are those of the test split, or held-out where one has no test."""
    split = shown_split(runs)
    members: dict[str, list[Run]] = {}
    for run in runs:
        of_group = members.setdefault(run["group"], [])
        if run["seed"] not in [other["seed"] for other in of_group]:
            of_group.append(run)
    names = dict(zip(members, _names([each[0] for each in members.values()]), strict=True))
    plain = {twin_of(each[0]): group for group, each in members.items() if each[0]["plain"]}
    found: list[Group] = []
    for group, each in members.items():
        row: Group = {
            "group": group,
            "name": names[group],
            "objective": each[0]["objective"],
            "split": split,
            "n": len(each),
            "seeds": [run["seed"] for run in each],
            "oa": spread([score(run, split, "oa") for run in each]),
            "macc": spread([score(run, split, "macc") for run in each]),
        }
        if robust := [run["robustness"] for run in each if "robustness" in run]:
            row["robustness"] = over_seeds(robust)
        yardstick = plain.get(twin_of(each[0]))
        if yardstick not in (None, group):
            row["against_plain"] = against(each, members[yardstick], split)
        found.append(row)
    return found


def repeated(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Checkpoints that repeat an earlier one's settings and seed, with that one: they are in no group."""
    first: dict[tuple[str, int], str] = {}
    for run in runs:
        known = first.setdefault((run["group"], run["seed"]), run["checkpoint"])
        if known != run["checkpoint"]:
            yield run["checkpoint"], known


def against(students: Sequence[Run], plain: Sequence[Run], split: Split) -> AgainstPlain:
    """Overall accuracy less that of the plain student of the same seed; no p-value from fewer than 2 pairs."""
    yardstick = {run["seed"]: run for run in plain}
    pairs = [(run, yardstick[run["seed"]]) for run in students if run["seed"] in yardstick]
    scores = [(score(own, split, "oa"), score(other, split, "oa")) for own, other in pairs]
    differences = [own - other for own, other in scores]
    result: AgainstPlain = {
        "group": plain[0]["group"],
        "n": len(pairs),
        "difference": spread(differences) if pairs else None,
        "p_value": None,
    }
    if robust := [
        minus(own["robustness"], other["robustness"]) for own, other in pairs if "robustness" in own
    ]:
        result["robustness"] = over_seeds(robust)
    if len(pairs) > 1 and np.ptp(differences) > 1e-12:  # equal differences have no t
        result["p_value"] = float(ttest_rel(*zip(*scores, strict=True)).pvalue)
    return result


def over_seeds(found: Sequence[Robustness]) -> RobustnessSpread:
    """Mean and spread of every number of it."""
    return cast("RobustnessSpread", _spreads(found))


def minus(own: Robustness, other: Robustness) -> Robustness:
    """Every number of one run, less that of another of which the same was asked."""
    return cast("Robustness", _minus(own, other))


def _minus(own: Any, other: Any) -> Any:
    if isinstance(own, Mapping):
        return {key: _minus(value, other[key]) for key, value in own.items()}
    if isinstance(own, Sequence):
        return [_minus(*pair) for pair in zip(own, other, strict=True)]
    return own - other


def _spreads(trees: Sequence[Any]) -> Any:
    """One tree of `spread`s; a list of severities counts as its mean."""
    if isinstance(trees[0], Mapping):
        return {key: _spreads([tree[key] for tree in trees]) for key in trees[0]}
    return spread([float(np.mean(each)) for each in trees])


def score(run: Run, split: Split, key: Accuracy) -> float:
    """A single pass's."""
    return run["scores"][split]["single"][key]


def _names(runs: Sequence[Run]) -> list[str]:
    """What to call each group: plug-ins and options; what else differs, where these do not tell them apart."""
    short = [_short(run) for run in runs]
    named = []
    for run, name in zip(runs, short, strict=True):
        alike = [_all(other) for other, also in zip(runs, short, strict=True) if also == name]
        differing = [
            f"{key} {value}"
            for key, value in _all(run).items()
            if any(other.get(key) != value for other in alike)
        ]
        named.append(", ".join([name, *differing]))
    return named


def _all(run: Run) -> dict[str, Any]:
    """The settings, and of what it was made from the start of each hash."""
    made = {
        key: run["provenance"].get(key)
        for key in MADE
        if key in run["provenance"] or key != "weights_digest"
    }
    words = {"views_digest": "views", "init_digest": "init", "weights_digest": "weights"}
    few = run["provenance"].get("labels_per_class")
    hidden = {"labels per class": few} if few else {}
    starts = {words[key]: str(value or "none")[:6] for key, value in made.items()}
    return settings(run) | hidden | starts


def _short(run: Run) -> str:
    chosen = ", ".join(f"{key}={value}" for key, value in options(run).items())
    what = "teacher" if run["is_teacher"] else run["objective"]
    more = ", ".join(f"{key}={value}" for key, value in run["objective_options"].items())
    return f"{run['name']}{f' ({chosen})' if chosen else ''}, {what}{f' ({more})' if more else ''}"
