"""Fixtures that every test file shares; real data only where ../shared is beside the project."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import DATA
from processes import MARK, nobody_left_behind

for name in ("COLUMNS", "LINES"):  # xdist gives its workers both, and rich would keep them for good
    os.environ.pop(name, None)
if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each worker
    os.environ["OMP_NUM_THREADS"] = "1"
else:
    os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ[MARK] = str(os.getpid())


def pytest_configure() -> None:
    """Without a GPU, Triton's kernels run in Python; it must know before it is imported."""
    import torch  # after the number of threads is set

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with slow tests first, so that no worker is alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def processes_of_the_file() -> Iterator[None]:
    """Whoever a fixture of the file has started ends with it."""
    with nobody_left_behind():
        yield


@pytest.fixture(autouse=True)
def processes_of_the_test(processes_of_the_file: None) -> Iterator[None]:
    """A test that leaves a process behind fails, not another one that suffers from it."""
    with nobody_left_behind():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of academic data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip("needs the academic data sets in ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def meshes36(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,210 real meshes, unpacked."""
    folder = tmp_path_factory.mktemp("meshes36")
    with tarfile.open(shared_data / "meshes36.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "meshes36"
