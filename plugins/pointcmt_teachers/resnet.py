"""ResNet-18, -34 and -50 with torchvision's parameter names, so that its weight files load; images -> features.

Source: He et al., CVPR 2016, table 1; the stride of a bottleneck sits on its 3 x 3 convolution, as in torchvision.
"""

from torch import Tensor, nn

LAYERS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
STAGES = (64, 128, 256, 512)
"""Channels inside the blocks of the four stages."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input goes."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(inputs, channels * self.expansion, stride)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(images)))
        inner = self.bn2(self.conv2(inner))
        result: Tensor = self.relu(inner + self._around(images))
        return result

    def _around(self, images: Tensor) -> Tensor:
        return images if self.downsample is None else self.downsample(images)


class Bottleneck(BasicBlock):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around which the input goes."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__(inputs, channels, stride)
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(images)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        result: Tensor = self.relu(inner + self._around(images))
        return result


class ResNet(nn.Module):
    """The network with its ImageNet head `fc` when `classes` is given, without one when it is None."""

    def __init__(self, arch: str, classes: int | None = None) -> None:
        super().__init__()
        block = Bottleneck if arch == "resnet50" else BasicBlock
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, (channels, count) in enumerate(zip(STAGES, LAYERS[arch], strict=True), 1):
            blocks = nn.Sequential()
            for index in range(count):
                blocks.append(block(inputs, channels, 2 if stage > 1 and index == 0 else 1))
                inputs = channels * block.expansion
            self.add_module(f"layer{stage}", blocks)
        self.feature_dim = inputs
        self.fc = nn.Identity() if classes is None else nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> pooled features (B, 512 or 2048), or logits (B, classes)."""
        images = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            images = self.get_submodule(f"layer{stage}")(images)
        result: Tensor = self.fc(images.mean(dim=(2, 3)))
        return result


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
