"""A chart as Plotly's plain JSON (https://plotly.com/javascript/reference), with its numbers as a table.

In: numbers and words; out: traces, axes and figures. Colours of text and lines are the page's style sheet's, so that
light, dark and print are one figure; a trace's colour is legible on both grounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

COLORS = ("#3f8fd9", "#d9730d", "#2f9e58", "#c255a8", "#8b6fd8", "#1a98a6", "#e0524d", "#808890")
"""Contrast of at least 3:1 with white and with the dark ground (WCAG 1.4.11)."""
DASHES = ("solid", "dot", "dash", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Figure:
    """One chart: what it is for, Plotly's data and layout, and the same numbers as a table."""

    title: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)


def figure(
    title: str,
    caption: str,
    traces: list[dict[str, Any]],
    layout: Mapping[str, Any],
    first: str,
) -> Figure:
    """A figure whose table has one row for every x and one column for every trace."""
    columns = {trace["name"]: dict(zip(trace["x"], trace["y"], strict=True)) for trace in traces}
    xs = list(dict.fromkeys(x for trace in traces for x in trace["x"]))
    if all(isinstance(x, (int, float)) for x in xs):
        xs.sort()
    rows = [[x, *(column.get(x) for column in columns.values())] for x in xs]
    drawn = [{**trace, "name": escape(str(trace["name"]))} for trace in traces]
    own = {
        "margin": {"l": 52, "r": 12, "t": 8, "b": 44},
        "height": 300 + 16 * max(2, len(traces)),  # on a phone the legend has a line for each
        "dragmode": False,
        "hovermode": "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.22, "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return Figure(title, caption, drawn, {**own, **layout}, [first, *columns], rows)


def line(
    x: Sequence[Any],
    y: Sequence[float],
    name: str,
    color: str,
    dash: str = "solid",
    mode: str = "lines+markers",
) -> dict[str, Any]:
    """A curve; its name is plain text."""
    stroke = {"color": color, "width": 2, "dash": dash}
    trace = {"type": "scatter", "mode": mode, "name": name, "line": stroke, "marker": {"size": 6}}
    hover = "%{y:.4g} at %{x}<extra>%{fullData.name}</extra>"
    return {**trace, "x": list(x), "y": list(y), "connectgaps": True, "hovertemplate": hover}


def bar(x: Iterable[str], y: Iterable[float], name: str) -> dict[str, Any]:
    """Bars of shares in [0, 1]."""
    shares = [in_percent(each) for each in y]
    hover = "%{x}: %{y:.1f} %<extra>%{fullData.name}</extra>"
    return {"type": "bar", "name": name, "x": list(x), "y": shares, "hovertemplate": hover}


def axis(title: str, limits: Sequence[float] | None = None) -> dict[str, Any]:
    """A fixed axis: a finger on it scrolls the page."""
    made: dict[str, Any] = {"title": {"text": title, "standoff": 6}, "fixedrange": True}
    return made | ({"range": list(limits)} if limits else {})


def in_percent(share: float) -> float:
    """A share in [0, 1] in percent."""
    return 100 * share
