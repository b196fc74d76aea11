"""The allocator's settings: taken on glibc, left alone when asked, harmless to torch."""

import os
import platform
import subprocess
import sys

import pytest

LINES = "from pointcmt_cli import allocator; print(allocator.tune()); import torch; torch.ones(9**7).sum()"


@pytest.mark.parametrize("opted_out", [False, True])
def test_tune(opted_out: bool) -> None:
    environment = {**os.environ, "POINTCMT_ALLOCATOR": "default" if opted_out else ""}
    done = subprocess.run(
        [sys.executable, "-c", LINES], env=environment, capture_output=True, text=True, check=True
    )
    expected = platform.libc_ver()[0] == "glibc" and not opted_out
    assert done.stdout.split() == [str(expected)]
