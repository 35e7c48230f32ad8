"""SegNet (Badrinarayanan et al., arXiv 1511.00561): where a maximum was, there it goes on the way up."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models.contract import Segmenter

LAYERS = (2, 2, 3, 3, 3)  # convolutions per stage, those of VGG-16
CHANNELS = (64, 128, 256, 512, 512)


def create(config: SegmenterConfig) -> Segmenter:
    """With random weights. At the paper's size the encoder is that of VGG-16 with batch normalisation."""
    layers = config.stages(LAYERS)
    channels = [max(1, round(each * config.width)) for each in CHANNELS]
    net = _SegNet(layers, channels, config.classes)
    of_paper = (layers, tuple(channels)) == (LAYERS, CHANNELS)
    encoder = net.encoder if of_paper else None
    return Segmenter(net, stride=2 ** len(channels), encoder=encoder, normalise=config.pretrained)


class _SegNet(nn.Module):
    """(N, 3, H, W) → (N, classes, H, W), H and W multiples of 32."""

    def __init__(self, layers: tuple[int, ...], channels: list[int], classes: int) -> None:
        super().__init__()
        inputs = [3, *channels[:-1]]
        self.encoder = nn.ModuleList(
            _stage([before, *[own] * count]) for before, own, count in zip(inputs, channels, layers)
        )
        # Each stage mirrors one of the encoder; the last convolution of all is the classifier.
        self.decoder = nn.ModuleList(
            _stage([own] * layers[i] + (channels[i - 1 : i] if i else []))
            for i, own in reversed(list(enumerate(channels)))
        )
        self.classifier = nn.Conv2d(channels[0], classes, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        places = []
        for stage in self.encoder:
            x, where = F.max_pool2d(stage(x), 2, return_indices=True)
            places.append(where)
        for stage, where in zip(self.decoder, reversed(places)):
            x = stage(_unpool(x, where))
        return self.classifier(x)


def _stage(channels: list[int]) -> nn.Sequential:
    """Convolution, normalisation, ReLU from each number of channels to the next."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _unpool(x: Tensor, where: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, 2H, 2W), zero but where the maxima were; a scatter, which ONNX has."""
    n, channels, height, width = x.shape
    flat = torch.zeros(n, channels, 4 * height * width, dtype=x.dtype, device=x.device)
    return flat.scatter(2, where.flatten(2), x.flatten(2)).view(n, channels, 2 * height, 2 * width)
