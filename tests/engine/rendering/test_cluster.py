"""`render --cluster`: a real Dask cluster of separate processes draws the same file; what goes wrong is one line."""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import h5py
import numpy as np
import pytest

from pointcmt_cli.engine.rendering import home
from pointcmt_cli.engine.rendering.cluster import Futures
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, PluginError, PointCMTError, UsageError
from processes import HANGS, Running, running
from render_command import (
    command,
    environment,
    shards,
    write_pace,
)
from toy_meshes import config, run, write_meshes

# One death is forgiven, and no shape waits in a worker where another one could cost it its own.
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
}


class Cluster:
    """A scheduler with one worker that is started again whenever it dies."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder, self.ends = folder, ends
        self.file = folder / "scheduler.json"
        ending = ("--idle-timeout", "1 hour")  # should nobody live to stop it
        scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", *ending)
        address: str = scheduler.wait_for(self.written_address)
        self.address = address.replace("tcp://", "dask://")
        self.worker()

    def written_address(self) -> str:
        """Empty while the file is not there, or not whole."""
        try:
            return str(json.loads(self.file.read_text())["address"])
        except (OSError, json.JSONDecodeError):
            return ""

    def worker(self, *words: str) -> Running:
        """Another one, once the scheduler knows it."""
        place = ("--local-directory", str(self.folder))
        started = self.start(
            "worker", "--nthreads", "1", "--death-timeout", str(HANGS), *place, *words
        )
        started.wait_for(lambda: "Registered to:" in started.errors)
        return started

    def start(self, kind: str, *words: str) -> Running:
        module = f"distributed.cli.dask_{kind}"
        line = [sys.executable, "-m", module, "--scheduler-file", str(self.file), "--no-dashboard"]
        place = Path(mkdtemp(prefix=kind, dir=self.folder))
        variables = {**environment(), **SETTINGS}
        return self.ends.enter_context(running([*line, *words], place, env=variables))


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with ExitStack() as ends:
        yield Cluster(tmp_path_factory.mktemp("dask"), ends)


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return write_meshes(tmp_path / "meshes", 10)


def contents(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {**{key: file[key][:] for key in file}, **file.attrs}


@pytest.mark.slow
def test_a_worker_is_killed_and_the_file_is_the_single_process_s(
    dask: Cluster, meshes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = meshes.parent / "log"
    log.mkdir()
    victim = dask.worker("--no-nanny")
    monkeypatch.chdir(meshes.parent)  # relative paths mean the same in workers of other folders
    toy = {
        "renderer": "toy_renderers:slow",
        "renderer_options": {"pace": write_pace(meshes.parent, 0.1), "log": str(log)},
    }
    killed = False
    for _ in render(
        config(Path("meshes"), cluster=dask.address, workers=None, work=Path("."), **toy)
    ):
        if not killed and (log / str(victim.pid)).exists():
            os.kill(victim.pid, signal.SIGKILL)
            killed = True
    assert killed
    assert len(list(log.iterdir())) == 2
    write_pace(meshes.parent, 0)
    run(config(meshes, out=meshes.parent / "single.h5", **toy))
    drawn, single = contents(meshes.parent / "views.h5"), contents(meshes.parent / "single.h5")
    assert drawn.keys() == single.keys()
    for key, expected in single.items():
        np.testing.assert_array_equal(drawn[key], expected, err_msg=key)


@pytest.mark.slow
def test_a_shape_that_kills_every_worker_is_left_out(dask: Cluster, meshes: Path) -> None:
    toy = {"renderer": "toy_renderers:deadly", "renderer_options": {"name": "lamp/lamp_0002"}}
    result = run(config(meshes, cluster=dask.address, workers=None, **toy))
    [failure] = result["failures"]
    assert failure["name"] == "lamp/lamp_0002"
    end = "lamp_0002.off: every worker process that drew it died (out of memory?)"
    assert failure["reason"].endswith(end)
    assert result["drawn"] == 29


@pytest.mark.slow
def test_pictures_to_and_from(dask: Cluster, meshes: Path) -> None:
    images, views = meshes.parent / "images", meshes.parent / "views.h5"
    away = {"cluster": dask.address, "workers": None}
    assert run(config(meshes, format="png", out=images, **away))["drawn"] == 30
    plain = {"views_from": images, "renderer": None, "image_size": None}
    assert run(config(meshes, **plain, **away))["drawn"] == 30
    run(config(meshes, **plain, out=meshes.parent / "single.h5"))
    drawn, single = contents(views), contents(meshes.parent / "single.h5")
    for key in single:
        np.testing.assert_array_equal(drawn[key], single[key], err_msg=key)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_drawn(dask: Cluster, meshes: Path) -> None:
    pace = write_pace(meshes.parent, 0.5)
    slow = {"renderer": "toy_renderers:slow", "renderer_options": {"pace": pace}}
    words = command(meshes, "--cluster", dask.address, renderer="toy_renderers:slow")
    words += ["--option", f"pace={pace}"]
    with running(words, meshes.parent / "said", env=environment()) as started:
        started.wait_for(lambda: len(shards(meshes.parent)) >= 3)
        started.process.send_signal(signal.SIGINT)
        assert started.wait() == 130
    lines = started.errors.splitlines()
    assert lines[-1] == "pointcmt: interrupted; run the same command again to continue"
    assert not any("Traceback" in line or "distributed." in line for line in lines)
    found = len(shards(meshes.parent))
    assert 3 <= found < 30
    write_pace(meshes.parent, 0)
    result = run(config(meshes, workers=1, **slow))
    assert (result["kept"], result["drawn"]) == (found, 30 - found)


@pytest.mark.slow
def test_what_a_worker_lacks_is_said_with_its_name(
    dask: Cluster, meshes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = meshes.parent / "only_here.py"
    module.write_text("from toy_renderers import dots\n")
    monkeypatch.syspath_prepend(str(meshes.parent))
    message = (
        rf"^.*, a worker of {dask.address}: renderer 'only_here:dots' is broken: .*No module named"
    )
    with pytest.raises(PluginError, match=message):
        run(config(meshes, cluster=dask.address, workers=None, renderer="only_here:dots"))
    assert not (meshes.parent / ".views.h5.parts").exists()


def test_another_version_and_folders_that_are_not_shared(tmp_path: Path) -> None:
    shape = tmp_path / "a.off"
    shape.touch()
    with home.opened("dask://here:1", tmp_path, "raster") as own:
        own.verify(shape)
        with pytest.raises(DataError, match=r"does not see .*b.off: source and output must be"):
            own.verify(tmp_path / "b.off")
        other = home.Home(own.cluster, own.beacon, own.renderer, (("pointcmt", "9"), ("x", "9")))
        with pytest.raises(PluginError, match=r"pointcmt is .* there and 9 here: install the"):
            other.verify(shape)
    gone = home.Home(own.cluster, own.beacon, "points", own.versions)
    with pytest.raises(DataError, match=f"does not see {tmp_path}: source and output"):
        gone.verify(shape)
    assert str(own.locate(DataError("full"))).endswith(", a worker of dask://here:1: full")


@pytest.mark.parametrize("told", [CancelledError(), ConnectionError("reset"), OSError("closed")])
def test_a_cluster_that_is_gone(told: BaseException) -> None:
    future: Future[Any] = Future()
    future.set_exception(told)
    backend = Futures("dask://here:1", print, 1, lost=EOFError, gone=OSError)
    message = "^dask://here:1 is gone; run the same command again to continue$"
    with pytest.raises(PointCMTError, match=message):
        backend.retrieve_result_callback((future, (None, None)))


def test_a_cluster_that_is_not_there(meshes: Path) -> None:
    pytest.importorskip("distributed")
    message = r"dask://127.0.0.1:1 cannot be reached: .*; is it running\?"
    with pytest.raises(PointCMTError, match=message):
        run(config(meshes, cluster="dask://127.0.0.1:1", workers=None))


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n", b""])
def test_something_else_at_the_address(meshes: Path, greeting: bytes) -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        message = f"dask://127.0.0.1:{port} does not answer as a Dask scheduler does"
        with pytest.raises(PointCMTError, match=message):
            run(config(meshes, cluster=f"dask://127.0.0.1:{port}", workers=None))
        thread.join()


@pytest.mark.parametrize("cluster", ["dask", "dask://", "dask://host", "slurm://h:1", "dask://h:x"])
def test_an_address_that_is_none(meshes: Path, cluster: str) -> None:
    message = f"--cluster {cluster}: not dask://HOST:PORT$"
    with pytest.raises(UsageError, match=message):
        run(config(meshes, cluster=cluster, workers=None))


def test_workers_of_this_machine_and_of_a_cluster_exclude_each_other(meshes: Path) -> None:
    with pytest.raises(
        UsageError, match="--workers and --cluster: a cluster has workers of its own"
    ):
        run(config(meshes, cluster="dask://h:1", workers=2))


def test_a_missing_extra_is_named(meshes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = r"--cluster dask://h:1 needs distributed: pip install 'pointcmt\[dask\]'"
    with pytest.raises(PointCMTError, match=message):
        run(config(meshes, cluster="dask://h:1", workers=None))
