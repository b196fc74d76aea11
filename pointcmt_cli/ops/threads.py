"""One thread count for both runtimes: numba's kernels use as many threads as torch was told to use."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch


@contextmanager
def numba_threads() -> Iterator[None]:
    """Run numba kernels on `torch.get_num_threads()` threads, as far as numba has them."""
    before = numba.get_num_threads()
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
