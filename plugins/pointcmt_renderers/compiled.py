"""numba's njit with a cache on disk where one can be written; in: a function, out: its compiled twin.

numba keeps the machine code beside the module, or in the user's cache folder (or NUMBA_CACHE_DIR) where that is
read-only. With no writable place at all it refuses the decorator itself; then each process compiles for itself.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def compiled(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Compile on first call, without fast-math, so that every machine draws the same bytes.

    Divisions are IEEE's, as numpy's: one by zero is infinite or nan, and is not tested for.
    """
    try:
        fast = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        fast = njit(nogil=True, error_model="numpy")(function)
    return cast("Callable[Arguments, Value]", fast)
