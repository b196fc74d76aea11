"""`render --cluster`: a real Dask cluster of separate processes draws the same file; what goes wrong is one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pointcmt_cli.engine.rendering import home
from pointcmt_cli.engine.rendering.cluster import Futures
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, PluginError, PointCMTError, UsageError
from render_command import (
    command,
    environment,
    shards,
    wait_for,
    wait_for_shapes,
)
from toy_meshes import config, run, write_meshes

# One death is forgiven, and no shape waits in a worker where another one could cost it its own.
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
}


class Cluster:
    """A scheduler with one worker that is started again whenever it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        ending = ("--idle-timeout", "2 minutes")  # should nobody live to stop it
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", *ending)
        wait_for(self.file.exists)
        address = json.loads(self.file.read_text())["address"]
        self.address = address.replace("tcp://", "dask://")
        self.worker()

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """Another one, once the scheduler knows it."""
        words = (
            "--nthreads",
            "1",
            "--death-timeout",
            "30",
            "--local-directory",
            str(self.folder),
            *words,
        )
        process = self.start("worker", *words)
        log = self.log(len(self.processes) - 1)
        wait_for(lambda: "Registered to:" in log.read_text())
        return process

    def start(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        module = f"distributed.cli.dask_{kind}"
        line = [sys.executable, "-m", module, "--scheduler-file", str(self.file), "--no-dashboard"]
        with self.log(len(self.processes)).open("wb") as log:
            process = subprocess.Popen(
                [*line, *words], env={**environment(), **SETTINGS}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def log(self, number: int) -> Path:
        return self.folder / f"{number}.log"

    def stop(self) -> None:
        """At once; a nanny's worker ends with it."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.stop()


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
        "renderer_options": {"seconds": "0.1", "log": str(log)},
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
    words = command(meshes, "--cluster", dask.address, renderer="toy_renderers:slow")
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_shapes(meshes.parent, 3, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    last = errors.splitlines()[-1]
    assert last == "pointcmt: interrupted; the same command goes on where it stopped"
    assert not any("Traceback" in line or "distributed." in line for line in errors.splitlines())
    found = len(shards(meshes.parent))
    assert found >= 3
    result = run(config(meshes, renderer="toy_renderers:slow", workers=1))
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


@pytest.mark.slow
def test_ray_draws_again_what_a_worker_lost_and_leaves_out_what_kills_them_all(
    meshes: Path,
) -> None:
    pytest.importorskip("ray")
    once = str(meshes.parent / "killed")
    deadly = ["--option", "name=lamp/lamp_0002"]
    typed = [*command(meshes, "--cluster", "ray", renderer="toy_renderers:deadly"), *deadly]
    ended = subprocess.run(
        [*typed, "--option", f"once={once}"], env=environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert Path(once).exists()
    toy = {"renderer": "toy_renderers:deadly", "renderer_options": {"name": "-", "once": once}}
    run(config(meshes, out=meshes.parent / "single.h5", **toy))
    drawn, single = contents(meshes.parent / "views.h5"), contents(meshes.parent / "single.h5")
    assert drawn.keys() == single.keys()
    for key in single.keys() - {"renderer_options", "settings_digest"}:
        np.testing.assert_array_equal(drawn[key], single[key], err_msg=key)
    ended = subprocess.run([*typed, "--force"], env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "29 drawn, 0 kept" in ended.stdout
    assert "lamp_0002.off: every worker process that drew it died (out of" in ended.stderr


def test_another_version_and_folders_that_are_not_shared(tmp_path: Path) -> None:
    shape = tmp_path / "a.off"
    shape.touch()
    with home.opened("dask://here:1", tmp_path, "raster") as own:
        own.check(shape)
        with pytest.raises(DataError, match=r"does not see .*b.off: source and output must be"):
            own.check(tmp_path / "b.off")
        other = home.Home(own.cluster, own.beacon, own.renderer, (("pointcmt", "9"), ("x", "9")))
        with pytest.raises(PluginError, match=r"pointcmt is .* there and 9 here: install the"):
            other.check(shape)
    gone = home.Home(own.cluster, own.beacon, "points", own.versions)
    with pytest.raises(DataError, match=f"does not see {tmp_path}: source and output"):
        gone.check(shape)
    assert str(own.tell(DataError("full"))).endswith(", a worker of dask://here:1: full")


@pytest.mark.parametrize("told", [CancelledError(), ConnectionError("reset"), OSError("closed")])
def test_a_cluster_that_is_gone(told: BaseException) -> None:
    future: Future[Any] = Future()
    future.set_exception(told)
    backend = Futures("dask://here:1", print, 1, lost=(), gone=(OSError,))
    message = "^dask://here:1 is gone; the same command goes on where it stopped$"
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


@pytest.mark.parametrize("cluster", ["dask", "dask://", "dask://host", "slurm://h:1", "ray://h:x"])
def test_an_address_that_is_none(meshes: Path, cluster: str) -> None:
    message = f"--cluster {cluster}: not dask://HOST:PORT, ray or ray://HOST:PORT"
    with pytest.raises(UsageError, match=message):
        run(config(meshes, cluster=cluster, workers=None))


def test_workers_of_this_machine_and_of_a_cluster_exclude_each_other(meshes: Path) -> None:
    with pytest.raises(UsageError, match="--workers are this machine's, and --cluster has its own"):
        run(config(meshes, cluster="ray", workers=2))


@pytest.mark.parametrize(
    ("cluster", "module", "extra"),
    [("dask://h:1", "distributed", "dask"), ("ray", "ray", "ray")],
)
def test_a_missing_extra_is_named(
    meshes: Path, monkeypatch: pytest.MonkeyPatch, cluster: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"--cluster {cluster} needs {module}: pip install 'pointcmt\[{extra}\]'"
    with pytest.raises(PointCMTError, match=message):
        run(config(meshes, cluster=cluster, workers=None))
