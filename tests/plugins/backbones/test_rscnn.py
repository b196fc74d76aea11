"""RS-CNN: the authors' sizes, which neighbours count, and the relation-shape convolution, one centre at a time."""

import pytest
import torch
from torch import Tensor

from pointcmt_cli import discovery
from pointcmt_cli.api import farthest_points

HEAD = 1024 * 512 + 512 * 256 + 256 * 40
NEVER_USED = 32
"""bn_xyz_raising of the authors' second convolution, which their forward pass leaves out."""


def test_parameters_and_multiply_adds_equal_the_authors() -> None:
    """Yochengliu/Relation-Shape-CNN, models/rscnn_ssn_cls.py at 6464eb8, 40 classes, 1,024 points."""
    network = discovery.build("backbones", "rscnn")
    norms_and_bias = 2 * 512 + 2 * 256 + 40
    found = sum(each.numel() for each in network.parameters())
    assert found == 1_289_505 - HEAD - norms_and_bias - NEVER_USED
    work = 128 * network.everything.linear.weight.numel() + HEAD
    for part in (network.first, network.second):
        pairs = [part.relation.linear, part.weights] + ([part.raised.linear] if part.raised else [])
        each = sum(layer.weight.numel() for layer in pairs)
        work += part.centres * (part.neighbours * each + part.last.linear.weight.numel())
    assert work == 267_724_800


def test_neighbours_are_the_first_others_in_the_ball_and_the_centre_where_they_end() -> None:
    part = discovery.build("backbones", "rscnn").first
    part.neighbours, part.radius = 5, 0.4
    torch.manual_seed(0)
    points = torch.rand(2, 60, 3) * 2 - 1
    points[:, 7] = points[:, 3]  # a twin
    chosen = farthest_points(points, 20)
    chosen[:, 0] = 3
    centres = torch.stack([cloud[places] for cloud, places in zip(points, chosen, strict=True)])
    found = part.around(points, centres, chosen)
    for b in range(2):
        for m in range(20):
            distances = (points[b] - centres[b, m]).norm(dim=-1)
            inside = [j for j in range(60) if 0 < distances[j] < 0.4][:5]
            expected = inside + [int(chosen[b, m])] * (5 - len(inside))
            assert found[b, m].tolist() == expected


@pytest.mark.parametrize("relation", ["paper", "reference"])
def test_a_relation_convolution_is_the_papers(relation: str) -> None:
    torch.manual_seed(0)
    part = discovery.build("backbones", "rscnn").second.double().eval()
    part.centres, part.neighbours = 6, 4
    points, rows = torch.rand(1, 30, 3).double(), torch.randn(1, 30, 128).double()
    chosen = farthest_points(points, 6)
    with torch.no_grad():
        centres, found = part(points, rows, relation)
        index = part.around(points, centres, chosen)[0]
        for i, near in enumerate(index.tolist()):
            start = centres[0, i]
            first = points[0, near[0]] - start
            maximum = torch.full((131,), -torch.inf).double()
            for j in near:
                end, seen = points[0, j], points[0, j] - start
                ends = (start, end) if relation == "paper" else (first, seen)
                where = torch.cat([seen.norm()[None], *ends, seen])
                inner = part.relation.norm(part.relation.linear(where)[None]).relu()
                product = part.weights(inner) * torch.cat([seen, rows[0, j]])
                maximum = torch.maximum(maximum, part.norm(product).relu()[0])
            expected: Tensor = part.last.norm(part.last.linear(maximum)[None]).relu()[0]
            torch.testing.assert_close(found[0, i], expected)


@pytest.mark.parametrize("number", [1, 30, 700])
def test_any_number_of_points(number: int) -> None:
    network = discovery.build("backbones", "rscnn").eval()
    with torch.no_grad():
        assert network(torch.rand(2, number, 3)).shape == (2, 1024)
