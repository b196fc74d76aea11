"""pointcmt: point-cloud classifiers taught by images (PointCMT, NeurIPS 2022, arXiv 2210.04208).

`load(file)` opens a trained or exported model as a function of points; `render`, `train_teacher`, `distill`, `evaluate`
and `export` are the stages, generators of records. Importing this imports nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointcmt_cli.engine.deployed.model import load as load
    from pointcmt_cli.engine.evaluation.evaluate import evaluate as evaluate
    from pointcmt_cli.engine.export.export import export as export
    from pointcmt_cli.engine.rendering.render import render as render
    from pointcmt_cli.engine.student.distill import distill as distill
    from pointcmt_cli.engine.teacher.train_teacher import train_teacher as train_teacher

__version__ = "0.1.0"
__all__ = ["__version__", "distill", "evaluate", "export", "load", "render", "train_teacher"]
_HOMES = {
    "load": "deployed.model",
    "render": "rendering.render",
    "train_teacher": "teacher.train_teacher",
    "distill": "student.distill",
    "evaluate": "evaluation.evaluate",
    "export": "export.export",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pointcmt_cli' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pointcmt_cli.engine.{_HOMES[name]}"), name)
