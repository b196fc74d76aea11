"""docs/few-labels.png: test accuracy by labels per class, one panel for each result of few_labels.py.

usage: python benchmarks/few_labels_figure.py results/few_labels-*.json      (needs matplotlib)
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
LINES = {
    ("teacher", "teacher"): ("image teacher (sees pictures)", "#999999", "--"),
    ("pointnet", "default"): ("taught on all shapes (default)", "#0b6e99", "-"),
    ("pointnet", "plain"): ("labels alone", "#a83232", "-"),
    ("pointnet", "self-training"): ("self-training, points alone", "#e3a008", ":"),
}
"""Students and arms that are drawn: their name, colour and stroke."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "few-labels.png")
    options = parser.parse_args()
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(
        1, len(options.results), figsize=(5.2 * len(options.results), 3.9), squeeze=False
    )
    for place, path in zip(axes[0], options.results, strict=True):
        panel(place, json.loads(path.read_text()))
    axes[0][0].set_ylabel("test OA in %")
    axes[0][0].legend(frameon=False, fontsize=9, loc="lower right")
    figure.tight_layout()
    figure.savefig(options.out, dpi=150)


def panel(place: Any, result: dict[str, Any]) -> None:
    """One data set: means over draws, and bands of one standard deviation."""
    found: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in result["runs"]:
        if not row["labels"].endswith("%"):
            of_arm = found[(row["student"], row["arm"])]
            of_arm[int(row["labels"])].append(100 * row["oa"])
    every = sorted({number for of_arm in found.values() for number in of_arm})
    for key, (name, color, stroke) in LINES.items():
        numbers = sorted(found[key])
        if not numbers:
            continue
        means = [mean(found[key][number]) for number in numbers]
        spreads = [stdev(v) if len(v := found[key][number]) > 1 else 0 for number in numbers]
        low, high = zip(*((m - s, m + s) for m, s in zip(means, spreads, strict=True)), strict=True)
        place.plot(
            numbers,
            means,
            stroke,
            color=color,
            label=name,
            marker="o",
            markersize=5 if stroke == ":" else 4,
        )
        place.fill_between(numbers, low, high, color=color, alpha=0.15, linewidth=0)
    place.set_xscale("log", base=2)
    place.set_xticks(every, [str(number) for number in every])
    place.set_xlabel("labels per class")
    place.set_title(result["data"], fontsize=11)
    place.set_ylim(bottom=0)


if __name__ == "__main__":
    main()
