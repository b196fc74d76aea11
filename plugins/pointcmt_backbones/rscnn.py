"""RS-CNN (Liu et al., CVPR 2019, arXiv 1904.07601), the encoder: points (B, N, 3) -> features (B, 1024).

Two relation-shape convolutions (512 centres with 48 neighbours within 0.23, then 128 with 64 within 0.32): a small MLP
makes, of where a neighbour lies, the weights that its features are multiplied with; norm, ReLU, maximum and a layer
follow. One more layer on all that is left, and its maximum. The single-scale classifier, with the
numbers of Yochengliu/Relation-Shape-CNN. The core's neck and head replace the paper's head (512, 256, K).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from pointcmt_backbones.layer import Layer, names_of
from pointcmt_cli.api import ball_query, farthest_points, gather, normed_rows

Relation = Literal["paper", "reference"]
FEATURES = 1024


class RelationConvolution(nn.Module):
    """Points (B, N, 3) with rows (B, N, C), or without -> centres (B, M, 3) with rows (B, M, D)."""

    def __init__(
        self, centres: int, radius: float, neighbours: int, channels: int, width: int
    ) -> None:
        super().__init__()
        self.centres, self.radius, self.neighbours = centres, radius, neighbours
        weighed = channels + 3 if channels else 16
        self.relation = Layer(10, width // 4 if channels else width // 2, bias=True)
        self.weights = nn.Linear(self.relation.linear.out_features, weighed)
        self.raised = None if channels else Layer(3, weighed, bias=True)
        self.norm = nn.BatchNorm1d(weighed)
        self.last = Layer(weighed, width, bias=True)

    def forward(
        self, points: Tensor, rows: Tensor | None, relation: Relation
    ) -> tuple[Tensor, Tensor]:
        """See the class; of a cloud with fewer points than centres, all are taken."""
        chosen = farthest_points(points, min(self.centres, points.shape[1]))
        centres = gather(points, chosen)
        index = self.around(points, centres, chosen)
        with torch.autocast(points.device.type, enabled=False):
            near = gather(points, index)  # (B, M, k, 3)
            seen = near - centres[:, :, None]
            ends = (centres[:, :, None].expand_as(near), near)
            if relation == "reference":
                ends = (seen[:, :, :1].expand_as(near), seen)
            where = torch.cat([seen.norm(dim=-1, keepdim=True), *ends, seen], dim=-1)
        weights = self.weights(self.relation(where))
        if self.raised is not None:
            values = self.raised(seen)
        else:
            assert rows is not None
            values = torch.cat([seen, gather(rows, index).to(seen.dtype)], dim=-1)
        return centres, self.last(normed_rows(weights * values, self.norm).amax(dim=2))

    def around(self, points: Tensor, centres: Tensor, chosen: Tensor) -> Tensor:
        """Indices (B, M, k) of the first k others in the ball, by index; the centre itself fills up what is missing."""
        number = points.shape[1]
        (found,) = ball_query(points, centres, (self.radius,), (self.neighbours + 1,))
        filler = torch.arange(found.shape[-1], device=found.device) > 0
        surplus = (found == found[..., :1]) & filler  # a ball with fewer is filled with its first
        same = (gather(points, found) == centres[:, :, None]).all(dim=-1)
        others = torch.where(surplus | same, number, found)
        first = others.topk(self.neighbours, dim=-1, largest=False, sorted=True).values
        return torch.where(first == number, chosen[..., None], first)


class RSCNN(nn.Module):
    """See the module's text."""

    feature_dim = FEATURES
    minimum_points = 1

    def __init__(self, relation: Relation) -> None:
        super().__init__()
        self.relation: Relation = relation
        self.first = RelationConvolution(512, 0.23, 48, 0, 128)
        self.second = RelationConvolution(128, 0.32, 64, 128, 512)
        self.everything = Layer(512 + 3, FEATURES, bias=True)

    def forward(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the unit sphere -> features (B, 1024)."""
        points, rows = self.first(points, None, self.relation)
        points, rows = self.second(points, rows, self.relation)
        features: Tensor = self.everything(torch.cat([points, rows], dim=-1)).amax(dim=1)
        return features

    @property
    def reference_names(self) -> dict[str, str]:
        """Own names -> those of Yochengliu's checkpoints (`relation=reference`)."""
        glob = "SA_modules.2.mlps.0"
        names = names_of("everything", f"{glob}.conv_avg", f"{glob}.bn_avg")
        for place, own in enumerate(("first", "second")):
            there = f"SA_modules.{place}.mlps.0.RSConvLayer0.RS_Conv"
            names[f"{own}.weights"] = f"{there}.mapping_func2"
            names[f"{own}.norm"] = f"{there}.bn_rsconv"
            names |= names_of(f"{own}.relation", f"{there}.mapping_func1", f"{there}.bn_mapping")
            names |= names_of(f"{own}.last", f"{there}.cr_mapping", f"{there}.bn_channel_raising")
            if place == 0:
                raised = (f"{there}.xyz_raising", f"{there}.bn_xyz_raising")
                names |= names_of(f"{own}.raised", *raised)
        return names


def rscnn(*, relation: Relation = "paper") -> RSCNN:
    """RS-CNN, single scale.

    `relation` of a neighbour x_j to its centre x_i: the paper's (distance, x_i, x_j, x_j - x_i); or what the
    authors' code computes and its checkpoints were trained with: x_j - x_i in place of x_j, and the first neighbour's
    in place of x_i.
    """
    return RSCNN(relation)
