"""U-Net (Ronneberger et al., arXiv 1505.04597) with a residual encoder, from segmentation-models-pytorch."""

from __future__ import annotations

import segmentation_models_pytorch as smp

from shoegen.errors import ConfigError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models.contract import Segmenter


def create(config: SegmenterConfig) -> Segmenter:
    """With random weights.

    Raises:
        ConfigError: no such encoder, or not one of so many stages.
    """
    depth = len(config.decoder_channels)
    try:
        net = smp.Unet(
            encoder_name=config.encoder,
            encoder_depth=depth,
            encoder_weights=None,
            decoder_channels=config.decoder_channels,
            classes=config.classes,
        )
    except (KeyError, RuntimeError) as error:
        raise ConfigError(
            f"no encoder {config.encoder!r} in segmentation-models-pytorch; change --encoder"
        ) from error
    return Segmenter(net, stride=2**depth, encoder=net.encoder, normalise=config.pretrained)
