import numpy as np
import pytest
import torch

from shoegen.torch_utils.pixels import as_rgb, from_pixels, to_pixels


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_come_back(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, channels), np.uint8)
    images = from_pixels(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert images.shape == (2, channels, 5, 4)
    assert images.min() >= -1
    assert images.max() <= 1
    assert np.array_equal(to_pixels(images), pixels)


def test_as_rgb():
    grey = torch.rand(2, 1, 3, 3)
    assert torch.equal(as_rgb(grey), grey.repeat(1, 3, 1, 1))
    colour = torch.rand(2, 3, 3, 3) * 2 - 1
    assert torch.equal(as_rgb(colour), colour)
    for alpha, expected in [(1.0, colour), (-1.0, torch.ones_like(colour)), (0.0, (colour + 1) / 2)]:
        rgba = torch.cat([colour, torch.full((2, 1, 3, 3), alpha)], dim=1)
        torch.testing.assert_close(as_rgb(rgba), expected)
