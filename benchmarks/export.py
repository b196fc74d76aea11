"""Every first-party backbone in every exported format: size, difference from eager, latency ratio, what rounding costs.

usage: python benchmarks/export.py --data features.h5 [--only NAME ...] [--formats onnx ...] [--no-compiled] [--again]

A student is the untrained encoder with norms that have seen real clouds, and a head fitted to a third of the train
split: what is measured does not depend on how well it was trained, but for what half and int8 cost. Processor
milliseconds of one cloud of 1,024 points on one thread, all ways in turn; ratios to
eager. Exports go through `pointcmt export`'s own stage, with its proof. Finished backbones are kept, so that the
head of the record (command, commit, load) is that of the last run alone.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from record import write_record
from torch import nn

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig, ExportConfig
from pointcmt_cli.data.store.views import ShapeSet, read_shapes
from pointcmt_cli.engine.deployed.opened_torch import of_trained
from pointcmt_cli.engine.export import latency
from pointcmt_cli.engine.export.export import OPEN, export
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.trained import open_trained
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.models.classifier import Classifier

HERE = Path(__file__).resolve().parent
POINTS, ROUNDS = 1024, 15
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "pointnet": ("pointnet", {}),
    "pointnet transforms": ("pointnet", {"transforms": True}),
    "pointnet2 ssg": ("pointnet2", {}),
    "pointnet2 msg": ("pointnet2", {"variant": "msg"}),
    "dgcnn": ("dgcnn", {}),
    "pct": ("pct", {}),
    "pointmlp elite": ("pointmlp", {"variant": "elite"}),
    "pointmlp": ("pointmlp", {}),
    "pointnext s": ("pointnext", {}),
    "pointnext b": ("pointnext", {"variant": "b"}),
    "rscnn": ("rscnn", {}),
    "curvenet": ("curvenet", {}),
}
FORMATS: dict[str, dict[str, Any]] = {
    "onnx": {"format": "onnx"},
    "onnx half": {"format": "onnx", "half": True},
    "onnx int8": {"format": "onnx", "int8": True},
    "pt2": {"format": "pt2"},
    "safetensors": {"format": "safetensors"},
}


def main() -> None:
    """Make, export, measure, record; a line per format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("export-benchmark"))
    parser.add_argument("--only", nargs="*", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--formats", nargs="*", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--no-compiled", action="store_true", help="leave torch.compile out")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "export.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = json.loads(options.out.read_text())["backbones"] if options.out.exists() else {}
    for name in options.only:
        if name in found and not options.again:
            continue
        chosen = {each: FORMATS[each] for each in options.formats}
        found[name] = measure(name, options.data, options.work, chosen, not options.no_compiled)
        ordered = {key: found[key] for key in BACKBONES if key in found}
        setting = {"points": POINTS, "rounds": ROUNDS, "threads": 1}
        packages = ["onnx", "onnxscript", "onnxruntime", "safetensors"]
        write_record(options.out, {"setting": setting, "backbones": ordered}, packages)
        show(name, found[name])


def measure(
    name: str, data: Path, work: Path, chosen: dict[str, dict[str, Any]], compiled: bool
) -> dict[str, Any]:
    """Every format of one backbone."""
    path = work / f"{name.replace(' ', '-')}.pt"
    if not path.exists():
        save_student(path, *BACKBONES[name], read_shapes(data))
    formats: dict[str, Any] = {}
    cloud = read_shapes(data).points[:1, :POINTS]
    trained = open_trained(path, work, "backbones")
    calls: dict[str, Callable[[], object]] = {}
    eager = of_trained(trained).run
    calls["eager"] = lambda: eager(cloud)
    for label, values in chosen.items():
        out = path.with_name(f"{path.stem}-{label.replace(' ', '-')}.{values['format']}")
        config = ExportConfig(
            path, work=work, data=data, out=out, compiled=False, max_drop=1.0, **values
        )
        formats[label] = exported(config)
        if "refused" not in formats[label]:
            run = OPEN[config.format](out).run
            calls[label] = lambda run=run: run(cloud)
    call, reason = None, "not asked for"
    if compiled:
        call, reason = latency.compiled(trained.model, cloud)
    if call is not None:
        calls["torch.compile"] = call
    times = latency.milliseconds(calls, ROUNDS, time.process_time)
    for label, each in times.items():
        formats.setdefault(label, {}).update(ms=each, ratio=each / times["eager"])
    if call is None:
        formats["torch.compile"] = {"refused": reason}
    return {"parameters": trained.describe()["parameters"], "formats": formats}


def exported(config: ExportConfig) -> dict[str, Any]:
    """What the export says of itself, and its processor seconds; or why it was refused."""
    began = time.process_time()
    try:
        *_, last = export(config)
    except PointCMTError as error:
        return {"refused": str(error)}
    keys = ("bytes", "difference", "points_min", "points_max", "points_fixed_because")
    keys += ("points_compared", "accuracy_eager", "accuracy", "drop", "held_out")
    values = {key: last.values[key] for key in keys if key in last.values}
    return {**values, "seconds": time.process_time() - began}


def save_student(path: Path, name: str, options: dict[str, Any], shapes: ShapeSet) -> None:
    """See the module's text."""
    torch.manual_seed(0)
    model = Classifier(
        discovery.build("backbones", name, options), len(shapes.classes), None, name=name
    )
    rows = shapes.rows("train")[::3]
    points = torch.from_numpy(np.ascontiguousarray(shapes.points[rows, :POINTS], np.float32))
    labels = torch.from_numpy(np.asarray(shapes.labels[rows], np.int64))
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 0.5
    with torch.no_grad():
        for part in points[torch.randperm(len(points))[:128]].split(16):
            model.train()(part)
        features = torch.cat([model.eval().features(part) for part in points.split(16)])
    for norm in norms:
        norm.momentum = 0.1
    spread, mean = features.std(dim=0) + 1e-3, features.mean(dim=0)
    head = nn.Linear(features.shape[1], len(shapes.classes))
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(200):
        loss = nn.functional.cross_entropy(head((features - mean) / spread), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        model.head.weight.copy_(head.weight / spread)
        model.head.bias.copy_(head.bias - model.head.weight @ mean)
    values = checkpoint.describe(
        model, group="backbones", name=name, options=options, classes=shapes.classes,
        config=DistillConfig(points=POINTS), metrics={}, provenance={"kind": "student"},
    )  # fmt: skip
    checkpoint.save(path, values)


def show(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['parameters']:,} parameters")
    for label, each in found["formats"].items():
        if "refused" in each:
            print(f"  {label}: {each['refused']}")
            continue
        line = f"  {label:14} {each['ms']:8.1f} ms  x {each['ratio']:.2f}"
        if "bytes" in each:
            line += f"  {each['bytes'] / 2**20:6.2f} MiB  {each['difference']:.1e}  {each['seconds']:.0f} s"
            line += f"  points {each['points_min']} to {each['points_max']}"
        if "drop" in each:
            line += f"  accuracy {each['accuracy_eager']:.3f} -> {each['accuracy']:.3f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
