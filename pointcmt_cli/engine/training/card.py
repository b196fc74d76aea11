"""Model cards: Markdown with Hugging Face's metadata block, which nothing that is named in them can break out of.

In: values of any text; out: the card's text. The block's fields are those of https://huggingface.co/docs/hub/model-cards,
each in one line of JSON, which is YAML too. What a card says stands in `engine/report/card.py` (scored checkpoints) and
`engine/hub/card.py` (what a checkpoint says of itself).
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NewType

from pointcmt_cli.wording import one_line

Markdown = NewType("Markdown", str)
"""Text that was made by the functions below: all that `card` takes."""
SPECIAL = re.compile(r"([\\`*_\[\]#|~])")
TAGS = ("pointcmt", "point-cloud", "3d")


def card(
    title: str,
    about: str,
    sections: Mapping[str, Iterable[Markdown]],
    tags: Sequence[str] = (),
    **metadata: Any,
) -> str:
    """The whole card; `metadata` are more fields of the block."""
    block: dict[str, Any] = {"library_name": "pointcmt", "tags": [*TAGS, *tags], **metadata}
    parts = [
        "\n".join(["---", *(f"{key}: {_yaml(value)}" for key, value in block.items()), "---"]),
        f"# {plain(title)}",
        plain(about),
    ]
    for name, blocks in sections.items():
        parts += [f"## {plain(name)}", *blocks]
    return "\n\n".join(parts) + "\n"


def plain(value: object) -> Markdown:
    """Text in one line as Markdown shows it, whatever is in it."""
    text = one_line(_encodable(str(value)))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markdown(SPECIAL.sub(r"\\\1", text))


def heading(text: str) -> Markdown:
    """A heading within a section."""
    return Markdown(f"### {plain(text)}")


def bullets(texts: Iterable[str]) -> Markdown:
    """A list."""
    return Markdown("\n".join(f"- {plain(text)}" for text in texts))


def table(columns: Mapping[str, str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table of headings, each with `l` or `r` for its side, and rows of values."""
    sides = ["--:" if side == "r" else "---" for side in columns.values()]
    lines: list[Sequence[str]] = [[plain(each) for each in columns], sides]
    lines += [[plain(value) for value in row] for row in rows]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def command(*words: str) -> Markdown:
    """A line to type, in a block of code that no word of it can close."""
    line = one_line(_encodable(shlex.join(words)))
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}\n{line}\n{fence}")


def slug(text: str) -> str:
    """A tag: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _yaml(value: Any) -> str:
    """JSON in ASCII that is YAML too, which has an escape of its own for what has more than 16 bits."""
    text = _encodable(json.dumps(value, ensure_ascii=False))
    return re.sub(r"[^\x20-\x7e]", _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _encodable(text: str) -> str:
    """Without what a file name of another encoding leaves behind."""
    return text.encode("utf-8", "replace").decode("utf-8")
