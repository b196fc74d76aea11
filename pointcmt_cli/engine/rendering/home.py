"""What a cluster's worker must share with the run that sends it a shape: its files and its versions.

In: a `Home`, which travels with every task; out: nothing, or one line that says which worker lacks what.
"""

import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from pointcmt_cli import discovery
from pointcmt_cli.errors import DataError, PluginError, PointCMTError


@dataclass(frozen=True)
class Home:
    """Hashable: a process looks once, and then for each shape's file."""

    cluster: str
    beacon: Path
    """A file in the folder that finished shapes are kept in; no other run's has its name."""
    renderer: str | None
    """None: the shapes bring their pictures."""
    versions: tuple[tuple[str, str], ...]
    """Distributions that decide a shape's points and views."""

    def verify(self, path: Path) -> None:
        """Raise where this process cannot draw the shape in `path` for that run."""
        _verify_once(self)
        if not path.exists():
            raise _unseen(path)

    def locate(self, error: PointCMTError) -> PointCMTError:
        """The same error with the name of this machine."""
        return type(error)(f"{socket.gethostname()}, a worker of {self.cluster}: {error}")


@contextmanager
def opened(cluster: str, folder: Path, renderer: str | None) -> Iterator[Home]:
    """The home of a run that keeps its shapes in `folder`."""
    beacon = folder.absolute() / f".{uuid4().hex}.tmp"
    beacon.touch()
    try:
        yield Home(cluster, beacon, renderer, _versions(renderer))
    finally:
        beacon.unlink(missing_ok=True)


@functools.cache
def _verify_once(home: Home) -> None:
    if not home.beacon.exists():
        raise _unseen(home.beacon.parent)
    for (name, expected), (_, found) in zip(home.versions, _versions(home.renderer), strict=True):
        if found != expected:
            raise PluginError(
                f"{name} is {found} there and {expected} here: install the same version on every machine"
            )


def _unseen(path: Path) -> DataError:
    return DataError(
        f"does not see {path}: source and output must be in folders that every machine sees under the same name"
    )


def _versions(renderer: str | None) -> tuple[tuple[str, str], ...]:
    own = ("pointcmt", version("pointcmt"))
    if renderer is None:
        return (own,)
    plugin = discovery.find("renderers", renderer)
    return own, (plugin.distribution, plugin.version)
