from dataclasses import replace

import pytest
import torch

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic.dataset import render
from shoegen.inversion import projecting
from shoegen.inversion.align import Placement
from shoegen.inversion.projecting import Inverter
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator

PLACEMENT = Placement(size=(64, 64), length=0.8, ground=0.9, center=0.5, background=(240, 240, 240))


@pytest.fixture(scope="session")
def segmenter():
    return PartSegmenter.load()


@pytest.fixture(scope="session")
def shoe():
    """(256, 256, 3), before white paper."""
    return render(5, 3, 256)


@pytest.fixture
def generator():
    """32 px, untrained; its pictures differ in brightness alone."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=32, z_dim=8, w_dim=8, mapping_layers=1, channel_base=256, channel_max=8
    )
    return Generator(config).eval().requires_grad_(False)


@pytest.fixture
def quick(monkeypatch):
    """Searches of a few steps."""
    for name, effort in projecting.EFFORTS.items():
        quicker = replace(effort, w=3, plus=4 if effort.plus else 0, tune=3 if effort.tune else 0)
        monkeypatch.setitem(projecting.EFFORTS, name, quicker)
    monkeypatch.setattr(projecting, "SAVE_EVERY", 2)
    monkeypatch.setattr(projecting, "WITHOUT_ENCODER", 0)


@pytest.fixture(scope="session")
def quick_segmenter():
    """Untrained, for what is not about what it sees."""
    torch.manual_seed(0)
    config = SegmenterConfig(resolution=32, decoder_channels=(16, 8, 8))
    return PartSegmenter(build_segmenter(config), config, SHOE_PARTS)


@pytest.fixture
def inverter(generator, quick_segmenter):
    """Of the small generator, in which no segmenter sees shoes."""
    made = Inverter(generator, segmenter=quick_segmenter, encoder=None)
    made.__dict__["placement"] = replace(PLACEMENT, size=(32, 32))
    return made
