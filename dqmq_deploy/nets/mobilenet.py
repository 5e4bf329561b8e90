"""MobileNetV2 (Sandler et al., arXiv 1801.04381)."""

import torch
from torch import Tensor, nn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride of each stage (table 2 of the paper)."""


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
    ]


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1 without activation; a shortcut where the shape stays."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*_conv(in_channels, hidden, 1), nn.ReLU6()]
        layers += [*_conv(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(), *_conv(hidden, channels, 1)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """300 M MACs and 3.5 M weights for 224x224 images, 1,000 classes and width 1."""

    def __init__(self, classes: int, width: float = 1.0, stem_stride: int = 2) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(8, int(channels * width + 4) // 8 * 8)

        channels = scaled(32)
        layers: list[nn.Module] = [*_conv(3, channels, 3, stem_stride), nn.ReLU6()]
        for expansion, out, count, stride in _STAGES:
            for block in range(count):
                layers.append(InvertedResidual(channels, scaled(out), 1 if block else stride, expansion))
                channels = scaled(out)
        last = scaled(1280) if width > 1 else 1280
        self.features = nn.Sequential(*layers, *_conv(channels, last, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of normalised images ``[N, 3, H, W]``."""
        features = torch.flatten(self.pool(self.features(x)), 1)
        return self.head(self.dropout(features))  # type: ignore[no-any-return]


def mobilenetv2(classes: int, width: float = 1.0, stem_stride: int = 2) -> MobileNetV2:
    """MobileNetV2; ``stem_stride=1`` suits 32x32 images."""
    return MobileNetV2(classes, width, stem_stride)
