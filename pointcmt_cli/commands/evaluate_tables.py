"""What `pointcmt evaluate` shows of its document: short tables, and every class on request."""

from collections.abc import Mapping, Sequence
from typing import Any

from pointcmt_cli import console

SPLITS = {"test": "test", "held_out": "held-out"}
WORST = 3
"""Classes named under the table of one checkpoint."""
PAIRS = 3
"""Comparisons shown; of more, the groups say more, and the document has all."""

Document = Mapping[str, Any]
Run = Mapping[str, Any]


def show(document: Document, per_class: bool) -> None:
    """Tables and lines on standard output."""
    runs = document["runs"]
    if per_class:
        for run in runs:
            _classes(run, document)
    if len(runs) == 1:
        _one(runs[0], document)
    else:
        _several(document)
    _robustness(runs)


def _one(run: Run, document: Document) -> None:
    votes = document["protocol"]["votes"]
    voted = any("voted" in found for found in run["scores"].values())
    level = f"{document['protocol']['level']:.0%}".replace("%", " %")
    columns = ["", "shapes", "OA", level, "mAcc", level, "top-5", "ECE"]
    if voted:
        columns += [f"OA, {votes} votes", f"mAcc, {votes} votes"]
    rows = []
    for split, name in SPLITS.items():
        if split not in run["scores"]:
            continue
        found = run["scores"][split]
        single, second = found["single"], found.get("voted")
        rows.append(
            [
                name,
                single["count"],
                *(cell for key in ("oa", "macc") for cell in _with_interval(single, key)),
                _percent(single["top5"]),
                _percent(single["calibration"]["ece"]),
                *([_percent(second["oa"]), _percent(second["macc"])] if second else []),
            ]
        )
    console.table(_title(run, document), columns, rows)
    for line in _lines(run):
        console.line(line)


def _lines(run: Run) -> list[str]:
    """What the table of one checkpoint leaves open."""
    split = "test" if "test" in run["scores"] else "held_out"
    found = run["scores"][split]
    single, lines = found["single"], []
    if agreed := found.get("agreement"):
        lines.append(
            f"teacher on the same shapes: OA {_percent(agreed['teacher_oa'])}, the same answer on "
            f"{_percent(agreed['same'])}; right alone: student {_percent(agreed['only_student'])}, "
            f"teacher {_percent(agreed['only_teacher'])}"
        )
    fitted = single["calibration"]
    if fitted["ece_scaled"] is not None:
        lines.append(
            f"calibration: ECE {_percent(fitted['ece'])}, and {_percent(fitted['ece_scaled'])} at temperature "
            f"{fitted['temperature']:.2f} (fitted on the held-out split)"
        )
    worst = sorted(
        (row for row in single["per_class"] if row["count"]), key=lambda row: float(row["recall"])
    )
    if len(worst) > WORST:
        named = [f"{row['name']} {_percent(row['recall'])} of {row['count']}" for row in worst]
        lines.append(f"worst classes: {', '.join(named[:WORST])} (--per-class shows all)")
    return [*lines, *_recorded(run)]


def _recorded(run: Run) -> list[str]:
    """What the checkpoint says of itself, where that is not what was found now."""
    parts = []
    for split, name in (("held_out", "held-out"), ("test", "test")):
        recorded = (run["recorded"].get(split) or {}).get("oa")
        now = run["scores"].get(split, {}).get("single", {}).get("oa")
        if recorded is not None and (now is None or abs(now - recorded) > 5e-4):
            parts.append(f"{name} OA {_percent(recorded)}")
    return [f"recorded when it was trained: {', '.join(parts)}"] if parts else []


def _several(document: Document) -> None:
    runs = document["runs"]
    split = "test" if all("test" in run["scores"] for run in runs) else "held_out"
    votes = document["protocol"]["votes"]
    voted = any("voted" in run["scores"][split] for run in runs)
    level = f"{document['protocol']['level']:.0%}".replace("%", " %")
    columns = ["checkpoint", "OA", level, "mAcc", "top-5", "ECE", "held-out OA"]
    rows = []
    for run in runs:
        single = run["scores"][split]["single"]
        held_out = run["scores"].get("held_out", {}).get("single", {})
        more = run["scores"][split].get("voted", {})
        rows.append(
            [
                run["checkpoint"],
                *_with_interval(single, "oa"),
                _percent(single["macc"]),
                _percent(single["top5"]),
                _percent(single["calibration"]["ece"]),
                _percent(held_out.get("oa")),
                *([_percent(more.get("oa"))] if voted else []),
            ]
        )
    columns += [f"OA, {votes} votes"] if voted else []
    count = runs[0]["scores"][split]["single"]["count"]
    variant = f", {document['data']['variant']}" if document["data"]["variant"] else ""
    title = f"{document['data']['path']}{variant}, {SPLITS[split]} split, {count} shapes"
    console.table(title, columns, rows)
    _groups(document["groups"])
    _pairs([pair for pair in document["comparisons"] if pair["split"] == split])


def _groups(groups: Sequence[Mapping[str, Any]]) -> None:
    """Mean and spread over seeds, where there are several of anything."""
    if all(group["n"] == 1 and "against_plain" not in group for group in groups):
        return
    rows = [
        [
            group["name"],
            ", ".join(map(str, group["seeds"])),
            _spread(group["oa"]),
            _spread(group["macc"]),
            *_against(group.get("against_plain")),
        ]
        for group in groups
    ]
    columns = ["over seeds", "seeds", "OA", "mAcc", "OA less the plain student's", "p (paired)"]
    console.table("Mean ± standard deviation over training seeds", columns, rows)


