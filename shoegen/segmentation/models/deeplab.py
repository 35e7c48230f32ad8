"""DeepLab (Chen et al., arXiv 1412.7062, 1706.05587): atrous ResNet-50 and spatial pyramid, from torchvision."""

from __future__ import annotations

from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import resnet
from shoegen.segmentation.models.contract import Segmenter


def create(config: SegmenterConfig) -> Segmenter:
    """With random weights. Trains on two pictures or more at a time: it normalises one value per picture."""
    return resnet.create(config, DeepLabHead(resnet.CHANNELS, config.classes))
