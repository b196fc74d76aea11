"""One process's value to a group of processes. In: anything that pickles; out: the same in each of them.

Arrays travel beside the pickle (PEP 574), as they lie in memory, so that no process ever holds a second copy of them.
"""

import pickle
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PIECE = 2**28
"""Bytes sent at once."""


def send(value: Any, source: int, group: Any) -> Any:
    """`value` of the process `source`; the other processes' own is not looked at."""
    if dist.get_rank() == source:
        arrays: list[pickle.PickleBuffer] = []
        text = pickle.dumps(value, 5, buffer_callback=arrays.append)
        raw = [memoryview(each.raw()) for each in arrays]
        dist.broadcast_object_list([text, [each.nbytes for each in raw]], source, group)
        for each in raw:
            if each.nbytes:
                _broadcast(torch.frombuffer(each, dtype=torch.uint8), source, group)
        return value
    about: list[Any] = [None, None]
    dist.broadcast_object_list(about, source, group)
    text, sizes = about
    parts = [torch.empty(size, dtype=torch.uint8) for size in sizes]
    for part in parts:
        _broadcast(part, source, group)
    return pickle.loads(text, buffers=[part.numpy() for part in parts])


def _broadcast(part: Tensor, source: int, group: Any) -> None:
    for piece in torch.split(part, PIECE):
        if len(piece):
            dist.broadcast(piece, source, group)
