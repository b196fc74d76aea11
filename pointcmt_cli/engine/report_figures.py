"""Figures of the report: training curves, reliability, robustness.

In: runs of the evaluation document (docs/json-schema.md), each with its `label`; out: figures that the page draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from pointcmt_cli.engine.report_plot import (
    COLORS,
    DASHES,
    Figure,
    axis,
    bar,
    figure,
    in_percent,
    line,
)

Run = Mapping[str, Any]

STAGES = {"teacher": "Teacher", "generator": "Generator", "student": "Student"}
SHARES = {
    "train_accuracy": "train, as it was seen in training",
    "held_out_oa": "held-out OA",
    "held_out_macc": "held-out mAcc",
}
"""Columns of metrics.csv that are shares in [0, 1]."""
APART = ("epoch", "seconds", "lr")
"""Columns that are neither a share nor a term of the loss."""


def training(runs: Sequence[Run]) -> list[Figure]:
    """Every loss term and every accuracy of each stage over its epochs; the runs' curves in one figure."""
    figures = []
    for stage, title in STAGES.items():
        histories = _histories(runs, stage)
        if not histories:
            continue
        keys = dict.fromkeys(
            key for _, rows, _ in histories for row in rows for key in row if key not in APART
        )
        terms = [key for key in keys if key not in SHARES]
        shares = [key for key in keys if key in SHARES]
        if terms:
            caption = "Every term of the loss, mean over each epoch."
            made = _curves(f"{stage}-loss", f"{title}: loss", caption, histories, terms, 1)
            figures.append(_logarithmic(made))
        if shares:
            caption = "Accuracy over the epochs; the test split is never looked at here."
            key = f"{stage}-accuracy"
            figures.append(_curves(key, f"{title}: accuracy in %", caption, histories, shares, 100))
    return figures


def reliability(runs: Sequence[Run], split: str) -> list[Figure]:
    """Accuracy over confidence in bins, before and after the temperature: of one run together, of several apart."""
    before = [_bins(run, split, "bins", color) for run, color in _colored(runs)]
    after = [_bins(run, split, "bins_scaled", color) for run, color in _colored(runs)]
    if len(runs) == 1:
        after = [_bins(runs[0], split, "bins_scaled", COLORS[1])]
    caption = (
        "Below the diagonal a model is surer than it is right; a point's area goes by its shapes."
    )
    scaled = " The temperature was fitted on the held-out split; it changes no answer, only its sureness."
    drawn = (
        {"Reliability": (before + after, caption + scaled)}
        if len(runs) == 1
        else {
            "Reliability as trained": (before, caption),
            "Reliability with the temperature": (after, caption + scaled),
        }
    )
    axes = {"xaxis": axis("confidence in %", [0, 102]), "yaxis": axis("right in %", [0, 102])}
    ideal = line([0, 100], [0, 100], "perfectly calibrated", COLORS[-1], "dot", mode="lines")
    return [
        figure(
            title.lower().replace(" ", "-"), title, words, [ideal, *traces], axes, "confidence in %"
        )
        for title, (found, words) in drawn.items()
        if (traces := [each for each in found if each])
    ]


def _bins(run: Run, split: str, key: str, color: str) -> dict[str, Any] | None:
    """The curve of one run, a point for each bin that has shapes; None: it was not fitted."""
    found = run["scores"][split]["single"].get("calibration") or {}
    bins = [each for each in found.get(key) or [] if each["count"]]
    if not bins:
        return None
    temperature = "" if key == "bins" else f", temperature {found['temperature']:.3g}"
    x = [100 * each["confidence"] for each in bins]
    y = [100 * each["accuracy"] for each in bins]
    counts = [each["count"] for each in bins]
    dash = "solid" if key == "bins" else "dot"
    trace = line(x, y, f"{run['label']}{temperature}", color, dash)
    hover = (
        "says %{x:.1f} %, right %{y:.1f} %<br>%{customdata} shapes<extra>%{fullData.name}</extra>"
    )
    sizes = [4 + 12 * (each / max(counts)) ** 0.5 for each in counts]
    return {**trace, "customdata": counts, "marker": {"size": sizes}, "hovertemplate": hover}


