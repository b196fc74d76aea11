"""`render --cluster`: shapes drawn by the workers of a Dask cluster. In: its address; out: a `Place`.

The cluster's own scheduler does all the work: it starts a shape again elsewhere when a worker is lost, and gives up one
that takes its workers with it. joblib sees it through `Futures`, a backend as joblib documents them: its Dask backend
(1.6) waits for ever when a shape was given up, as it does not call back then.
"""

import functools
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from joblib import parallel_config
from joblib.parallel import ParallelBackendBase

from pointcmt_cli.engine.rendering import home
from pointcmt_cli.engine.rendering.draw_shape import Drawn, Job
from pointcmt_cli.engine.rendering.workers import Place
from pointcmt_cli.errors import PointCMTError, UsageError
from pointcmt_cli.wording import missing_package

REACH = 30
"""Seconds in which a scheduler answers."""
MANY_PARTS = 1000
"""Whoever greets with a larger number speaks another protocol, such as a dashboard's."""
PATIENCE = 30
"""Seconds for which a cluster without workers is waited for."""


class Futures(ParallelBackendBase):  # type: ignore[misc]
    """A joblib backend over `submit(function, *arguments)`, whose futures call back however they end.

    `lost` is the error by which the cluster says that it has given a shape up, `gone` the one that says it is no more.
    """

    supports_retrieve_callback = True

    def __init__(
        self,
        cluster: str,
        submit: Callable[..., Any],
        workers: int,
        lost: type[BaseException],
        gone: type[BaseException],
    ) -> None:
        super().__init__(nesting_level=0)
        self.cluster, self.workers, self.lost = cluster, workers, lost
        self.gone = (CancelledError, ConnectionError, gone)
        self._submit = submit
        self.caller = ThreadPoolExecutor(1)
        """Calls back, and so hands out the next shape, beside the client's own thread."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """As many as there are workers, whatever is asked for; joblib would draw for a single one itself."""
        return max(self.workers, 2)

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
        """Hand out a batch, which is one shape."""
        [(function, arguments, _)] = func.items
        future = self._submit(function, *arguments)
        future.add_done_callback(lambda done: self.caller.submit(callback, (done, arguments)))
        return future

    def retrieve_result_callback(self, out: tuple[Any, tuple[Job, Any]]) -> list[Drawn]:
        """What has become of the shape."""
        future, (_, item) = out
        try:
            return [future.result()]
        except self.lost:
            reason = f"{item.path}: every worker process that drew it died (out of memory?)"
            return [Drawn(item, reason)]
        except self.gone as error:
            raise PointCMTError(
                f"{self.cluster} is gone; run the same command again to continue"
            ) from error
        except Exception as error:
            if "No module named 'pointcmt" not in f"{error} {error.__cause__}":
                raise
            raise PointCMTError(
                f"{self.cluster} lacks pointcmt: install it on every machine of the cluster, Dask's scheduler included"
            ) from error


def refuse_other_than_address(address: str, workers: int | None) -> None:
    """Raise where it is no address, or where something of this machine's is asked for beside it."""
    if workers is not None:
        raise UsageError(
            "--workers and --cluster: a cluster has workers of its own, so give one of them"
        )
    try:
        parts = urlsplit(address)
        good = parts.scheme == "dask" and parts.hostname and parts.port
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"--cluster {address}: not dask://HOST:PORT")


@contextmanager
def opened(address: str, job: Job, renderer: str | None) -> Iterator[Place]:
    """Connected while the block runs; `renderer` None: the job's shapes bring their pictures."""
    with (
        home.opened(address, job.shards.folder, renderer) as own,
        _connected(address) as (backend, note),
        backend.caller,
    ):
        yield Place(
            lambda: parallel_config(backend=backend),
            backend.workers,
            in_flight="4*n_jobs",  # so that workers who come later find something to do
            home=own,
            note=note,
        )


@contextmanager
def _connected(address: str) -> Iterator[tuple[Futures, str | None]]:
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise PointCMTError(
            missing_package(f"--cluster {address}", "distributed", "dask")
        ) from error
    with _client(distributed, address) as client:
        start = f"`dask worker {urlsplit(address).netloc} --nthreads 1`"
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise PointCMTError(f"{address} has no workers; {start} starts one") from error
        for worker, found in client.run(version, "pointcmt", on_error="return").items():
            # it would end at the first shape, and another be waited for
            if isinstance(found, Exception):
                raise PointCMTError(
                    f"{address}: its worker {worker} lacks pointcmt: install it on every machine of the cluster"
                )
        threads = client.nthreads().values()
        note = None
        if max(threads) > 1:
            note = (
                f"{address}: a worker process draws one shape at a time, and has {max(threads)} threads; "
                f"{start} starts one without idle threads"
            )
        submit = functools.partial(client.submit, pure=False)
        lost, gone = distributed.scheduler.KilledWorker, distributed.comm.CommClosedError
        yield Futures(address, submit, len(threads), lost, gone), note


def _client(distributed: Any, address: str) -> Any:
    """Of a scheduler that answers as one."""
    silent = PointCMTError(f"{address} does not answer as a Dask scheduler does")
    with _reached(address) as connection:
        try:
            greeting = connection.recv(8)  # how many parts a message has; a scheduler speaks first
        except OSError as error:
            raise silent from error
    if not 0 < int.from_bytes(greeting, "little") < MANY_PARTS:
        raise silent
    scheduler = f"tcp://{urlsplit(address).netloc}"
    try:
        return distributed.Client(scheduler, timeout=REACH, set_as_default=False)
    except OSError as error:
        raise silent from error


def _reached(address: str) -> socket.socket:
    """A connection, or a refusal within seconds, where the libraries would try again and again."""
    parts = urlsplit(address)
    try:
        return socket.create_connection((parts.hostname, parts.port), REACH)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PointCMTError(f"{address} cannot be reached: {reason}; is it running?") from error
