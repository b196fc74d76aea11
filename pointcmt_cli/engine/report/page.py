"""The report's page: one self-contained HTML file. In: the evaluation document and the gallery; out: its text.

Tables and words stand in the page as they are; charts and points are drawn in the browser by Plotly, which the page
carries compressed, so that no network is asked for anything (its content security policy holds it to that). Plotly:
it alone of the kept libraries on PyPI draws both charts and points that turn, and its charts are SVG, which the style
sheet colours for light, dark and print.
"""

import base64
import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pointcmt_cli.engine.evaluation.schema import Document
from pointcmt_cli.engine.report import figures as report_figures
from pointcmt_cli.engine.report import tables
from pointcmt_cli.engine.report import words as report_words


def page(document: Document, gallery: Mapping[str, Any]) -> str:
    """The page; `gallery` as `report_gallery.gallery` gives it."""
    words = tables.words(document)
    runs, split = words["runs"], words["split"]
    charts = {
        "training": report_figures.training(runs),
        "calibration": report_figures.reliability(runs, split),
        "robustness": report_figures.robustness(runs),
    }
    figures = [each for group in charts.values() for each in group]
    shown = tables.gallery_words(gallery, words)
    script = {
        "classes": document["data"]["class_names"],
        "confusion": tables.confusion(runs, split),
        "figures": [{"data": each.data, "layout": each.layout} for each in figures],
        "errors": [
            {key: each[key] for key in ("name", "kinds", "points")} for each in shown["items"]
        ],
        "voices": shown["voices"],
    }
    environment = Environment(
        loader=PackageLoader("pointcmt_cli.engine.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= report_words.FILTERS
    folder = files("pointcmt_cli.engine.report") / "templates"
    return environment.get_template("page.html.j2").render(
        **words,
        **charts,
        figures=figures,
        gallery=shown,
        data=script,
        style=Markup((folder / "style.css").read_text("utf-8")),
        script=Markup((folder / "page.js").read_text("utf-8")),
        plotly=Markup(_plotly()),
        sections=sections(charts, words["many"]),
    )


def sections(charts: Mapping[str, Sequence[Any]], many: bool) -> dict[str, str]:
    """Headings by their anchors, of what the page holds, in its order."""
    names = {
        "figures": "Headline figures",
        "run": "What the runs were" if many else "What the run was",
        "training": "Training curves",
        "classes": "Classes",
        "confusion": "Confusion matrix",
        "calibration": "Calibration",
        "robustness": "Robustness",
        "errors": "Where they disagree" if many else "Errors",
    }
    absent = [key for key, made in charts.items() if not made]
    return {key: text for key, text in names.items() if key not in absent}


@cache
def _plotly() -> str:
    """Plotly's own minified script, gzip and base64: 2.0 of its 4.8 MB."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()
