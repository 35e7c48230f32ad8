"""The contract that every segmenter keeps: a new architecture is one more entry in CONFIGS."""

import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import ARCHITECTURES, build_segmenter

CONFIGS = {
    "unet": SegmenterConfig(architecture="unet", classes=5, resolution=32, decoder_channels=(16, 8, 8)),
}


def test_every_architecture_is_tested():
    assert CONFIGS.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(32, 32), (50, 33), (7, 64)])
def test_any_size_gives_logits_of_that_size(name, size):
    net = build_segmenter(CONFIGS[name]).eval()
    logits = net(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_learns(name):
    net = build_segmenter(CONFIGS[name])
    net(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_shipped_network_is_small():
    net = build_segmenter(SegmenterConfig())
    assert sum(p.numel() for p in net.parameters()) * 2 < 8e6


def test_unknown_names():
    with pytest.raises(ConfigError, match=r"no architecture 'vnet'; expected one of unet"):
        build_segmenter(SegmenterConfig(architecture="vnet"))
    with pytest.raises(ConfigError, match="no encoder 'nothing'"):
        build_segmenter(SegmenterConfig(encoder="nothing"))


def test_config_survives_json():
    config = SegmenterConfig(classes=3, decoder_channels=(32, 16, 8))
    assert SegmenterConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="another version"):
        SegmenterConfig.from_dict({"colour": 1})
