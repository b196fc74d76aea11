"""Push and pull, against a stub of the hub: the same checkpoint comes back, and nobody learns the token."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as as_safetensors
from typer.testing import CliRunner

from file_server import serve
from hub_server import Hub, HubHandler
from pointcmt_cli import discovery
from pointcmt_cli.cli import app
from pointcmt_cli.config import PullConfig, PushConfig
from pointcmt_cli.engine.hub import hub as stage
from pointcmt_cli.engine.training import checkpoint
from pointcmt_cli.engine.training.stored import Checkpoint
from pointcmt_cli.errors import DataError, PluginError, PointCMTError, UsageError
from pointcmt_cli.records import Note, Result
from toy_student import clouds, save, write_data

REPO = "me/tiny"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # its own


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, and a user who is logged in."""
    constants = pytest.importorskip("huggingface_hub.constants")
    content: Any = Hub()
    with serve(content, HubHandler) as address:
        content.address = address
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", content.token)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        yield content


def push(path: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    return told(stage.push(PushConfig(path, options.pop("repo_id", REPO), **options)))


def pull(out: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    options.setdefault("trust_code", True)  # of toy_student
    return told(stage.pull(PullConfig(options.pop("repo_id", REPO), out=out, **options)))


def told(records: Any) -> tuple[dict[str, Any], list[str]]:
    """The Result's values and the notes."""
    found = list(records)
    assert isinstance(found[-1], Result)
    return dict(found[-1].values), [each.text for each in found if isinstance(each, Note)]


def test_what_is_pulled_evaluates_as_what_was_pushed(hub: Hub, tmp_path: Path) -> None:
    write_data(tmp_path)
    path = tmp_path / "net.pt"
    save(path, "pointnet", metrics={"test": {"oa": 0.5, "macc": 0.25, "count": 4}})
    result, notes = push(path)
    assert result["files"].keys() == {"config.json", "model.safetensors", "README.md"}
    assert result["commit"] == hub.repos[REPO]["main"]
    back, more = pull(tmp_path / "back.pt")
    assert (back["commit"], back["kind"]) == (result["commit"], "student")
    ours, theirs = checkpoint.load(path), checkpoint.load(tmp_path / "back.pt")
    for key, value in ours.pop("state_dict").items():
        assert torch.equal(value, theirs["state_dict"][key])
        assert value.dtype == theirs["state_dict"][key].dtype
    assert ours == {key: value for key, value in theirs.items() if key != "state_dict"}
    scores = []
    for name in ("net.pt", "back.pt"):
        line = ["evaluate", str(tmp_path / name), "--work", str(tmp_path), "--json"]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
        scores.append(done.stdout.replace(name, "NAME"))
    assert scores[0] == scores[1]
    assert not any(hub.token in note for note in notes + more)
    points = torch.from_numpy(clouds(4))
    with torch.no_grad():
        one = checkpoint.rebuild(checkpoint.load(path), path)(points)
        other = checkpoint.rebuild(theirs, path)(points)
    assert torch.equal(one, other)


def test_a_network_without_a_neck_comes_back(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"
    save(path)
    values = checkpoint.load(path)
    state = {key: each for key, each in values["state_dict"].items() if not key.startswith("neck")}
    checkpoint.save(path, {**values, "width": None, "state_dict": state})
    push(path)
    pull(tmp_path / "back.pt")
    back = checkpoint.load(tmp_path / "back.pt")
    assert back["width"] is None
    assert checkpoint.rebuild(back, path).width is None


def test_what_a_repository_must_say_are_fields_of_a_checkpoint() -> None:
    assert stage.NEEDED.keys() < Checkpoint.__annotations__.keys()


def test_paths_of_this_machine_stay_here(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    save(path, init="/home/alice/secret/net.pt", other=["C:\\Users\\Bob\\x.pt", "mesh tree"])
    _, notes = push(path)
    assert "paths of this machine become names: provenance.init, provenance.other" in notes
    files = hub.commits[hub.repos[REPO]["main"]]
    assert not any(b"alice" in content or b"Bob" in content for content in files.values())
    pull(tmp_path / "back.pt")
    provenance = checkpoint.load(tmp_path / "back.pt")["provenance"]
    assert (provenance["init"], provenance["other"]) == ("net.pt", ["x.pt", "mesh tree"])


def test_a_card_beside_the_checkpoint_is_taken_if_it_is_of_it(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    save(path, metrics={"test": {"oa": 0.5, "macc": 0.25, "count": 4}}, objective="contrast")

    def card() -> str:
        return hub.commits[hub.repos[REPO]["main"]]["README.md"].decode()

    push(path)
    head, _, body = card().removeprefix("---\n").partition("---\n")
    about = {
        line.partition(": ")[0]: json.loads(line.partition(": ")[2])
        for line in head.split("\n")
        if line
    }
    assert about["library_name"] == "pointcmt"
    assert "| test | 4 | 50.0 % | 25.0 % |" in body
    assert "Classes: ball, box, rod." in body
    assert f"pointcmt pull {REPO}" in body
    (tmp_path / "MODEL_CARD.md").write_text("about other.pt")
    _, notes = push(path)
    assert any("does not name tiny.pt" in note for note in notes)
    assert "library_name" in card()
    (tmp_path / "MODEL_CARD.md").write_text("all about tiny.pt")
    push(path)
    assert card() == "all about tiny.pt"
    (tmp_path / "mine.md").write_text("mine")
    push(path, card=tmp_path / "mine.md")
    assert card() == "mine"
    with pytest.raises(DataError, match=r"model card .*none\.md cannot be read"):
        push(path, card=tmp_path / "none.md")


def test_revisions(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    save(path, seed=1)
    first, _ = push(path, private=True)
    assert hub.visibility[REPO]
    save(path, seed=2)
    second, _ = push(path, revision="next")
    assert second["commit"] != first["commit"] == hub.repos[REPO]["main"]
    for revision, commit in [(None, first), ("next", second), (first["commit"], first)]:
        result, _ = pull(tmp_path / "back.pt", revision=revision, force=True)
        assert result["commit"] == commit["commit"]
    with pytest.raises(DataError, match=r"me/tiny: has no revision 'none'"):
        pull(tmp_path / "other.pt", revision="none")


def test_an_existing_file_is_replaced_only_when_told(hub: Hub, tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt")
    push(tmp_path / "tiny.pt")
    (tmp_path / "back.pt").write_text("mine")
    with pytest.raises(DataError, match=r"back\.pt exists: name another .* --force replaces it"):
        pull(tmp_path / "back.pt")
    assert (tmp_path / "back.pt").read_text() == "mine"
    pull(tmp_path / "back.pt", force=True)
    assert checkpoint.load(tmp_path / "back.pt")["name"] == "toy_student:tiny"


def test_the_plug_in_must_be_here(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "net.pt", "pointnet")
    push(tmp_path / "net.pt")
    others = tuple(each for each in discovery.available("backbones") if each.name != "pointnet")
    with monkeypatch.context() as patch:
        patch.setattr(discovery, "available", lambda group: others)
        with pytest.raises(
            PluginError, match=r"'pointnet' is not installed; .* pip install pointcmt"
        ):
            pull(tmp_path / "back.pt")
    assert not (tmp_path / "back.pt").exists()
    monkeypatch.delitem(sys.modules, "toy_student")
    save(tmp_path / "tiny.pt")
    monkeypatch.delitem(sys.modules, "toy_student", raising=False)
    push(tmp_path / "tiny.pt", repo_id="me/own")
    with pytest.raises(DataError, match=r"'toy_student:tiny', code that is not .* --trust-code"):
        pull(tmp_path / "own.pt", repo_id="me/own", trust_code=False)
    pull(tmp_path / "own.pt", repo_id="me/own")
    assert "toy_student" not in sys.modules  # a stranger's word imports nothing


def spoiled(files: dict[str, bytes], **changed: Any) -> dict[str, bytes]:
    settings = {**json.loads(files["config.json"]), **changed}
    return {**files, "config.json": json.dumps(settings).encode()}


def test_strange_repositories_are_one_line(hub: Hub, tmp_path: Path) -> None:
    save(tmp_path / "net.pt", "pointnet")
    push(tmp_path / "net.pt")
    good = hub.commits[hub.repos[REPO]["main"]]
    fewer = as_safetensors({"head.weight": torch.zeros(3, 12)})
    for index, (files, reason) in enumerate(
        [
            ({}, r"holds no config\.json, so `pointcmt push` has not made it"),
            ({"config.json": b"{"}, r"its config\.json cannot be read"),
            ({"config.json": b'{"model_type": "bert"}'}, "is another program's"),
            (spoiled(good, version=99), "format version 99, this pointcmt reads 1: upgrade"),
            (spoiled(good, class_names=3, width="x"), "does not say width, class_names"),
            (spoiled(good, group="renderers_"), "does not say what it is"),
            ({**good, "model.safetensors": b"no"}, r"its model\.safetensors cannot be read"),
            ({**good, "model.safetensors": fewer}, "weights do not fit 'pointnet'"),
            ({"config.json": good["config.json"]}, r"holds no model\.safetensors"),
        ]
    ):
        hub.repos[f"me/bad{index}"] = {"main": hub.commit(files)}
        with pytest.raises(PointCMTError, match=reason) as caught:
            pull(tmp_path / "back.pt", repo_id=f"me/bad{index}")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "back.pt").exists()


def test_what_goes_wrong_with_the_hub_is_one_line_without_the_token(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    save(tmp_path / "tiny.pt")
    with pytest.raises(DataError, match="me/none: no such repository, or no access to it") as one:
        pull(tmp_path / "back.pt", repo_id="me/none")
    for name in ("tiny", "a/b/c", "me/ti ny", "me/.."):
        with pytest.raises(UsageError, match="OWNER/NAME"):
            push(tmp_path / "tiny.pt", repo_id=name)
    hub.refuse = True
    with pytest.raises(DataError, match=r"the hub refused the request \(HTTP 402\)") as two:
        push(tmp_path / "tiny.pt")
    hub.refuse = False
    monkeypatch.setenv("HF_TOKEN", "hf_anotheranother")
    with pytest.raises(DataError, match=r"not allowed \(HTTP 401\).*hf auth login") as three:
        push(tmp_path / "tiny.pt")
    monkeypatch.setenv("HF_TOKEN", "hf_bad\ntoken")
    with pytest.raises(DataError) as four:
        push(tmp_path / "tiny.pt")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"127\.0\.0\.1:9 cannot be reached; is there a network\?"
    ) as five:
        push(tmp_path / "tiny.pt")
    with pytest.raises(DataError, match=r"cannot be reached.*is not in the cache"):
        pull(tmp_path / "back.pt")
    assert waited  # huggingface_hub's own retries
    for caught in (one, two, three, four, five):
        assert "hf_" not in str(caught.value).replace("hf auth", "")
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert hub.token not in caplog.text


def test_without_a_network_the_cache_answers(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "tiny.pt")
    first, _ = push(tmp_path / "tiny.pt")
    pull(tmp_path / "back.pt")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again, _ = pull(tmp_path / "again.pt")
    assert again["commit"] == first["commit"]


def test_only_students_and_teachers_are_pushed(hub: Hub, tmp_path: Path) -> None:
    save(tmp_path / "teacher.pt", "toy_student:tiny_teacher", group="teachers")
    push(tmp_path / "teacher.pt")
    back, _ = pull(tmp_path / "back.pt")
    assert back["kind"] == "teacher"
    values = checkpoint.load(tmp_path / "teacher.pt")
    del values["group"]
    checkpoint.save(tmp_path / "generator.pt", {**values, "provenance": {"kind": "generator"}})
    with pytest.raises(
        DataError, match="holds a generator; push takes the checkpoint of a student"
    ):
        push(tmp_path / "generator.pt")


def test_the_commands_name_the_next_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "net.pt", "pointnet")
    runner = CliRunner()
    done = runner.invoke(app, ["push", "net.pt", REPO, "--work", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"next, anywhere: pointcmt pull {REPO}" in done.stdout
    done = runner.invoke(app, ["pull", REPO, "--work", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"next: pointcmt predict {tmp_path / 'tiny.pt'} FILES..." in done.stdout
    assert hub.token not in done.output
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = runner.invoke(app, ["pull", REPO, "--work", str(tmp_path / "b")])
    assert isinstance(done.exception, PointCMTError)
    assert "pip install 'pointcmt[hub]'" in str(done.exception)


def test_a_checkpoint_that_json_cannot_hold_is_refused(hub: Hub, tmp_path: Path) -> None:
    save(tmp_path / "tiny.pt", odd=float("nan"))
    with pytest.raises(DataError, match=r"holds what config\.json cannot keep as it is"):
        push(tmp_path / "tiny.pt")
    assert not hub.repos
    assert replace(PushConfig(Path("a"), "b"), private=True).private
