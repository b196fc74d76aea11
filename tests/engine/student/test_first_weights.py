"""`distill --init`: public checkpoints under their own names, our own checkpoints, and what does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.engine.student.first_weights import fill
from pointcmt_cli.errors import DataError
from pointcmt_cli.records import Note
from toy_distill import run, write_toy_features


def reference_state(encoder: Any) -> dict[str, Tensor]:
    """Random weights under the names and with the axes of the public checkpoint, the head included."""
    names, state = encoder.reference_names, {"linear9.weight": torch.zeros(2, 3)}
    for key, value in encoder.state_dict().items():
        module, _, last = key.rpartition(".")
        there = names.get(key) or f"{names[module]}.{last}"
        assert there not in state, f"two names for {there}"
        filled = torch.rand_like(value) if value.is_floating_point() else value + 3
        state[there] = filled[..., None, None] if filled.dim() == 2 else filled
    return state


REFERENCES: list[tuple[str, dict[str, Any]]] = [
    ("pointnet", {}),
    ("pointnet", {"transforms": True}),
    ("pointnet2", {"variant": "ssg"}),
    ("pointnet2", {"variant": "msg"}),
    ("dgcnn", {}),
    ("pointmlp", {"variant": "elite"}),
    ("pct", {}),
    ("pointnext", {}),
    ("pointnext", {"variant": "b"}),
    ("rscnn", {}),
    ("curvenet", {}),
]


@pytest.mark.parametrize(("name", "options"), REFERENCES)
def test_every_weight_of_a_public_checkpoint_has_a_name(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    encoder = discovery.build("backbones", name, options)
    state = reference_state(encoder)
    training_script = {
        "epoch": 7,
        "class_avg_acc": np.float64(0.9),
        "model_state_dict": {f"module.{key}": value for key, value in state.items()},
    }
    torch.save(training_script, tmp_path / "theirs.pth")
    line = fill(encoder, tmp_path / "theirs.pth", name)
    assert line.endswith("tensors; not used: linear9.weight")
    own = encoder.state_dict()
    for key, value in own.items():
        module, _, last = key.rpartition(".")
        there = encoder.reference_names.get(key) or f"{encoder.reference_names[module]}.{last}"
        given = state[there].reshape(value.shape)
        if options.get("variant") == "msg" and key.endswith("linears.0.weight") and "lev" in key:
            given = torch.cat([given[:, -3:], given[:, :-3]], dim=1)  # features stand first there
        assert torch.equal(value, given), key


def test_a_state_dict_under_our_own_names_fits_as_it_is(tmp_path: Path) -> None:
    first, second = (discovery.build("backbones", "dgcnn", {"width": 8}) for _ in range(2))
    torch.save(first.state_dict(), tmp_path / "ours.pt")
    fill(second, tmp_path / "ours.pt", "dgcnn")
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_does_not_fit_is_one_line_with_the_keys(tmp_path: Path) -> None:
    encoder = discovery.build("backbones", "dgcnn")
    path = tmp_path / "theirs.pth"
    with pytest.raises(DataError, match=r"theirs\.pth: no such file"):
        fill(encoder, path, "dgcnn")
    state = reference_state(encoder)
    del state["conv5.0.weight"]
    state["conv1.0.weight"] = torch.zeros(64, 18, 1, 1)
    torch.save(state, path)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(DataError) as caught:
        fill(encoder, path, "dgcnn")
    assert str(caught.value) == (
        f"{path} does not fit 'dgcnn' (other options?): missing conv5.0.weight; of another shape "
        "conv1.0.weight (64, 18, 1, 1) for (64, 6); not used linear9.weight"
    )
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())
    torch.save({"model": nn.Linear(2, 2)}, path)
    with pytest.raises(DataError, match="cannot be read without running code of it: save it again"):
        fill(encoder, path, "dgcnn")
    torch.save({"epoch": 3}, path)
    with pytest.raises(DataError, match="holds no state dict"):
        fill(encoder, path, "dgcnn")


def test_a_student_starts_from_another_one_and_is_trained_anew_when_that_changes(
    tmp_path: Path,
) -> None:
    write_toy_features(tmp_path / "features.h5")
    config = DistillConfig(
        student="toy_networks:tiny",
        objective="none",
        work=tmp_path,
        points=64,
        epochs=1,
        batch_size=8,
        lr=1e-9,
        weight_decay=0,
    )
    first, _ = run(config)
    init = Path(first["checkpoint"])
    second = replace(config, out=tmp_path / "second.pt", init=init, seed=5)
    _, records = run(second)
    said = [each.text for each in records if isinstance(each, Note)]
    assert f"toy_networks:tiny starts from {init}: 4 tensors; not used: none" in said
    kept = [torch.load(path, weights_only=True)["state_dict"] for path in (init, second.out)]
    torch.testing.assert_close(*(each["encoder.layers.0.weight"] for each in kept))
    _, records = run(second)
    assert any(isinstance(each, Note) and "is up to date" in each.text for each in records)
    run(replace(config, seed=6, force=True))
    _, records = run(second)
    said = [each.text for each in records if isinstance(each, Note)]
    assert f"retraining {second.out}; changed: --init" in said
    with pytest.raises(DataError, match="no such file"):
        run(replace(second, init=tmp_path / "nothing.pt"))
