"""Published ImageNet weights of the backbone: from disk, else fetched."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torchvision.models import ResNet50_Weights

from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.models.pretrained import chosen_for, not_found, online_if_possible, read_published

URL = ResNet50_Weights.IMAGENET1K_V1.url  # these, unlike the second, are what detectors are commonly tuned on


def find_backbone(config: MaskRCNNConfig) -> tuple[dict[str, Tensor], str] | str:
    """State of the ResNet and where it is from, or in one line why there is none.

    torchvision's file is looked for in the folder that SHOEGEN_ASSETS names and in torch's hub folder, then fetched.
    """
    if config.norm == "group":
        return "there are none with group normalisation"
    encoder = build_instance_net(
        replace(config, norm="frozen" if config.norm == "auto" else config.norm)
    ).encoder
    if encoder is None:
        return f"there are none for the engine {config.engine} at this size"
    try:
        with online_if_possible(URL):
            name, found = read_published(URL)
    except Exception as error:  # of as many kinds as there are libraries, caches and networks
        return not_found(error)
    return chosen_for(encoder, found, name)
