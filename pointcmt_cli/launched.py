"""What torchrun tells each process that it starts, and who of them speaks; stdlib only, as it is read before torch is.

torchrun's environment: torch.distributed.run, "Environment Variables". Without it there is one process, the first.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


def _from_torchrun(name: str, otherwise: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise


def world() -> int:
    """Processes of the job, on all nodes."""
    return _from_torchrun("WORLD_SIZE", 1)


def rank() -> int:
    """This process's number among them."""
    return _from_torchrun("RANK", 0)


def local_rank() -> int:
    """This process's number on its node."""
    return _from_torchrun("LOCAL_RANK", 0)


def local_world() -> int:
    """Processes on this node."""
    return _from_torchrun("LOCAL_WORLD_SIZE", 1)


def node() -> int:
    """This node's number."""
    return _from_torchrun("GROUP_RANK", 0)


def nodes() -> int:
    """Nodes of the job."""
    return _from_torchrun("GROUP_WORLD_SIZE", 1)


def start() -> int:
    """How often torchrun has started the job again."""
    return _from_torchrun("TORCHELASTIC_RESTART_COUNT", 0)


@contextmanager
def one_voice() -> Iterator[TextIO]:
    """Standard error as it is; meanwhile, of a job's processes, only the first one writes to it and to standard output.

    torch's own warnings in C++ go past that: they are left out in a job, unless TORCH_CPP_LOG_LEVEL says otherwise.
    """
    if world() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if rank() == 0:
        yield sys.stderr
        return
    spoken = sys.stderr
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        yield spoken
