"""How the kernels of the renderers are compiled. In: a function; out: its compiled twin, cached where it can be."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pointcmt_cli.api import compiled as compiled_and_kept

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def compiled(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Compile on first call, without fast-math, so that every machine draws the same bytes.

    Divisions are IEEE's, as numpy's: one by zero is infinite or nan, and is not tested for.
    """
    return compiled_and_kept(function, error_model="numpy")
