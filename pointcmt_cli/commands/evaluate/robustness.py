"""The tables of `pointcmt evaluate` on robustness: corruptions, numbers of points, rotations; in 80 columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pointcmt_cli import console
from pointcmt_cli.engine.evaluation.naming import names_by_checkpoint
from pointcmt_cli.engine.evaluation.robust_schema import CorruptionErrors
from pointcmt_cli.engine.evaluation.schema import Document, Group, Run
from pointcmt_cli.wording import UNKNOWN, hundredths, percent, plain_spread, spread


def show(document: Document) -> None:
    """Of each run; where seeds were repeated, of each group."""
    if any(group["n"] > 1 for group in document["groups"]):
        over_seeds(document["groups"])
    else:
        of_runs(document["runs"])


def of_runs(runs: Sequence[Run]) -> None:
    """Of one checkpoint every severity, of several a row each."""
    names = names_by_checkpoint(runs)
    found = {names[run["checkpoint"]]: run["robustness"] for run in runs if "robustness" in run}
    corrupted = {name: each["modelnet-c"] for name, each in found.items() if "modelnet-c" in each}
    if len(corrupted) == 1:
        _severities(*next(iter(corrupted.items())))
    elif corrupted:
        rows = [_corrupted(name, parts) for name, parts in corrupted.items()]
        columns = ["", "clean", "corrupted", "mCE", "RmCE", "worst under"]
        console.table(
            "ModelNet-C's corruptions: OA % on test, mean; mCE of DGCNN is 1", columns, rows
        )
    _by_kind(list(found.items()), "checkpoint", hundredths)


def over_seeds(groups: Sequence[Group]) -> None:
    """Means of each group, and of mCE what is left of it beside the plain student's."""
    found = [group for group in groups if "robustness" in group]
    rows, worst = [], []
    for group in found:
        each = group["robustness"].get("modelnet-c")
        if each is None:
            continue
        beside = group.get("against_plain", {}).get("robustness", {}).get("modelnet-c")
        gain = plain_spread(beside["mce"], signed=True) if beside else UNKNOWN
        means = {kind: value["mean"] for kind, value in each["corruptions"].items()}
        kind = min(means, key=lambda kind: means[kind])
        worst.append(f"{group['name']}: {kind} {percent(means[kind])}")
        errors = (plain_spread(each[key]) for key in ("mce", "rmce"))
        rows.append([group["name"], spread(each["clean"]), *errors, gain])
    if rows:
        columns = ["", "clean OA %", "mCE", "RmCE", "mCE minus plain's"]
        console.table("ModelNet-C's corruptions over seeds, test; mCE of DGCNN is 1", columns, rows)
        console.line(f"worst under: {'; '.join(worst)}")
    _by_kind([(group["name"], group["robustness"]) for group in found], "", spread)


def _by_kind(
    found: Sequence[tuple[str, Mapping[str, Any]]], heading: str, cell: Callable[[Any], str]
) -> None:
    """OA by number of points and by rotation, a row for each of `found`."""
    for part, title in (("points", "points per cloud"), ("rotations", "rotation")):
        shown = [(name, each[part]) for name, each in found if part in each]
        if shown:
            rows = [[name, *map(cell, each.values())] for name, each in shown]
            console.table(f"OA % on test, by {title}", [heading, *shown[0][1]], rows)


def _corrupted(name: str, parts: CorruptionErrors) -> list[str]:
    """A row of one checkpoint: the mean over everything, and the corruption that costs most."""
    means = {kind: sum(each) / len(each) for kind, each in parts["corruptions"].items()}
    worst = min(means, key=lambda kind: means[kind])
    return [
        name,
        hundredths(parts["clean"]),
        hundredths(sum(means.values()) / len(means)),
        f"{parts['mce']:.3f}",
        f"{parts['rmce']:.3f}",
        f"{worst}: {hundredths(means[worst])}",
    ]


def _severities(name: str, parts: CorruptionErrors) -> None:
    rows = [
        [
            kind,
            *map(hundredths, each),
            hundredths(sum(each) / len(each)),
            f"{parts['ce'][kind]:.2f}",
        ]
        for kind, each in parts["corruptions"].items()
    ]
    title = f"{name} under ModelNet-C's corruptions, severities 1 to 5: OA %"
    console.table(title, ["", *"12345", "mean", "CE"], rows)
    console.line(
        f"clean {percent(parts['clean'])}; mCE {parts['mce']:.3f}, RmCE {parts['rmce']:.3f}: errors as multiples of "
        "DGCNN's on ModelNet40"
    )
