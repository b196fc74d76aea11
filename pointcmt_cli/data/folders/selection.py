"""Some of a source's shapes by name. In: items and what was typed; out: the items meant, or the nearest names."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.errors import UsageError

NEAREST = 3
"""Names that a message offers."""


def select(items: Sequence[Item], wanted: Sequence[str]) -> list[Item]:
    """The items that `wanted` names, in their own order: each CLASS/NAME, NAME, or a pattern with * ? or [...]."""
    chosen: set[str] = set()
    for text in wanted:
        exact = [item.name for item in items if text in (item.name, _stem(item))]
        found = exact or [item.name for item in items if _matches(item, text)]
        if not found:
            raise UsageError(f"--only {text}: no such shape{_nearest(items, text)}")
        chosen.update(found)
    return [item for item in items if item.name in chosen]


def _stem(item: Item) -> str:
    return item.name.rpartition("/")[2]


def _matches(item: Item, pattern: str) -> bool:
    return fnmatchcase(item.name, pattern) or fnmatchcase(_stem(item), pattern)


def _nearest(items: Sequence[Item], text: str) -> str:
    names = {(item.name if "/" in text else _stem(item)): item.name for item in items}
    near = [names[name] for name in get_close_matches(text, names, NEAREST)]
    return f"; the nearest: {', '.join(near)}" if near else ""
