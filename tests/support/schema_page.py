"""docs/evaluation.schema.json and the tables of docs/json-schema.md, out of the document's type.

.venv/bin/python tests/support/schema_page.py
"""

import json
import types
import typing
from pathlib import Path
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from pointcmt_cli.engine.evaluation import schema

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE, SCHEMA = DOCS / "json-schema.md", DOCS / "evaluation.schema.json"
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
PARTS = {
    "document": schema.Document,
    "data": schema.Data,
    "protocol": schema.Protocol,
    "run": schema.Run,
    "pass": schema.Pass,
    "calibration": schema.Calibration,
    "agreement": schema.Agreement,
    "comparison": schema.Comparison,
    "group": schema.Group,
    "against_plain": schema.AgainstPlain,
}
"""Tables of the page, each between `<!-- NAME -->` and `<!-- end -->`."""


def bare(hint: Any) -> tuple[Any, str]:
    """A type without its wrappers, and what is said of it."""
    said = ""
    while get_origin(hint) in (typing.Annotated, NotRequired):
        if get_origin(hint) is typing.Annotated:
            said = said or " ".join(str(each) for each in hint.__metadata__)
        hint = get_args(hint)[0]
    return hint, said


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a type."""
    kind, said = bare(hint)
    about = {"description": said} if said else {}
    if is_typeddict(kind):
        return {"$ref": f"#/$defs/{kind.__name__}", **about}
    if get_origin(kind) in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in get_args(kind)], **about}
    if get_origin(kind) is list:
        return {"type": "array", "items": schema_of(get_args(kind)[0]), **about}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": schema_of(get_args(kind)[1]), **about}
    return {"type": PLAIN[kind], **about} if kind in PLAIN else about


def definition(kind: Any) -> dict[str, Any]:
    """An object; fields may be added within a version, so others are allowed."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "properties": {name: schema_of(hint) for name, hint in hints.items()},
        "required": sorted(kind.__required_keys__),
    }


def json_schema() -> dict[str, Any]:
    """The whole document's."""
    kinds = [each for each in vars(schema).values() if is_typeddict(each)]
    whole = definition(schema.Document)
    whole["properties"]["schema"] = {"const": "pointcmt-evaluation"}
    whole["properties"]["version"] = {"const": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pointcmt evaluation document, version 1",
        **whole,
        "$defs": {each.__name__: definition(each) for each in kinds if each is not schema.Document},
    }


def table(kind: Any) -> str:
    """A part's fields as the page shows them."""
    rows = ["| field | what it is |", "|---|---|"]
    for name, hint in get_type_hints(kind, include_extras=True).items():
        absent = "" if name in kind.__required_keys__ else " (may be absent)"
        rows.append(f"| `{name}`{absent} | {bare(hint)[1] or 'see its name'} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with every table as the types have it."""
    for name, kind in PARTS.items():
        start, end = f"<!-- {name} -->\n", "\n<!-- end -->"
        before, _, rest = page.partition(start)
        assert rest, f"{PAGE.name} has no place for {name}"
        page = before + start + table(kind) + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
    SCHEMA.write_text(json.dumps(json_schema(), indent=1) + "\n")