def _against(found: Mapping[str, Any] | None) -> list[str]:
    if found is None or found["difference"] is None:
        return ["", ""]
    mean, std = (found["difference"][key] for key in ("mean", "std"))
    spread = "" if std is None else f" ± {100 * std:.1f}"
    p_value = f"one pair: {_p(None)}" if found["n"] == 1 else f"{_p(found['p_value'])}"
    return [f"{100 * mean:+.1f}{spread} points", p_value]


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> None:
    if not 0 < len(pairs) <= PAIRS:
        return
    rows = [
        [pair["a"], pair["b"], pair["only_a"], pair["only_b"], _p(pair["p_value"])]
        for pair in pairs
    ]
    columns = ["A", "B", "only A right", "only B right", "p (exact McNemar)"]
    console.table(f"On the same shapes, {SPLITS[pairs[0]['split']]} split", columns, rows)


def _robustness(runs: Sequence[Run]) -> None:
    found = {run["checkpoint"]: run["robustness"] for run in runs if "robustness" in run}
    corrupted = {name: each["modelnet-c"] for name, each in found.items() if "modelnet-c" in each}
    if len(corrupted) == 1:
        ((name, parts),) = corrupted.items()
        rows = [
            [
                kind,
                *map(_percent, each),
                _percent(sum(each) / len(each)),
                f"{parts['ce'][kind]:.3f}",
            ]
            for kind, each in parts["corruptions"].items()
        ]
        severities = [f"severity {index + 1}" for index in range(5)]
        title = (
            f"{name} under ModelNet-C's corruptions, OA on test: clean {_percent(parts['clean'])}, "
            f"mCE {parts['mce']:.3f}, RmCE {parts['rmce']:.3f} (DGCNN on ModelNet40: 1)"
        )
        console.table(title, ["", *severities, "mean", "CE"], rows)
    elif corrupted:
        kinds = list(next(iter(corrupted.values()))["corruptions"])
        rows = [
            [
                name,
                _percent(parts["clean"]),
                *(_percent(sum(each) / len(each)) for each in parts["corruptions"].values()),
                f"{parts['mce']:.3f}",
                f"{parts['rmce']:.3f}",
            ]
            for name, parts in corrupted.items()
        ]
        title = "ModelNet-C's corruptions: OA on test, mean of five severities (mCE of DGCNN on ModelNet40: 1)"
        console.table(title, ["checkpoint", "clean", *kinds, "mCE", "RmCE"], rows)
    _columns(found, "points", "OA on test by points per cloud", "{} points")
    _columns(found, "rotations", "OA on test under rotations", "{}")


def _columns(found: Mapping[str, Any], part: str, title: str, heading: str) -> None:
    shown = {name: each[part] for name, each in found.items() if part in each}
    if not shown:
        return
    keys = list(next(iter(shown.values())))
    rows = [[name, *(_percent(each[key]) for key in keys)] for name, each in shown.items()]
    console.table(title, ["checkpoint", *(heading.format(key) for key in keys)], rows)


def _classes(run: Run, document: Document) -> None:
    split = "test" if "test" in run["scores"] else "held_out"
    found = run["scores"][split]["single"]
    rows = [
        [
            row["name"],
            row["count"] or "no shapes",
            *(_percent(row[key]) for key in ("precision", "recall", "f1")),
            _taken_for(found["confusion"][index], index, document["data"]["class_names"]),
        ]
        for index, row in enumerate(found["per_class"])
    ]
    columns = ["class", "shapes", "precision", "recall", "F1", "most often taken for"]
    console.table(f"{run['checkpoint']}, per class, {SPLITS[split]} split", columns, rows)


def _taken_for(counts: Sequence[int], own: int, names: Sequence[str]) -> str:
    """The wrong class that most shapes of a class were given, with how many."""
    wrong = [(count, -index) for index, count in enumerate(counts) if index != own and count]
    if not wrong:
        return ""
    count, index = max(wrong)
    return f"{names[-index]} ({count})"


def _title(run: Run, document: Document) -> str:
    what = "teacher" if run["is_teacher"] else run["objective"]
    variant = f", {document['data']['variant']}" if document["data"]["variant"] else ""
    inputs = f"{run['points']} points" if run["points"] else "views"
    name = ", ".join(filter(None, (run["name"], what, f"seed {run['seed']}")))
    return f"{run['checkpoint']}: {name}; {document['data']['path']}{variant}, {inputs}"


def _with_interval(found: Mapping[str, Any], key: str) -> list[str]:
    low, high = (100 * each for each in found["intervals"][key])
    return [_percent(found[key]), f"{low:.1f}-{high:.1f}"]


def _spread(found: Mapping[str, Any]) -> str:
    mean, std = found["mean"], found["std"]
    return _percent(mean) if std is None else f"{100 * mean:.1f} ± {100 * std:.1f} %"


def _percent(value: float | None) -> str:
    return "" if value is None else console.percent(value)


def _p(value: float | None) -> str:
    if value is None:
        return "no test"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
