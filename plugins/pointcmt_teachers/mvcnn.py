"""`mvcnn`: the reference's teacher, a ResNet on every view and the maximum over the views. Views -> features (B, 512).

Source: PointCMT section 3.1, after MVCNN (Su et al., ICCV 2015). Written here because torchvision needs a build that
matches torch's; its weight files load (`weights`).
"""

from typing import Literal

from pointcmt_cli.api import Teacher
from pointcmt_teachers.multiview import IMAGENET_MEAN, IMAGENET_STD, MultiView, load_weights
from pointcmt_teachers.resnet import ResNet


def mvcnn(
    *, arch: Literal["resnet18", "resnet34", "resnet50"] = "resnet18", weights: str | None = None
) -> Teacher:
    """ResNet features of 512 numbers (resnet50: 2,048); `weights` is a torchvision file such as resnet18-f37072fd.pth.

    Without `weights` the network starts from random numbers: train it end to end then.
    """
    network = ResNet(arch)
    if weights is not None:
        load_weights(network, weights, arch, ignored=("fc.",))
    return MultiView(
        network,
        network.feature_dim,
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=weights is not None,
    )
