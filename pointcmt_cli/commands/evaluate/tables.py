"""What `pointcmt evaluate` shows of its document: short tables in 80 columns, and every class on request."""

from collections.abc import Mapping, Sequence

from pointcmt_cli import console
from pointcmt_cli.commands.evaluate import robustness
from pointcmt_cli.engine.evaluation.naming import (
    SPLITS,
    names_by_checkpoint,
    paired_test,
    run_names,
    shown_split,
    taken_for,
)
from pointcmt_cli.engine.evaluation.schema import (
    Accuracy,
    Comparison,
    Document,
    Group,
    Pass,
    Run,
)
from pointcmt_cli.wording import chance, hundredths, interval, percent, spread

WORST = 3
"""Classes named under the table of one checkpoint."""
PAIRS = 3
"""Comparisons shown; of more, the groups say more, and the document has all."""


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
    robustness.show(document)


def _one(run: Run, document: Document) -> None:
    votes = document["protocol"]["votes"]
    voted = any("voted" in found for found in run["scores"].values())
    between = _level(document)
    columns = ["", "shapes", "OA %", between, "mAcc %", between]
    columns += [f"OA %, {votes} votes", f"mAcc %, {votes} votes"] if voted else ["top-5 %", "ECE %"]
    rows = []
    for split, name in SPLITS.items():
        if split not in run["scores"]:
            continue
        single, second = run["scores"][split]["single"], run["scores"][split].get("voted")
        more = (single["top5"], single["calibration"]["ece"])
        last = (second["oa"], second["macc"]) if second else more
        both = [cell for key in ("oa", "macc") for cell in _with_interval(single, key)]
        rows.append([name, single["count"], *both, *map(hundredths, last)])
    console.table(_title(run, document), columns, rows)
    for line in _lines(run):
        console.line(line)


def _lines(run: Run) -> list[str]:
    """What the table of one checkpoint leaves open."""
    split = shown_split([run])
    found = run["scores"][split]
    single, lines = found["single"], []
    if agreed := found.get("agreement"):
        lines.append(
            f"teacher: OA {percent(agreed['teacher_oa'])}, the same answer on {percent(agreed['same'])}; right "
            f"alone: student {percent(agreed['only_student'])}, teacher {percent(agreed['only_teacher'])}"
        )
    fitted = single["calibration"]
    if "voted" in found and single["top5"] is not None:  # else it has a column
        lines.append(f"top-5: {percent(single['top5'])}")
    if fitted["ece_scaled"] is not None:
        lines.append(
            f"calibration: ECE {percent(fitted['ece'])}, and {percent(fitted['ece_scaled'])} at temperature "
            f"{fitted['temperature']:.2f} (fitted on the held-out split)"
        )
    worst = sorted(
        (row for row in single["per_class"] if row["count"]),
        key=lambda row: float(row["recall"] or 0),
    )
    if len(worst) > WORST:
        named = [f"{row['name']} {percent(row['recall'])} of {row['count']}" for row in worst]
        lines.append(f"worst classes: {', '.join(named[:WORST])} (--per-class shows all)")
    return [*lines, *_recorded(run)]


def _recorded(run: Run) -> list[str]:
    """What the checkpoint says of itself, where that is not what was found now."""
    parts = []
    for split, name in SPLITS.items():
        recorded = (run["recorded"].get(split) or {}).get("oa")
        now = run["scores"][split]["single"]["oa"] if split in run["scores"] else None
        if recorded is not None and (now is None or abs(now - recorded) > 5e-4):
            parts.append(f"{name} OA {percent(recorded)}")
    return [f"recorded when it was trained: {', '.join(parts)}"] if parts else []


def _several(document: Document) -> None:
    runs = document["runs"]
    split = shown_split(runs)
    votes, names = document["protocol"]["votes"], names_by_checkpoint(runs)
    voted = any("voted" in run["scores"][split] for run in runs)
    rows = []
    for run in runs:
        single, second = run["scores"][split]["single"], run["scores"][split].get("voted")
        held_out = run["scores"].get("held_out")
        last = (second and second["oa"]) if voted else held_out and held_out["single"]["oa"]
        more = (single["macc"], single["calibration"]["ece"], last)
        rows.append(
            [names[run["checkpoint"]], *_with_interval(single, "oa"), *map(hundredths, more)]
        )
    last_column = f"OA %, {votes} votes" if voted else "held-out OA %"
    columns = ["checkpoint", "OA %", _level(document), "mAcc %", "ECE %", last_column]
    data, count = document["data"], runs[0]["scores"][split]["single"]["count"]
    variant = f", {data['variant']}" if data["variant"] else ""
    console.table(f"{data['path']}{variant}, {SPLITS[split]} split, {count} shapes", columns, rows)
    _groups(document["groups"])
    _pairs([pair for pair in document["comparisons"] if pair["split"] == split], names)


def _groups(groups: Sequence[Group]) -> None:
    """Mean and spread over seeds, where there are several of anything."""
    if all(group["n"] == 1 and "against_plain" not in group for group in groups):
        return
    rows = [
        [
            group["name"],
            group["n"],
            spread(group["oa"]),
            spread(group["macc"]),
            spread(against["difference"] if against else None, signed=True),
            paired_test(against),
        ]
        for group in groups
        for against in [group.get("against_plain")]
    ]
    columns = ["", "seeds", "OA %", "mAcc %", "OA minus plain's", "p"]
    console.table("Mean ± standard deviation over training seeds; p: paired t-test", columns, rows)


def _pairs(pairs: Sequence[Comparison], names: Mapping[str, str]) -> None:
    if not 0 < len(pairs) <= PAIRS:
        return
    for pair in pairs:
        console.line(
            f"{names[pair['a']]} and {names[pair['b']]}: right alone on {pair['only_a']} and {pair['only_b']} shapes, "
            f"p {chance(pair['p_value'])} (exact McNemar)"
        )


def _classes(run: Run, document: Document) -> None:
    split = shown_split([run])
    found = run["scores"][split]["single"]
    rows = [
        [
            row["name"],
            row["count"] or "no shapes",
            *(hundredths(row[key]) for key in ("precision", "recall", "f1")),
            taken_for(found["confusion"][index], index, document["data"]["class_names"]),
        ]
        for index, row in enumerate(found["per_class"])
    ]
    columns = ["class", "shapes", "precision %", "recall %", "F1 %", "most often taken for"]
    console.table(f"{run_names([run])[0]}, per class, {SPLITS[split]} split", columns, rows)


def _title(run: Run, document: Document) -> str:
    what = "teacher" if run["is_teacher"] else run["objective"]
    variant = f", {document['data']['variant']}" if document["data"]["variant"] else ""
    inputs = f"{run['points']} points" if run["points"] else "views"
    few = run["provenance"].get("labels_per_class")
    labels = f"{few} labels per class" if few else None
    name = ", ".join(filter(None, (run["name"], what, labels, f"seed {run['seed']}")))
    return f"{run_names([run])[0]}: {name}\n{document['data']['path']}{variant}, {inputs}"


def _with_interval(found: Pass, key: Accuracy) -> list[str]:
    return [hundredths(found[key]), interval(found["intervals"][key])]


def _level(document: Document) -> str:
    return percent(document["protocol"]["level"], 0)
