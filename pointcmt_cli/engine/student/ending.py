"""How a job of several processes ends when one of them fails: all end at once, and one line says why.

In: an error in this process, a peer that is gone, Ctrl-C or torchrun's SIGTERM; out: a PointCMTError that knows whether
this process is the one to say it. The first to ask torchrun's key-value store has the word.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import torch.distributed as dist

from pointcmt_cli import launched
from pointcmt_cli.errors import JobLostError, PointCMTError, StageInterruptedError


class Saves(Protocol):
    """Whoever knows how many epochs need not be trained again."""

    saved: int


class _Ended(KeyboardInterrupt):
    """SIGTERM: torchrun ends this process, as it does with all when one has died."""


@contextmanager
def told_once(job: Saves) -> Iterator[None]:
    """Turn what ends this process into the job's one line."""
    store = _store()  # while torchrun is there for certain
    before = _on_sigterm(_end)
    try:
        yield
    except GeneratorExit:  # the console has seen Ctrl-C; the first process's will say so
        if launched.rank() == 0:
            _claim(store)
        raise
    except BaseException as error:
        _on_sigterm(signal.SIG_IGN)
        own = _translated(error, job.saved)
        has_the_word = _claim(store)
        if own is None:
            raise
        own.tell = has_the_word
        raise own from error
    _on_sigterm(before)


def _translated(error: BaseException, saved: int) -> PointCMTError | None:
    # a process that is not the first one may have missed the news of the last saved epoch
    last = f"epoch {saved}" if saved else "the last saved epoch, if there is one"
    again = f"run the same command again: it goes on after {last}"
    if isinstance(error, PointCMTError):
        return error
    if isinstance(error, _Ended):
        return JobLostError(f"the job was stopped, or one of its processes has died; {again}")
    if isinstance(error, KeyboardInterrupt):
        return StageInterruptedError("interrupted; run the same command again to continue")
    if of_a_lost_peer(error):
        return JobLostError(f"another process of this job has died (killed? no memory?); {again}")
    return None


def of_a_lost_peer(error: BaseException) -> bool:
    """Gloo's and NCCL's errors come as plain RuntimeErrors, some of them."""
    names = ("gloo", "NCCL", "ProcessGroup")
    plain = isinstance(error, RuntimeError) and any(name in str(error) for name in names)
    return plain or isinstance(error, dist.DistError)


def claim() -> bool:
    """The word, for an error of a process that has not joined its job yet; for the first that asks."""
    try:
        return _claim(_store())
    except RuntimeError:
        return True


def _store() -> Any:
    """A connection of our own, so that it answers quickly when torchrun itself is gone."""
    return dist.TCPStore(  # type: ignore[attr-defined]
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=timedelta(seconds=10),
    )


def _claim(store: Any) -> bool:
    try:
        return bool(store.add(f"pointcmt/told/{launched.start()}", 1) == 1)
    except RuntimeError:  # torchrun is gone: better twice than never
        return True


def _end(*_: object) -> None:
    _on_sigterm(signal.SIG_IGN)
    raise _Ended


def _on_sigterm(action: Any) -> Any:
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, action)
