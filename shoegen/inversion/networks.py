"""The encoder's network: a small residual one, picture → latent."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.inversion.config import EncoderConfig
from shoegen.inversion.latents import Basis

GROUPS = 8


class Block(nn.Module):
    """(N, in, H, W) → (N, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm0 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm0(self.conv0(x)), 0.2)
        return F.leaky_relu(self.norm1(x + self.conv1(x)), 0.2)


class EncoderNetwork(nn.Module):
    """Pictures (N, C, H, W) in [−1, 1], of any size → latents in sigmas (N, num_ws, w_dim).

    The mean of the layers, and how far each is from it, which begins at 0: W before W+.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, config: EncoderConfig, basis: Basis | None = None) -> None:
        super().__init__()
        self.config = config
        first, *_, last = config.channels
        self.stem = nn.Conv2d(config.img_channels, first, 3, padding=1)
        self.blocks = nn.ModuleList(Block(*pair) for pair in pairwise(config.channels))
        height, width = config.resolution
        for _ in self.blocks:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.hidden = nn.Linear(last * height * width, config.hidden)
        self.middle = nn.Linear(config.hidden, config.w_dim)
        self.layers = nn.Linear(config.hidden, config.num_ws * config.w_dim)
        for each in (self.layers.weight, self.layers.bias):
            nn.init.zeros_(each)
        self.register_buffer("mean", torch.zeros(config.w_dim) if basis is None else basis.mean.clone())
        self.register_buffer("axes", torch.eye(config.w_dim) if basis is None else basis.axes.clone())

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != self.config.resolution:
            shrinks = images.shape[-1] > self.config.resolution[1]
            images = F.interpolate(images, self.config.resolution, mode="bilinear", antialias=shrinks)
        x = F.leaky_relu(self.stem(images), 0.2)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.hidden(x.flatten(1)), 0.2)
        layers = self.layers(x).unflatten(1, (self.config.num_ws, self.config.w_dim))
        return self.middle(x)[:, None] + layers

    @property
    def basis(self) -> Basis:
        """Of the generator that it was trained for."""
        return Basis(self.mean, self.axes)


def _norm(channels: int) -> nn.Module:
    groups = next(each for each in range(min(GROUPS, channels), 0, -1) if channels % each == 0)
    return nn.GroupNorm(groups, channels)
