"""Point Cloud Transformer: the reference's sizes, its neighbour embedding and its attention, written out slowly."""

import pytest
import torch
from torch import nn

from pointcmt_cli import discovery
from pointcmt_cli.api import farthest_points, k_nearest

HEAD = 1024 * 512 + 512 * 256 + 256 * 40


def test_parameters_and_multiply_adds_equal_the_references() -> None:
    """Strawberry-Eat-Mango/PCT_Pytorch, model.py at 0199a3b, 40 classes, 1,024 points; the layers' products alone."""
    network = discovery.build("backbones", "pct")
    biases_and_norms = 256 + 40 + 2 * 512 + 2 * 256
    found = sum(each.numel() for each in network.parameters())
    assert found == 2_876_136 - HEAD - biases_and_norms

    def products(part: nn.Module) -> int:
        return sum(each.numel() for each in part.parameters() if each.dim() == 2)

    queries = 256 * 64  # the reference makes them apart, by the keys' matrix
    attention = products(network.attentions) + 4 * queries
    work = 1024 * products(network.points) + 256 * (products(network.before) + attention)
    work += sum(each.centres * 32 * products(each) for each in network.embeddings)
    assert work + 256 * products(network.joined) + HEAD == 2_152_540_160


def test_offset_attention_is_the_papers() -> None:
    torch.manual_seed(0)
    attention = discovery.build("backbones", "pct").attentions[0].double().eval()
    rows = torch.randn(2, 5, 256, dtype=torch.float64)
    with torch.no_grad():
        found = attention(rows)
        keys, values = attention.key(rows), attention.value(rows)
    for b in range(2):
        energy = [[float(keys[b, i] @ keys[b, j]) for j in range(5)] for i in range(5)]
        shares = torch.tensor(energy, dtype=torch.float64).softmax(dim=1)
        attended = torch.stack(
            [
                sum(shares[i, j] / (1e-9 + shares[:, j].sum()) * values[b, i] for i in range(5))
                for j in range(5)
            ]
        )
        layer = attention.offset
        offset = layer.norm(layer.linear(rows[b] - attended)).relu()
        torch.testing.assert_close(found[b], rows[b] + offset)


@pytest.mark.parametrize("training", [True, False])
def test_a_neighbour_embedding_is_the_papers(training: bool) -> None:
    torch.manual_seed(0)
    embedding = discovery.build("backbones", "pct").embeddings[0].double().train(training)
    embedding.centres = 6
    points, rows = torch.randn(2, 40, 3).double(), torch.randn(2, 40, 64).double()
    chosen = farthest_points(points, 6)
    centres = torch.stack([cloud[places] for cloud, places in zip(points, chosen, strict=True)])
    index = k_nearest(points, centres, 32)
    near = torch.stack([cloud[places] for cloud, places in zip(rows, index, strict=True)])
    own = torch.stack([cloud[places] for cloud, places in zip(rows, chosen, strict=True)])
    own = own[:, :, None].expand_as(near)
    values = torch.cat([near - own, own], dim=-1).flatten(0, 2)
    with torch.no_grad():
        found = embedding(points, rows)
        for layer in (embedding.first, embedding.second):
            values = layer.norm(layer.linear(values)).relu()
    torch.testing.assert_close(found[0], centres)
    torch.testing.assert_close(found[1], values.view(2, 6, 32, 128).amax(dim=2))


@pytest.mark.parametrize("number", [1, 31, 600])
def test_any_number_of_points(number: int) -> None:
    network = discovery.build("backbones", "pct").eval()
    with torch.no_grad():
        assert network(torch.rand(2, number, 3)).shape == (2, 1024)
