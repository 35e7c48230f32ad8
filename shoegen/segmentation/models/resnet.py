"""An atrous ResNet-50 and a head: what FCN and DeepLab are in torchvision."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.segmentation.fcn import FCN

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models.contract import Segmenter

LAYERS = (3, 4, 6, 3)  # of ResNet-50
CHANNELS = 2048  # that it gives


def create(config: SegmenterConfig, head: nn.Module) -> Segmenter:
    """head: (N, 2048, H/8, W/8) → (N, classes, H/8, W/8). The config's width is that of the bottlenecks."""
    resnet = ResNet(
        Bottleneck,
        list(config.stages(LAYERS)),
        width_per_group=max(1, round(64 * config.width)),
        replace_stride_with_dilation=[False, True, True],
    )
    backbone = IntermediateLayerGetter(resnet, return_layers={"layer4": "out"})
    net = _Logits(FCN(backbone, head))
    # Any size will do: the logits are interpolated to the picture's.
    return Segmenter(net, stride=1, encoder=backbone, normalise=config.pretrained)


class _Logits(nn.Module):
    """torchvision's result without the dictionary around it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)["out"]
