"""How work on a device is recorded: a CUDA graph, and what must not be in one. In: a function; out: its replay.

Nothing here looks at what is recorded; `recorded_step` says how a step of training becomes such work.
"""

import contextlib
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch

Work = Callable[[], None]


class Recorder(Protocol):
    """A way to record work on a device."""

    def rehearse(self, work: Work, strict: bool) -> None:
        """Do it, so that what is compiled or set up once is done; `strict`: making the host wait is an error."""

    def record(self, work: Work) -> Work:
        """What does it again each time; it is not done now."""


class CudaGraph:
    """Through torch.cuda.CUDAGraph, as torch's notes on whole-network capture say."""

    def rehearse(self, work: Work, strict: bool) -> None:
        """On a stream beside the default one; a host that waits is noticed here, where an error harms nothing."""
        own = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(own)
        try:
            with torch.cuda.stream(side), contextlib.ExitStack() as checks:
                if strict:
                    checks.enter_context(waiting_is_an_error())
                    checks.enter_context(drawing_is_an_error())
                work()
        finally:
            own.wait_stream(side)

    def record(self, work: Work) -> Work:
        """The graph's replay; its memory is its own."""
        graph, own = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                work()
        except RuntimeError:
            # A recording that broke off leaves its stream the current one, and in some versions of torch the generator
            # counting for the graph, so that the next dropout would fail.
            torch.cuda.set_stream(own)
            of_device = torch.cuda.default_generators[torch.cuda.current_device()]
            of_device.graphsafe_set_state(torch.Generator("cuda"))
            raise
        return graph.replay


@contextlib.contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """On CUDA, inside: what makes the host wait for the device raises a RuntimeError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this mode is a prototype
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextlib.contextmanager
def drawing_is_an_error() -> Iterator[None]:
    """Random numbers that the host draws raise a RuntimeError afterwards: recorded, they would always be the same."""

    def seen() -> list[bytes]:
        drawn = (random.getstate(), np.random.get_state(legacy=False))
        return [*map(pickle.dumps, drawn), torch.get_rng_state().numpy().tobytes()]

    before = seen()
    yield
    if seen() != before:
        raise RuntimeError("random numbers are drawn on the host; draw them on the points' device")
