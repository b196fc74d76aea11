"""Numbers out of text, fast and strict: what OFF, point lists and ASCII .pcd share; and how a reader gives up.

In: bytes; out: all numbers in a row, and where each line begins among them. No Python loop: compiled kernels where
numba is loaded already, as it is wherever shapes are drawn, or where a text is worth loading it for; else numpy, five
times slower. Both give the double that is nearest to each decimal, so the same bytes.
"""

import codecs
import re
import sys
import warnings
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 400 * 1024**2
"""Largest file that is read: with the next two, what takes less than 2 GB of memory."""
MAX_POINTS = 12_000_000
MAX_FACES = 10_000_000
_WORTH_COMPILING = 64_000_000
"""Bytes that numpy needs more time for than it takes to load numba."""


class UnreadableError(ValueError):
    """Why a file is not a shape, without the file's name; `reading` turns it into a DataError."""


def check_promise(vertices: int, faces: int, least: int, size: int) -> None:
    """A header's counts, before anything is allocated: they need `least` bytes of the `size` that are there."""
    if vertices > MAX_POINTS or faces > MAX_FACES:
        raise UnreadableError(
            f"too large: {vertices} vertices and {faces} faces "
            f"(at most {MAX_POINTS} and {MAX_FACES})"
        )
    if least > size:
        raise UnreadableError(
            f"truncated: its header promises {vertices} vertices and {faces} faces, "
            f"which {size} bytes cannot hold"
        )


def numbers(text: bytes) -> NDArray[np.float64]:
    """Every number (n,) of a text in which white space alone separates; nan and inf are numbers here."""
    return _numbers_by_numba(text) if _is_compiled(text) else _numbers_by_numpy(text)


def line_starts(text: bytes) -> NDArray[np.int64]:
    """Among the numbers of `text`, the index (L + 1,) at which each line with content begins; last, their count."""
    if _is_compiled(text):
        from pointcmt_cli.data.formats.bytes_numba import token_lines

        starts = np.empty(text.count(b"\n") + 2, np.int64)
        return starts[: token_lines(np.frombuffer(text, np.uint8), starts)]
    tokens = _token_starts(text)
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    line = np.searchsorted(ends, tokens)
    return np.append(np.flatnonzero(np.diff(line, prepend=-1)), len(tokens))


def plain_text(data: bytes) -> bytes:
    """UTF-16 as UTF-8; without byte-order mark and comments, lines ended by newlines."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return re.sub(rb"#[^\n]*", b"", data) if b"#" in data else data


def _is_compiled(text: bytes) -> bool:
    return "numba" in sys.modules or len(text) > _WORTH_COMPILING


def _numbers_by_numba(text: bytes) -> NDArray[np.float64]:
    """What the kernel calls odd (nan, 30 digits, nonsense) is numpy's, in one piece; the whole text if it is much."""
    from pointcmt_cli.data.formats.bytes_numba import count_tokens, tokenize

    characters = np.frombuffer(text, np.uint8)
    values = np.empty(count_tokens(characters))
    places = np.empty((len(values) // 8 + 8, 3), np.int64)
    found = tokenize(characters, values, places)
    if found < 0:
        return _numbers_by_numpy(text)
    if found > 0:
        index, begin, end = places[:found].T
        odd = b" ".join(text[first:last] for first, last in zip(begin, end, strict=True))
        values[index] = _numbers_by_numpy(odd)
    return values


def _numbers_by_numpy(text: bytes) -> NDArray[np.float64]:
    if not text.strip():
        return np.empty(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(text, np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        _blame(text)
    if len(values) != len(_token_starts(text)):  # "1.5.2" reads as two numbers
        _blame(text)
    return values


def _token_starts(text: bytes) -> NDArray[np.int64]:
    inside = np.frombuffer(text, np.uint8) > ord(" ")
    before = np.concatenate([[False], inside[:-1]])
    return np.flatnonzero(inside > before)


def _blame(text: bytes) -> NoReturn:
    for token in text.split():
        try:
            if b"_" in token:
                raise ValueError
            float(token)
        except ValueError:
            shown = token[:20].decode("ascii", "backslashreplace")
            raise UnreadableError(f"expected a number, found '{shown}'") from None
    raise UnreadableError("holds something that is not a number")
