"""FCN (Long et al., arXiv 1411.4038) on an atrous ResNet-50, from torchvision."""

from __future__ import annotations

from torchvision.models.segmentation.fcn import FCNHead

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import resnet
from shoegen.segmentation.models.contract import Segmenter


def create(config: SegmenterConfig) -> Segmenter:
    """With random weights."""
    return resnet.create(config, FCNHead(resnet.CHANNELS, config.classes))
