"""Threads for the CPU kernels: pieces of work that release the interpreter's lock, on as many threads as torch may use.

One mechanism for numba kernels and small matrix products alike. A second OpenMP runtime beside torch's (numba's prange)
would spin at every barrier, which on a busy machine costs hundreds of times the work.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import torch


def share(work: Callable[[int], None], pieces: int) -> None:
    """Run work(0) to work(pieces - 1), without gradients; while several threads run, each torch call uses one.

    Where results are sums, let each piece have its own and add them in order: the number of threads must not matter.
    """
    threads = min(torch.get_num_threads(), pieces)
    left = iter(range(pieces))  # every thread takes the next piece: `next` of it is atomic

    def run() -> None:
        for piece in left:
            work(piece)

    with torch.no_grad():
        if threads <= 1:
            run()
            return
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            jobs = [
                _pool(threads, os.getpid()).submit(torch.no_grad()(run)) for _ in range(threads)
            ]
            wait(jobs)
            for job in jobs:
                job.result()
        finally:
            torch.set_num_threads(before)


def cuts(total: int, pieces: int) -> list[tuple[int, int]]:
    """Ranges that cut `total` things into `pieces` nearly equal runs, none empty."""
    pieces = min(pieces, total)
    return [(piece * total // pieces, (piece + 1) * total // pieces) for piece in range(pieces)]


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        threads, thread_name_prefix="pointcmt", initializer=torch.set_num_threads, initargs=(1,)
    )
