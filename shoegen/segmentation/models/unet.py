"""U-Net (Ronneberger et al., arXiv 1505.04597) with a residual encoder, from segmentation-models-pytorch."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import nn

from shoegen.errors import ConfigError
from shoegen.segmentation.config import SegmenterConfig


class UNet(nn.Module):
    """(N, 3, H, W) in [−1, 1] → logits (N, classes, H, W)."""

    def __init__(self, config: SegmenterConfig):
        super().__init__()
        depth = len(config.decoder_channels)
        try:
            self.net = smp.Unet(
                encoder_name=config.encoder,
                encoder_depth=depth,
                encoder_weights=None,
                decoder_channels=config.decoder_channels,
                classes=config.classes,
            )
        except (KeyError, RuntimeError) as error:
            raise ConfigError(f"no encoder {config.encoder!r} in segmentation-models-pytorch") from error
        self.stride = 2**depth

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        images = F.pad(images, pad, mode="replicate")  # N, 3, H', W'
        return self.net(images)[..., :height, :width]
