"""Fully convolutional DenseNet, the "Tiramisu" (Jégou et al., arXiv 1611.09326)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models.contract import Segmenter

LAYERS = (4, 5, 7, 10, 12, 15)  # per dense block on the way down, the last at the bottom: FC-DenseNet103
GROWTH, FIRST = 16, 48  # channels
DROPOUT = 0.2


def create(config: SegmenterConfig) -> Segmenter:
    """With random weights; there are no published ones. The config's width is that of growth and first layer."""
    growth, first = (max(1, round(each * config.width)) for each in (GROWTH, FIRST))
    layers = config.stages(LAYERS)
    return Segmenter(_Tiramisu(layers, growth, first, config.classes), stride=2 ** (len(layers) - 1))


class _Tiramisu(nn.Module):
    """(N, 3, H, W) → (N, classes, H, W), H and W multiples of 32; section 3 and table 2 of the paper."""

    def __init__(self, layers: tuple[int, ...], growth: int, first: int, classes: int) -> None:
        super().__init__()
        *down, bottom = layers
        self.first = nn.Conv2d(3, first, 3, padding=1)
        self.down, self.transitions_down, skips = nn.ModuleList(), nn.ModuleList(), []
        channels = first
        for count in down:
            self.down.append(_DenseBlock(channels, count, growth))
            channels += count * growth
            skips.append(channels)
            self.transitions_down.append(_TransitionDown(channels))
        self.bottom = _DenseBlock(channels, bottom, growth)
        # On the way up only what a block has added goes on, or channels would grow with resolution.
        added = bottom * growth
        self.up, self.transitions_up = nn.ModuleList(), nn.ModuleList()
        for count, skip in zip(reversed(down), reversed(skips)):
            self.transitions_up.append(
                nn.ConvTranspose2d(added, added, 3, stride=2, padding=1, output_padding=1)
            )
            self.up.append(_DenseBlock(added + skip, count, growth))
            channels, added = added + skip + count * growth, count * growth
        self.classifier = nn.Conv2d(channels, classes, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")  # HeUniform, section 4.1

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.first(x), []
        for block, transition in zip(self.down, self.transitions_down):
            x = torch.cat([x, block(x)], 1)
            skips.append(x)
            x = transition(x)
        added = self.bottom(x)
        for block, transition, skip in zip(self.up, self.transitions_up, reversed(skips)):
            x = torch.cat([transition(added), skip], 1)
            added = block(x)
        return self.classifier(torch.cat([x, added], 1))


class _DenseBlock(nn.Module):
    """What its layers add: (N, C, H, W) → (N, count · growth, H, W)."""

    def __init__(self, channels: int, count: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + i * growth),
                nn.ReLU(),
                nn.Conv2d(channels + i * growth, growth, 3, padding=1),
                nn.Dropout(DROPOUT),
            )
            for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features[1:], 1)


class _TransitionDown(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.Dropout(DROPOUT),
            nn.MaxPool2d(2),
        )
