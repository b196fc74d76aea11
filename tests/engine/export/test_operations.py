"""Point operations in exported graphs: the same indices as eager's, ties to the lowest, at any batch and any number."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import api
from pointcmt_cli.engine.deployed.opened_torch import quiet
from pointcmt_cli.engine.export.formats import forget, tidy
from pointcmt_cli.ops.points.plain import to_onnx

CENTRES, NEIGHBOURS, RADII, COUNTS = 40, 24, (0.3, 0.6), (16, 49)
SIZES = [(1, 100), (3, 100), (2, 301), (2, 41), (3, 30), (2, 7), (2, 4)]


class Operations(nn.Module):
    """Every index that a backbone asks for."""

    def forward(self, points: Tensor) -> tuple[Tensor, ...]:
        """Points (B, N, 3) -> indices."""
        number = points.shape[1]
        some = api.farthest_points(points, min(CENTRES, number))
        centres = api.gather(points, api.farthest_points(points, max(1, number // 2)))
        balls = api.ball_query(points, centres, RADII, COUNTS)
        nearest = api.k_nearest(points, centres, min(NEIGHBOURS, number))
        return some, *balls, nearest


def lattice(batch: int, number: int) -> Tensor:
    """Points (B, N, 3) on a grid, many of them twice: most distances are tied, and exact."""
    numbers = np.random.default_rng(number)
    return torch.from_numpy(numbers.integers(-4, 5, (batch, number, 3)).astype(np.float32) / 8)


@pytest.fixture(scope="module", params=["onnx", "pt2"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function of points, run by onnxruntime or by torch."""
    free = ({0: torch.export.Dim("batch", min=1), 1: torch.export.Dim.AUTO},)
    if request.param == "pt2":
        program = torch.export.export(Operations(), (lattice(4, 100),), dynamic_shapes=free)
        assert "pointcmt" not in str(program.graph)
        assert [str(node.target) for node in program.graph.nodes].count("while_loop") == 2
        forget(program)
        graphs = [each.graph for each in program.graph_module.modules() if hasattr(each, "graph")]
        assert len(graphs) == 5  # a condition and a body for each loop
        assert not any("stack_trace" in node.meta for graph in graphs for node in graph.nodes)
        return program.module()
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "operations.onnx"
    save(path, free)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda points: session.run(None, {"points": points.numpy()})


def save(path: Path, free: Any) -> None:
    with quiet(), to_onnx(), warnings.catch_warnings():
        program = torch.export.export(Operations(), (lattice(4, 100),), dynamic_shapes=free)
        made = torch.onnx.export(program, input_names=["points"], optimize=False)
        assert made is not None
        tidy(made.model)
    kinds = [node.op_type for node in made.model_proto.graph.node]
    assert kinds.count("Loop") == 2
    assert len(kinds) < 250
    assert b"points_plain.py" not in made.model_proto.SerializeToString()  # in loops neither
    made.save(path)


@pytest.mark.parametrize(("batch", "number"), SIZES)
def test_indices_are_eagers_with_ties(exported: Any, batch: int, number: int) -> None:
    points = lattice(batch, number)
    for name, got, expected in zip(
        ("some", "small", "large", "nearest"),
        exported(points),
        Operations()(points),
        strict=True,
    ):
        found = torch.as_tensor(np.asarray(got))
        if name in ("small", "large"):  # a graph may leave out the surplus, which repeats the first
            expected = expected[..., : found.shape[-1]]
        assert torch.equal(found, expected), name


def test_a_small_number_that_is_added_stays() -> None:
    """onnxscript's own optimizer takes 1e-9 for 0."""
    runtime = pytest.importorskip("onnxruntime")

    class Share(nn.Module):
        """PCT's normalisation of attention."""

        def forward(self, points: Tensor) -> Tensor:
            """Points (B, N, 3) -> shares."""
            return points / (1e-9 + points.sum(dim=1, keepdim=True))

    points = torch.full((2, 4, 3), 1e-10)
    with quiet():
        program = torch.export.export(Share(), (points,))
        made = torch.onnx.export(program, input_names=["points"], optimize=False)
        assert made is not None
        tidy(made.model)
    content = made.model_proto.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"points": points.numpy()})
    np.testing.assert_allclose(got, Share()(points).numpy(), rtol=1e-5)


def test_indices_are_eagers_on_clouds_without_ties(exported: Any) -> None:
    for number in (777, 1024):
        points = torch.rand(8, number, 3, generator=torch.Generator().manual_seed(number))
        for got, expected in zip(exported(points), Operations()(points), strict=True):
            assert torch.equal(torch.as_tensor(np.asarray(got)), expected)
