"""numba's njit for every kernel, here and in plug-ins. In: a function; out: its compiled twin, cached where it can be.

The machine code is kept beside the module, or in the user's cache folder (or NUMBA_CACHE_DIR) where that is read-only.
With no place to write, on a full disk or with a damaged cache, each process compiles for itself: slower, but no error.
"""

import contextlib
import pickle
from collections.abc import Callable, Set
from functools import partial
from typing import Any, Literal, TypeVar, overload

from numba import njit
from numba.core.caching import FunctionCache

_Function = TypeVar("_Function", bound=Callable[..., Any])
NO_NANS = frozenset({"nnan", "nsz"})
"""LLVM's flags of a kernel that meets no NaN and minds no sign of zero: minimum and maximum vectorise, and no number is
rounded otherwise (no contraction, no reordering)."""
_DAMAGED = (OSError, EOFError, pickle.UnpicklingError, ValueError, TypeError, AttributeError)
"""What a cut or overwritten cache file raises."""


@overload
def compiled(function: _Function, /) -> _Function: ...


@overload
def compiled(
    *, fastmath: Set[str] = ..., error_model: Literal["python", "numpy"] = ...
) -> Callable[[_Function], _Function]: ...


def compiled(
    function: Callable[..., Any] | None = None,
    /,
    *,
    fastmath: Set[str] = frozenset(),
    error_model: Literal["python", "numpy"] = "python",
) -> Any:
    """Compile on first call: `@compiled`, or `@compiled(error_model="numpy")`.

    Without `fastmath` (LLVM's flags) every machine computes the same bytes. With `error_model` "numpy" a division by
    zero is infinite or nan and not an error, so that loops can be vectorised.

    >>> @compiled
    ... def total(values):
    ...     found = 0.0
    ...     for value in values:
    ...         found += value
    ...     return found
    >>> total((1.0, 2.0, 4.0))
    7.0
    """
    if function is None:
        return partial(compiled, fastmath=fastmath, error_model=error_model)
    settings = {"fastmath": set(fastmath) or False, "error_model": error_model}
    fast = njit(nogil=True, **settings)(function)
    with contextlib.suppress(RuntimeError):  # "cannot cache function: no locator available"
        fast._cache = _Cache(function)  # what njit's cache=True does
    return fast


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's own, but a file that cannot be written or read costs a compilation and nothing else."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code, if that is possible."""
        try:
            super().save_overload(sig, data)
        except _DAMAGED:
            self._forget()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kept code, or None."""
        try:
            return super().load_overload(sig, target_context)
        except _DAMAGED:
            self._forget()
            return None

    def _forget(self) -> None:
        """numba writes its index before the code: an index alone would lead to the code of an older source."""
        with contextlib.suppress(OSError):
            self.flush()
