"""Figures of the report: training curves, reliability, robustness.

In: runs of the evaluation document (docs/json-schema.md), each with its `label`; out: figures that the page draws.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, Literal, NamedTuple

from pointcmt_cli.engine.evaluation.schema import Split
from pointcmt_cli.engine.report.plot import (
    COLORS,
    DASHES,
    Figure,
    axis,
    bar,
    figure,
    in_percent,
    line,
)
from pointcmt_cli.engine.report.words import Run
from pointcmt_cli.engine.training.stored import Row, Stage

STAGES: dict[Stage, str] = {"teacher": "Teacher", "generator": "Generator", "student": "Student"}
SHARES = {
    "train_accuracy": "train OA, as seen in training",
    "held_out_oa": "held-out OA",
    "held_out_macc": "held-out mAcc",
}
"""Columns of metrics.csv that are shares in [0, 1]."""
APART = ("epoch", "seconds", "lr")
"""Columns that are neither a share nor a term of the loss."""


class History(NamedTuple):
    """One stage of one run."""

    label: str
    rows: list[Row]
    kept: int | None
    """The epoch whose weights were kept; None: of a teacher or generator, which have their own."""
    color: str


def training(runs: Sequence[Run]) -> list[Figure]:
    """Every loss term and every accuracy of each stage over its epochs.

    Of one run, all terms in one figure and all accuracies in another; of several, a figure for each, with every run.
    """
    figures = []
    for stage, title in STAGES.items():
        histories = _histories(runs, stage)
        keys = dict.fromkeys(
            key
            for each in histories
            for row in each.rows
            for key, value in row.items()
            if key not in APART and value is not None
        )
        terms = [key for key in keys if key not in SHARES]
        shares = [key for key in keys if key in SHARES]
        parts = {"loss": terms, "accuracy": shares}
        if len(histories) > 1:
            parts = {_text(key): [key] for key in terms + shares}
        figures += [
            _curves(f"{title}: {text}", histories, part) for text, part in parts.items() if part
        ]
    return figures


def reliability(runs: Sequence[Run], split: Split) -> list[Figure]:
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
        figure(title, words, [ideal, *traces], axes, "confidence in %")
        for title, (found, words) in drawn.items()
        if (traces := [each for each in found if each])
    ]


def _bins(
    run: Run, split: Split, key: Literal["bins", "bins_scaled"], color: str
) -> dict[str, Any] | None:
    """The curve of one run, a point for each bin that has shapes; None: it was not fitted."""
    found = run["scores"][split]["single"]["calibration"]
    bins = [each for each in found[key] or [] if each["count"]]
    if not bins:
        return None
    temperature = "" if key == "bins" else f", temperature {found['temperature']:.3g}"
    x = [in_percent(each["confidence"] or 0) for each in bins]
    y = [in_percent(each["accuracy"] or 0) for each in bins]
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
    figures = _corruptions(runs)
    points = [
        line(list(each), [in_percent(value) for value in each.values()], run["label"], color)
        for run, color in _colored(runs)
        if (each := run.get("robustness", {}).get("points"))
    ]
    if points:
        axes = {"xaxis": {**axis("points"), "type": "category"}, "yaxis": axis("OA in %")}
        caption = "Overall accuracy when the model is given fewer points of each shape."
        figures.append(figure("Fewer points", caption, points, axes, "points"))
    turns = {"none": "as stored", "z": "turned about z", "so3": "turned anyhow (SO(3))"}
    bars = [
        {
            **bar([turns.get(key, key) for key in each], list(each.values()), run["label"]),
            "marker": {"color": color},
        }
        for run, color in _colored(runs)
        if (each := run.get("robustness", {}).get("rotations"))
    ]
    if bars:
        sides: dict[str, Any] = {"xaxis": axis(""), "yaxis": axis("OA in %", [0, 100])}
        sides["barmode"] = "group"
        caption = "Overall accuracy on shapes turned at random."
        figures.append(figure("Rotations", caption, bars, sides, "rotation"))
    return figures


def _corruptions(runs: Sequence[Run]) -> list[Figure]:
    tables = [
        (run["label"], table, color)
        for run, color in _colored(runs)
        if (table := run.get("robustness", {}).get("modelnet-c"))
    ]
    traces = []
    for label, table, color in tables:
        curves = table["corruptions"]
        if len(tables) > 1:  # one curve a run; the terms stand in the table beside it
            means = [sum(each) / len(each) for each in zip(*curves.values(), strict=True)]
            curves = {label: means}
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
    return [figure("Corruptions", caption, traces, axes, "severity")]


def _histories(runs: Sequence[Run], stage: Stage) -> list[History]:
    """The runs that have this stage; what several share stands once."""
    found: list[History] = []
    for run, color in _colored(runs):
        rows = run["training"].get(stage)
        if rows and all(rows != other.rows for other in found):
            kept = run["selected_epoch"] if stage == "student" else None
            found.append(History(run["label"], rows, kept, color))
    return found


def _curves(title: str, histories: Sequence[History], names: Sequence[str]) -> Figure:
    """One curve for each column of a single run, or for each run that has a single column."""
    alone, shares = len(histories) == 1, names[0] in SHARES
    traces = []
    for history in histories:
        for name, own in zip(names, cycle(COLORS), strict=False):
            text, color = (_text(name), own) if alone else (history.label, history.color)
            known = [
                (row["epoch"], value)
                for row in history.rows
                if (value := row.get(name)) is not None
            ]
            if known:
                x = [epoch for epoch, _ in known]
                y = [(100 if shares else 1) * value for _, value in known]
                traces.append(line(x, y, text, color, mode="lines" if len(x) > 1 else "markers"))
    layout: dict[str, Any] = {"xaxis": axis("epoch"), "yaxis": axis("%" if shares else "loss")}
    caption = "The test split is not looked at here." if shares else "Mean over each epoch."
    kept = histories[0].kept
    if alone and kept:
        caption += f" Epoch {kept}, the dotted line, is the one that was kept."
        stroke = {"color": COLORS[-1], "width": 1, "dash": "dot"}
        span = {"type": "line", "x0": kept, "x1": kept, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [{**span, "line": stroke}]
    made = figure(title, caption, traces, layout, "epoch")
    return made if shares else _logarithmic(made)


def _text(name: str) -> str:
    """A column of metrics.csv in words."""
    return SHARES.get(name, name.replace("_", " "))


def _logarithmic(made: Figure) -> Figure:
    """Terms of very different sizes need a logarithmic axis, where none is zero or below."""
    values = [value for trace in made.data for value in trace["y"]]
    if min(values) > 0 and max(values) / min(values) > 100:
        made.layout["yaxis"] |= {"type": "log", "title": {"text": "loss, logarithmic"}}
    return made
