"""The document's type, its page and its JSON Schema are one thing, and real documents are of it."""

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
import torch

import schema_page
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.engine.evaluation.evaluate import evaluate
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.resume import Resume
from pointcmt_cli.engine.training.stored import Checkpoint, GeneratorFile, ResumeState
from pointcmt_cli.files import plain
from pointcmt_cli.records import Result
from toy_student import save, write_data

EVALUATION, CHECKPOINT = (schema_page.json_schema(*parts) for parts in schema_page.SCHEMAS.values())
GOLDEN = Path(__file__).parents[2] / "golden" / "format1"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two seeds of a taught student, their plain twins and a teacher, with all that can be asked for."""
    work = tmp_path_factory.mktemp("schema")
    write_data(work)
    (work / "taught-s0.metrics.csv").write_text("epoch,loss,held_out_oa\n1,0.5,\n2,0.4,0.9\n")
    for seed in (0, 1):
        for objective, name in (("pointcmt", "taught"), ("none", "plain")):
            save(
                work / f"{name}-s{seed}.pt",
                seed=seed,
                config={"seed": seed, "objective": objective},
                objective=objective,
            )
    save(work / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    paths = tuple(sorted(work.glob("*.pt")))
    config = EvaluateConfig(
        paths,
        work=work,
        data=work / "views.h5",
        votes=2,
        corrupt="all",
        points=(32,),
        rotations=("z",),
        device="cpu",
    )
    *_, last = evaluate(config)
    assert isinstance(last, Result)
    return json.loads(json.dumps(last.values))


def test_page_and_schema_are_what_the_types_give() -> None:
    page = schema_page.PAGE.read_text()
    assert page == schema_page.filled(page), "run tests/support/schema_page.py"
    for path, parts in schema_page.SCHEMAS.items():
        assert json.loads(path.read_text()) == schema_page.json_schema(*parts), path.name


def described(value: Any, schema: dict[str, Any], place: str = "") -> None:
    """Every field of a document that has fields of its own is one that the schema knows."""
    if "$ref" in schema:
        schema = EVALUATION["$defs"][schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", []):
        if "$ref" in each and value is not None:
            described(value, each, place)
    if isinstance(value, list):
        for each in value:
            described(each, schema.get("items", {}), place)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", None if known else {})
        for key, each in value.items():
            assert key in known or rest is not None, f"{place}.{key} has no description"
            described(each, known.get(key, rest), f"{place}.{key}")


def test_a_real_document_is_of_the_schema(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(EVALUATION)
    jsonschema.validate(document, EVALUATION)
    described(document, EVALUATION)
    taught = next(each for each in document["groups"] if each["objective"] == "pointcmt")
    assert taught["against_plain"]["robustness"]["modelnet-c"]["mce"]["std"] is not None
    assert [run["is_teacher"] for run in document["runs"]].count(True) == 1
    assert document["comparisons"]
    assert document["runs"][2]["training"]["student"][0]["held_out_oa"] is None
    with pytest.raises(AssertionError, match=r"\.runs\.more has no description"):
        described({"runs": [{"more": 1}]}, EVALUATION)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"schema": "another"},
        {"runs": [{}]},
        {"data": None},
        {"command": 3},
        {
            "comparisons": [
                {"a": "", "b": "", "split": "train", "only_a": 0, "only_b": 0, "p_value": 1}
            ]
        },
        {
            "comparisons": [
                {"a": "", "b": "", "split": "test", "only_a": 0, "only_b": 0, "p_value": 2}
            ]
        },
    ],
)
def test_a_wrong_document_is_seen(document: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, **wrong}, EVALUATION)


@pytest.mark.parametrize(
    ("part", "wrong"), [("oa", 1.5), ("intervals", {"oa": [0, 1, 2], "macc": [0, 1]})]
)
def test_a_wrong_score_is_seen(document: dict[str, Any], part: str, wrong: Any) -> None:
    changed = copy.deepcopy(document)
    changed["runs"][0]["scores"]["test"]["single"][part] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, EVALUATION)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pt")), ids=lambda path: path.stem)
def test_a_real_checkpoint_is_of_its_type(path: Path) -> None:
    values = {**checkpoint.load(path)}
    kind = GeneratorFile if values["group"] == "generator" else Checkpoint
    assert kind.__required_keys__ <= values.keys() <= kind.__annotations__.keys()
    if kind is Checkpoint:
        values.pop("state_dict")
        jsonschema.validate(plain(values), CHECKPOINT)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**plain(values), "group": "others"}, CHECKPOINT)


def test_what_a_run_leaves_to_go_on_from_is_of_its_type(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    resume = Resume(tmp_path / "toy.pt", "key")
    resume.save(model, torch.optim.Adam(model.parameters()), 1, [{"epoch": 1}])
    assert checkpoint.load(resume.path).keys() == ResumeState.__annotations__.keys()


@pytest.mark.parametrize("hint", [bytes, set[int], Annotated[int, 3]])
def test_a_type_that_has_no_schema_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError):
        schema_page.schema_of(hint)


def test_a_page_without_a_table_is_seen() -> None:
    page = schema_page.PAGE.read_text()
    assert schema_page.filled(page.replace("`false`", "").replace("| `oa` |", "| `ob` |")) == page
    with pytest.raises(AssertionError, match="no place for group"):
        schema_page.filled(page.replace("<!-- group -->", ""))
