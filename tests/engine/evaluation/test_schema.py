"""The document's type, its page and its JSON Schema are one thing, and real documents are of it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import schema_page
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.engine.evaluation.evaluate import evaluate
from pointcmt_cli.records import Result
from toy_student import save, write_data


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two students and a teacher, with all that can be asked for."""
    work = tmp_path_factory.mktemp("schema")
    write_data(work)
    for name in ("a", "b"):
        save(work / f"{name}.pt")
    paths = (work / "a.pt", work / "b.pt")
    config = EvaluateConfig(paths, work=work, votes=2, points=(32,), rotations=("z",), device="cpu")
    *_, last = evaluate(config)
    assert isinstance(last, Result)
    return json.loads(json.dumps(last.values))


def test_page_and_schema_are_what_the_types_give() -> None:
    page = schema_page.PAGE.read_text()
    assert page == schema_page.filled(page), "run tests/support/schema_page.py"
    assert json.loads(schema_page.SCHEMA.read_text()) == schema_page.json_schema()


def test_a_real_document_is_of_the_schema(document: dict[str, Any]) -> None:
    schema = schema_page.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    known = schema["$defs"]["Run"]["properties"].keys()
    for run in document["runs"]:
        assert run.keys() <= known, "a field of a run has no description"
    for part, kind in (("groups", "Group"), ("comparisons", "Comparison")):
        assert document[part]
        for each in document[part]:
            assert each.keys() <= schema["$defs"][kind]["properties"].keys()
    single = document["runs"][0]["scores"]["test"]["single"]
    assert single.keys() == schema["$defs"]["Pass"]["properties"].keys()
    assert document.keys() == schema["properties"].keys()


@pytest.mark.parametrize("wrong", [{"version": 2}, {"runs": [{}]}, {"data": None}, {"command": 3}])
def test_a_wrong_document_is_seen(document: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, **wrong}, schema_page.json_schema())


def test_a_page_without_a_table_is_seen(tmp_path: Path) -> None:
    page = schema_page.PAGE.read_text()
    assert schema_page.filled(page.replace("`false`", "").replace("| `oa` |", "| `ob` |")) == page
    with pytest.raises(AssertionError, match="no place for group"):
        schema_page.filled(page.replace("<!-- group -->", ""))
