from threading import Thread

import pytest
import torch

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.features import difference, look, shipped_encoder
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter


@pytest.mark.parametrize("architecture", ["unet", "segnet", "fcn"])
def test_one_look_gives_features_and_logits(architecture):
    torch.manual_seed(0)
    config = SegmenterConfig(resolution=32, architecture=architecture, decoder_channels=(16, 8, 8))
    net = build_segmenter(config).eval()
    images = torch.randn(2, 3, 32, 32)
    features, logits = look(net, images)
    assert torch.allclose(logits, net(images))
    assert (len(features) > 0) == (net.encoder is not None)
    assert all(each.shape[0] == 2 for each in features)


def test_another_threads_pass_is_not_looked_at():
    net = PartSegmenter.load().net
    images = torch.randn(2, 1, 3, 64, 64)
    alone = look(net, images[0])[0]

    def run_another(*_):
        hook.remove()
        other = Thread(target=net, args=(images[1],))
        other.start()
        other.join()

    hook = net.encoder.register_forward_pre_hook(run_another)
    together = look(net, images[0])[0]
    assert len(together) == len(alone)
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))


def test_difference():
    one, other = torch.ones(2, 4, 8, 8), torch.full((2, 4, 8, 8), 2.0)
    assert difference(one, other).tolist() == pytest.approx([0.5, 0.5])
    other[..., 4:] = 1
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    assert difference(one, other, left).tolist() == pytest.approx([1 / 1.5] * 2)
    assert difference(one, other, 1 - left).tolist() == pytest.approx([0, 0])


def test_the_shipped_encoder_sees_the_picture_first():
    images = torch.randn(1, 3, 64, 64)
    first, *deeper = shipped_encoder()(images)
    assert torch.equal(first, images)
    assert len(deeper) >= 4