def _colored(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Each run with the colour that it has in every figure."""
    return zip(runs, cycle(COLORS), strict=False)


def robustness(runs: Sequence[Run]) -> list[Figure]:
    """Overall accuracy under corruption, with fewer points, and turned."""
    found = {str(run["checkpoint"]): run.get("robustness") or {} for run in runs}
    figures = _corruptions(runs, found)
    points = [
        line(list(each), [in_percent(value) for value in each.values()], run["label"], color)
        for run, color in _colored(runs)
        if (each := found[str(run["checkpoint"])].get("points"))
    ]
    if points:
        axes = {"xaxis": {**axis("points"), "type": "category"}, "yaxis": axis("OA in %")}
        caption = "Overall accuracy when the model is given fewer points of each shape."
        figures.append(figure("points", "Fewer points", caption, points, axes, "points"))
    turns = {"none": "as stored", "z": "turned about z", "so3": "turned anyhow (SO(3))"}
    bars = [
        {
            **bar([turns.get(key, key) for key in each], list(each.values()), run["label"]),
            "marker": {"color": color},
        }
        for run, color in _colored(runs)
        if (each := found[str(run["checkpoint"])].get("rotations"))
    ]
    if bars:
        sides: dict[str, Any] = {"xaxis": axis(""), "yaxis": axis("OA in %", [0, 100])}
        sides["barmode"] = "group"
        caption = "Overall accuracy on shapes turned at random."
        figures.append(figure("rotations", "Rotations", caption, bars, sides, "rotation"))
    return figures


def _corruptions(runs: Sequence[Run], found: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    tables = {
        str(run["checkpoint"]): each
        for run in runs
        if (each := found[str(run["checkpoint"])].get("modelnet-c"))
    }
    traces = []
    for run, color in _colored(runs):
        table = tables.get(str(run["checkpoint"]))
        if not table:
            continue
        curves = table["corruptions"]
        if len(tables) > 1:  # one curve a run; the terms stand in the table beside it
            means = [sum(each) / len(each) for each in zip(*curves.values(), strict=True)]
            curves = {run["label"]: means}
        for (name, values), own, dash in zip(
            curves.items(), cycle(COLORS), cycle(DASHES), strict=False
        ):
            alone = len(tables) == 1
            shares = [in_percent(each) for each in (table["clean"], *values)]
            x = list(range(len(shares)))
            traces.append(
                line(x, shares, name, own if alone else color, dash if alone else "solid")
            )
    if not traces:
        return []
    axes = {"xaxis": {**axis("severity (0: as stored)"), "dtick": 1}, "yaxis": axis("OA in %")}
    caption = "Overall accuracy under the corruptions of ModelNet-C, at its five severities" + (
        "." if len(tables) == 1 else "; the mean over all corruptions."
    )
    return [figure("corruptions", "Corruptions", caption, traces, axes, "severity")]


def _histories(
    runs: Sequence[Run], stage: str
) -> list[tuple[str, list[dict[str, Any]], int | None]]:
    """Name, rows and kept epoch of each run that has this stage; what several runs share stands once."""
    found: list[tuple[str, list[dict[str, Any]], int | None]] = []
    for run in runs:
        rows = (run.get("training") or {}).get(stage)
        if rows and all(rows != other for _, other, _ in found):
            kept = run.get("selected_epoch") if stage == "student" else None
            found.append((run["label"], rows, kept))
    return found


def _curves(
    key: str,
    title: str,
    caption: str,
    histories: Sequence[tuple[str, list[dict[str, Any]], int | None]],
    names: Sequence[str],
    scale: float,
) -> Figure:
    """One curve for each run and column: with several runs the colour is the run's and the dash the column's."""
    alone = len(histories) == 1
    traces = []
    for (run, rows, _), color in zip(histories, cycle(COLORS), strict=False):
        for name, own, dash in zip(names, cycle(COLORS), cycle(DASHES), strict=False):
            pairs = [(row["epoch"], scale * row[name]) for row in rows if row.get(name) is not None]
            if pairs:
                x, y = (list(each) for each in zip(*pairs, strict=True))
                text = SHARES.get(name, name.replace("_", " "))
                shown = (
                    (text, own, "solid" if alone else dash)
                    if alone
                    else (f"{run}: {text}", color, dash)
                )
                traces.append(line(x, y, *shown, mode="lines" if len(x) > 1 else "markers"))
    unit = "%" if scale == 100 else "loss"
    layout: dict[str, Any] = {"xaxis": axis("epoch"), "yaxis": axis(unit)}
    kept = histories[0][2]
    if alone and kept:
        caption += f" Epoch {kept}, the dotted line, is the one that was kept."
        stroke = {"color": COLORS[-1], "width": 1, "dash": "dot"}
        span = {"type": "line", "x0": kept, "x1": kept, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [{**span, "line": stroke}]
    return figure(key, title, caption, traces, layout, "epoch")


def _logarithmic(figure: Figure) -> Figure:
    """Terms of very different sizes need a logarithmic axis, where none is zero or below."""
    values = [value for trace in figure.data for value in trace["y"]]
    if min(values) > 0 and max(values) / min(values) > 100:
        figure.layout["yaxis"] |= {"type": "log", "title": {"text": "loss, logarithmic"}}
    return figure
