"""CurveNet: the authors' sizes, the walk of one curve after the other, attention to curves, any number of points."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.api import k_nearest

HEAD = 2048 * 512 + 512 * 40


def products(part: nn.Module | None) -> int:
    return sum(each.numel() for each in part.parameters() if each.dim() == 2) if part else 0


def test_parameters_and_multiply_adds_equal_the_authors() -> None:
    """tiangexiang/CurveNet, core/models/curvenet_cls.py at 0d2f625, 40 classes, 1,024 points; layers alone."""
    network = discovery.build("backbones", "curvenet")
    found = sum(each.numel() for each in network.parameters())
    assert found == 2_140_672 - HEAD - 2 * 512 - 40
    work = 1024 * 20 * products(network.first) + 64 * products(network.last) + HEAD
    for block in network.blocks:
        work += block.points * sum(map(products, (block.narrow, block.wide, block.shortcut)))
        work += block.points * 20 * (products(block.place) + products(block.local))
        if walk := block.walk:
            take = block.aggregation
            work += 1024 * (products(walk.start) + products(take.query) + products(take.joined))
            work += 5 * 100 * 20 * products(walk.agent) + 4 * 100 * products(walk.momentum)
            work += 100 * 5 * products(take.line)
            work += 100 * (products(take.inter) + products(take.inter_value))
            work += 5 * (products(take.intra) + products(take.intra_value))
    assert work == 284_705_536


def one_walk(walk: Any, rows: Tensor, neighbours: Tensor, start: int) -> list[Tensor]:
    """Where one curve of one cloud goes: rows (N, C), scored already, neighbours (N, k)."""
    state, current, place, steps = rows[start], None, start, []
    for _ in range(5):
        if current is not None:
            both = torch.cat([current, state])[None]
            share = walk.momentum.norm(walk.momentum.linear(both)).softmax(dim=1)[0]
            state = share[0] * current + share[1] * state
        wanted = []
        for j in neighbours[place].tolist():
            pair = torch.cat([rows[j], state])[None]
            score = float(walk.agent.norm(walk.agent.linear(pair)))
            if current is not None:
                last, now = current - state, rows[j] - current
                cosine = float(last @ now / (last.norm() * now.norm()).clamp_min(1e-8))
                score *= min(max(1 + cosine, 0.0), 1.0)
            wanted.append(score)
        place = int(neighbours[place][wanted.index(max(wanted))])
        current = rows[place]
        steps.append(current)
    return steps


def test_curves_walk_as_the_paper_says() -> None:
    torch.manual_seed(0)
    walk = discovery.build("backbones", "curvenet").blocks[0].walk.double().eval()
    for layer in (walk.agent, walk.momentum):
        nn.init.normal_(layer.linear.weight)
        nn.init.normal_(layer.norm.bias)
    points, rows = torch.rand(1, 120, 3).double(), torch.randn(1, 120, 16).double()
    neighbours = k_nearest(points, points, 9)[..., 1:]
    with torch.no_grad():
        curves = walk(rows, neighbours, "paper")
        scores = walk.start(rows[0]).sigmoid()
        starts = scores[:, 0].topk(100).indices
        assert curves.shape == (1, 100, 5, 16)
        for curve, start in zip(curves[0, ::9], starts[::9].tolist(), strict=True):
            expected = one_walk(walk, rows[0] * scores, neighbours[0], start)
            torch.testing.assert_close(curve, torch.stack(expected))


def test_the_references_momentum_reads_the_shares_in_another_order() -> None:
    torch.manual_seed(0)
    walk = discovery.build("backbones", "curvenet").blocks[0].walk.double().eval()
    current, state = torch.randn(2, 1, 3, 16).double()
    with torch.no_grad():
        shares = walk.momentum(torch.cat([current, state], dim=-1)).softmax(dim=-1)[0]
        found = walk.went_on(current, state, "reference")[0]
    swapped = torch.stack([shares[0, 0], shares[1, 0], shares[2, 0], *shares[:, 1]]).view(3, 2)
    torch.testing.assert_close(found, current[0] * swapped[:, :1] + state[0] * swapped[:, 1:])


def test_points_attend_to_curves_and_to_steps() -> None:
    torch.manual_seed(0)
    take = discovery.build("backbones", "curvenet").blocks[0].aggregation.double().eval()
    rows, curves = torch.randn(1, 4, 16).double(), torch.randn(1, 3, 5, 16).double()
    with torch.no_grad():
        found = take(rows, curves)[0]
        line = take.line(curves)[0, :, :, 0]
        whole = [sum(line[n].softmax(0)[s] * curves[0, n, s] for s in range(5)) for n in range(3)]
        steps = [
            sum(line[:, s].softmax(0)[n] * curves[0, n, s] for n in range(3)) for s in range(5)
        ]
        for i in range(4):
            query, taken = take.query(rows[0, i]), []
            for group, key, value in (
                (whole, take.inter, take.inter_value),
                (steps, take.intra, take.intra_value),
            ):
                keys = [key(each) for each in group]
                shares = torch.stack([query @ each for each in keys]).softmax(0)
                taken.append(sum(share * value(k) for share, k in zip(shares, keys, strict=True)))
            layer = take.joined
            added = layer.norm(layer.linear(torch.cat(taken))[None])[0] + rows[0, i]
            torch.testing.assert_close(found[i], nn.functional.leaky_relu(added, 0.2))


@pytest.mark.parametrize("training", [True, False])
def test_a_point_is_described_by_where_its_neighbours_lie_and_how_they_differ(
    training: bool,
) -> None:
    torch.manual_seed(0)
    block = discovery.build("backbones", "curvenet").blocks[4].double().train(training)
    points, rows = torch.rand(2, 30, 3).double(), torch.randn(2, 30, 64).double()
    index = k_nearest(points, points, 7)
    with torch.no_grad():
        found = block.described(points, rows, index)
        near = torch.stack([cloud[places] for cloud, places in zip(points, index, strict=True)])
        other = torch.stack([cloud[places] for cloud, places in zip(rows, index, strict=True)])
        own = points[:, :, None].expand_as(near)
        where = torch.cat([own, near, near - own], dim=-1).flatten(0, 2)
        differs = (other - rows[:, :, None]).flatten(0, 2)
        values = block.place.norm(block.place.linear(where)) + differs
        values = nn.functional.leaky_relu(values, 0.2)
        values = nn.functional.leaky_relu(block.local.norm(block.local.linear(values)), 0.2)
    torch.testing.assert_close(found, values.view(2, 30, 7, 64).mean(dim=2))


@pytest.mark.parametrize("number", [2, 21, 300])
def test_any_number_of_points_from_two_on(number: int) -> None:
    network = discovery.build("backbones", "curvenet").eval()
    with torch.no_grad():
        assert network(torch.rand(2, number, 3)).shape == (2, 2048)
