"""docs/evaluation.schema.json, docs/checkpoint.schema.json and the tables of docs/json-schema.md, out of the types.

.venv/bin/python tests/support/schema_page.py
"""

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from torch import Tensor

from pointcmt_cli.engine.evaluation import robust_schema, schema
from pointcmt_cli.engine.training import stored
from pointcmt_cli.provenance import MadeBy

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = DOCS / "json-schema.md"
SCHEMAS = {
    DOCS / "evaluation.schema.json": ("evaluation document", schema.Document, ()),
    DOCS / "checkpoint.schema.json": ("checkpoint", stored.Checkpoint, ("state_dict",)),
}
"""Each file's title and type, and the fields that JSON does not hold."""
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
PARTS = {
    "document": schema.Document,
    "data": schema.Data,
    "protocol": schema.Protocol,
    "run": schema.Run,
    "pass": schema.Pass,
    "calibration": schema.Calibration,
    "agreement": schema.Agreement,
    "robustness": robust_schema.Robustness,
    "modelnet-c": robust_schema.CorruptionErrors,
    "comparison": schema.Comparison,
    "group": schema.Group,
    "against_plain": schema.AgainstPlain,
    "checkpoint": stored.Checkpoint,
    "metrics": stored.Metrics,
    "provenance": stored.Provenance,
    "record": MadeBy,
    "generator": stored.GeneratorFile,
    "resume": stored.ResumeState,
}
"""Tables of the page, each between `<!-- NAME -->` and `<!-- end -->`."""


def bare(hint: Any) -> tuple[Any, str, dict[str, Any]]:
    """A type without its wrappers, what is said of it, and its bounds in JSON Schema's words."""
    said, bounds = "", {}
    while get_origin(hint) in (typing.Annotated, NotRequired):
        if get_origin(hint) is typing.Annotated:
            for each in hint.__metadata__:
                if isinstance(each, str):
                    said = each
                elif isinstance(each, stored.Range):
                    bounds |= {"minimum": each.low, "maximum": each.high}
                elif isinstance(each, stored.Length):
                    bounds |= {"minItems": each.exactly, "maxItems": each.exactly}
                else:
                    raise TypeError(f"{each!r} has no place in a schema")
        hint = get_args(hint)[0]
    return hint, said, bounds


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a type."""
    kind, said, bounds = bare(hint)
    about = {**bounds, **({"description": said} if said else {})}
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return {"$ref": f"#/$defs/{kind.__name__}", **about}
    if origin is Literal:
        return {"enum": list(inner), **about}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in inner], **about}
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0]), **about}
    if origin is dict:
        names = {} if inner[0] is str else {"propertyNames": schema_of(inner[0])}
        return {"type": "object", **names, "additionalProperties": schema_of(inner[1]), **about}
    if kind is Any:
        return about
    if kind not in PLAIN:
        raise TypeError(f"{kind!r} has no JSON Schema here")
    return {"type": PLAIN[kind], **about}


def definition(kind: Any, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object; fields may be added within a version, so others are allowed."""
    hints = get_type_hints(kind, localns={"Tensor": Tensor}, include_extras=True)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "properties": {name: schema_of(hint) for name, hint in hints.items() if name not in but},
        "required": sorted(kind.__required_keys__ - set(but)),
    }


def parts_of(hint: Any) -> Iterator[Any]:
    """The dicts of fields that a type is made of, itself among them."""
    kind = bare(hint)[0]
    if is_typeddict(kind):
        yield kind
        inner: Any = get_type_hints(kind, localns={"Tensor": Tensor}, include_extras=True).values()
    else:
        inner = get_args(kind)
    for each in inner:
        if get_origin(kind) is not Literal and each is not Tensor:
            yield from parts_of(each)


def json_schema(title: str, kind: Any, but: tuple[str, ...]) -> dict[str, Any]:
    """The whole of one file."""
    kinds = {each.__name__: each for each in parts_of(kind) if each is not kind}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"pointcmt {title}, version 1",
        **definition(kind, but),
        "$defs": {name: definition(each) for name, each in kinds.items()},
    }


def table(kind: Any) -> str:
    """A part's fields as the page shows them."""
    rows = ["| field | what it is |", "|---|---|"]
    always = kind.__required_keys__ or kind.__optional_keys__
    for name, hint in get_type_hints(kind, localns={"Tensor": Tensor}, include_extras=True).items():
        absent = "" if name in always else " (may be absent)"
        said = bare(hint)[1]
        assert said, f"{kind.__name__}.{name} has no description"
        rows.append(f"| `{name}`{absent} | {said} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with every table as the types have it."""
    for name, kind in PARTS.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(start)
        assert rest, f"{PAGE.name} has no place for {name}"
        page = before + start + table(kind) + "\n" + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
    for path, parts in SCHEMAS.items():
        path.write_text(json.dumps(json_schema(*parts), indent=1) + "\n")
