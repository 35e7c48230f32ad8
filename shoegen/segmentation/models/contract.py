"""What every segmenter is to its users."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]


class Segmenter(nn.Module):
    """(N, 3, H, W) in [−1, 1] → logits (N, classes, H, W), for any H, W.

    Args:
        net: does so where H and W are multiples of `stride`.
        encoder: the part of `net` for which there are published weights, or None.
        normalise: show `net` the pictures as networks trained on ImageNet see them.
    """

    factor: Tensor
    offset: Tensor

    def __init__(
        self, net: nn.Module, *, stride: int, encoder: nn.Module | None = None, normalise: bool = False
    ) -> None:
        super().__init__()
        self.net, self.stride, self.normalise = net, stride, normalise
        self._encoder = [encoder]  # in a list: it is a part of net already
        mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
        self.register_buffer("factor", 0.5 / deviation, persistent=False)
        self.register_buffer("offset", (0.5 - mean) / deviation, persistent=False)

    @property
    def encoder(self) -> nn.Module | None:
        return self._encoder[0]

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if self.normalise:
            images = images * self.factor + self.offset
        pad = (0, -width % self.stride, 0, -height % self.stride)
        if any(pad):
            images = F.pad(images, pad, mode="replicate")  # N, 3, H', W'
        return self.net(images)[..., :height, :width]
