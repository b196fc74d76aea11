"""The contestants of step.py: how each builds its network, and how it is called. In: a name; out: a step to take.

Other people's code is read from a folder given when the benchmark is run: a checkout of
yanx27/Pointnet_Pointnet2_pytorch, a folder into which `pip install --target` has put openpoints and torch-pointcloud.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from step_plain import PLAIN
from torch import Tensor, nn

from pointcmt_cli import discovery

Forward = Callable[[Tensor], Tensor]
NETWORKS: dict[str, tuple[str, dict[str, str]]] = {
    "PointNet++ MSG": ("pointnet2", {"variant": "msg"}),
    "PointNet++ SSG": ("pointnet2", {"variant": "ssg"}),
    "DGCNN": ("dgcnn", {}),
    "PointNeXt-S": ("pointnext", {}),
}
"""Name -> our backbone and its options."""


@dataclass(frozen=True)
class Contestant:
    """`tuned`: with our allocator's settings. `builds`: by network, from the folder of its code."""

    tuned: bool
    builds: Callable[[str, Path | None], Forward]


def ours(network: str, folder: Path | None) -> Forward:
    """As `pointcmt distill` trains it."""
    name, options = NETWORKS[network]
    return _called(discovery.build("backbones", name, options))


def plain(network: str, folder: Path | None) -> Forward:
    """As everybody writes it, with our geometry."""
    name, options = NETWORKS[network]
    return _called(PLAIN[name](discovery.build("backbones", name, options)))


def yanx27(network: str, folder: Path | None) -> Forward:
    """Its classifier with 40 classes; the loss is taken of its encoder's features, and the head's work is nothing."""
    module = {"PointNet++ MSG": "pointnet2_cls_msg", "PointNet++ SSG": "pointnet2_cls_ssg"}[network]
    assert folder is not None
    sys.path.insert(0, str(folder / "models"))
    net = import_module(module).get_model(40, normal_channel=False).train()
    return lambda points: torch.Tensor.flatten(net(points.transpose(1, 2))[1], 1)


def openpoints(network: str, folder: Path | None) -> Forward:
    """Its encoders by their configuration's names."""
    configurations: dict[str, dict[str, Any]] = {
        "PointNeXt-S": {
            "NAME": "PointNextEncoder", "blocks": [1, 1, 1, 1, 1, 1], "strides": [1, 2, 2, 2, 2, 1],
            "width": 32, "in_channels": 3, "sa_layers": 2, "sa_use_res": True, "radius": 0.15,
            "radius_scaling": 1.5, "nsample": 32, "expansion": 4,
            "aggr_args": {"feature_type": "dp_fj", "reduction": "max"},
            "group_args": {"NAME": "ballquery", "normalize_dp": True},
            "conv_args": {"order": "conv-norm-act"}, "act_args": {"act": "relu"},
            "norm_args": {"norm": "bn"},
        },
        "PointNet++ SSG": {
            "NAME": "PointNet2Encoder", "in_channels": 3, "width": None,
            "strides": [2, 4, 1], "layers": 3, "use_res": False,
            "mlps": [[[64, 64, 128]], [[128, 128, 256]], [[256, 512, 1024]]],
            "radius": [0.2, 0.4, None], "num_samples": [32, 64, None], "sampler": "fps",
            "aggr_args": {"NAME": "convpool", "feature_type": "dp_fj", "reduction": "max"},
            "group_args": {"NAME": "ballquery", "normalize_dp": False},
            "conv_args": {"order": "conv-norm-act"}, "act_args": {"act": "relu"},
            "norm_args": {"norm": "bn"},
        },
    }  # fmt: skip
    _installed(folder)
    found = import_module("easydict").EasyDict(configurations[network])
    net = import_module("openpoints.models").build_model_from_cfg(found).train()

    def forward(points: Tensor) -> Tensor:
        features: Tensor = net.forward_cls_feat(points, points.transpose(1, 2).contiguous())
        return features

    return forward


def torch_pointcloud(network: str, folder: Path | None) -> Forward:
    """Its classifiers, without weights and without normals; the loss is taken of the scores."""
    _installed(folder)
    name, options = {
        "PointNet++ MSG": ("pointnet2-msg.modelnet40.xu-yan", {"in_channels": 0}),
        "PointNet++ SSG": ("pointnet2-ssg.modelnet40.xu-yan", {"in_channels": 0}),
        "DGCNN": ("dgcnn.modelnet40-1024.an-tao", {}),
    }[network]
    net = import_module("torch_pointcloud.models").create_model(name, **options).train()

    def forward(points: Tensor) -> Tensor:
        cloud = torch.arange(len(points)).repeat_interleave(points.shape[1])
        scores: Tensor = net(None, points.flatten(0, 1), cloud)
        return scores

    return forward


def _installed(folder: Path | None) -> None:
    """Behind our own packages: what was installed beside theirs must not replace ours."""
    if folder is not None:
        sys.path.append(str(folder))


def _called(net: nn.Module) -> Forward:
    return net.train().__call__


CONTESTANTS: Mapping[str, Contestant] = {
    "ours": Contestant(True, ours),
    "ours, default allocator": Contestant(False, ours),
    "conv2d": Contestant(False, plain),
    "conv2d, our allocator": Contestant(True, plain),
    "yanx27": Contestant(False, yanx27),
    "openpoints": Contestant(False, openpoints),
    "torch-pointcloud": Contestant(False, torch_pointcloud),
}
