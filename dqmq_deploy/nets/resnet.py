"""Residual networks (He et al., arXiv 1512.03385): the CIFAR family (8, 20 layers) and ResNet-18."""

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; a 1x1 convolution on the shortcut where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of :class:`BasicBlock`, global average pooling and a linear classifier."""

    def __init__(self, stem: nn.Module, stem_width: int, widths: list[int], blocks: list[int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        stages: list[nn.Module] = []
        channels = stem_width
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(BasicBlock(channels, width, 2 if index and not block else 1))
                channels = width
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of normalised images ``[N, 3, H, W]``."""
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))  # type: ignore[no-any-return]


def _small_stem(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def resnet8(classes: int, width: int = 16) -> ResNet:
    """8 layers for 32x32 images: one block a stage, 12.5 M MACs at width 16."""
    return ResNet(_small_stem(width), width, [width, 2 * width, 4 * width], [1, 1, 1], classes)


def resnet20(classes: int, width: int = 16) -> ResNet:
    """20 layers for 32x32 images: three blocks a stage, 41 M MACs and 272 k weights at width 16."""
    return ResNet(_small_stem(width), width, [width, 2 * width, 4 * width], [3, 3, 3], classes)


def resnet18(classes: int, width: int = 64) -> ResNet:
    """ResNet-18 for 224x224 images: 1.8 G MACs and 11.7 M weights at width 64 and 1,000 classes."""
    stem = nn.Sequential(
        nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )
    return ResNet(stem, width, [width, 2 * width, 4 * width, 8 * width], [2, 2, 2, 2], classes)
