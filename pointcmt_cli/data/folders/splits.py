"""Splits by a hash of the name: stable when shapes are added, the same on every machine; stdlib only."""

import hashlib


def unit_hash(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(f"{salt}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(name: str, given: str | None, test_fraction: float, held_out_fraction: float) -> str:
    """`train`, `val` or `test`; `given` is the source's own split (None: it has none).

    `val` is carved from train by the hash, so test is never touched by any selection.
    """
    if given is None:
        given = "test" if unit_hash(name, "test") < test_fraction else "train"
    if given == "train" and unit_hash(name, "held-out") < held_out_fraction:
        return "val"
    return given


def fold_of(name: str, folds: int) -> int:
    """The out-of-fold group of a training shape, 0 to folds - 1."""
    return int(unit_hash(name, "fold") * folds)
