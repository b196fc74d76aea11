"""Keep freed memory for the next tensor instead of handing it back to the kernel; stdlib only, for glibc.

A training step frees and asks for the same memory again and again, and every fresh page costs a page fault: a plain
PointNet++ step on a CPU spends most of its time on them. The price: the process keeps the memory of its largest moment.
The environment variable POINTCMT_ALLOCATOR=default leaves the system's settings alone.
"""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 256 * 2**20


def tune() -> bool:
    """Set malloc's options; call before the first large tensor. True where it took effect."""
    if os.environ.get("POINTCMT_ALLOCATOR") == "default" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD))
    return all([mallopt(option, value) == 1 for option, value in wanted])
