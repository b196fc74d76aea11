"""pointcmt: point-cloud classifiers taught by images (PointCMT, NeurIPS 2022, arXiv 2210.04208).

`pointcmt_cli.load(file)` opens a trained or exported model as a function of points. Importing this imports nothing
else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointcmt_cli.engine.deployed.model import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module 'pointcmt_cli' has no attribute '{name}'")
    return importlib.import_module("pointcmt_cli.engine.deployed.model").load
