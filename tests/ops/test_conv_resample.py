import pytest
import torch
import torch.nn.functional as F

from shoegen.errors import ConfigError
from shoegen.ops import conv2d_resample, setup_filter, upfirdn2d

FILTER = setup_filter([1, 3, 3, 1]).double()


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("flip_weight", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_resampling_is_one_linear_map(up, flip_weight, kernel):
    """Zeros, filter and convolution one after the other, on the large image."""
    x, weight = random(2, 3, 8, 6), random(4, 3, kernel, kernel, seed=1)
    flipped = weight if flip_weight else weight.flip(2, 3)
    pad = kernel // 2
    if up:
        filtered = upfirdn2d(x, FILTER, up=2, padding=(2 + pad, 1 + pad) * 2, gain=4)
        expected = F.conv2d(filtered, flipped)
    else:
        filtered = upfirdn2d(x, FILTER, padding=1 + pad)
        expected = F.conv2d(filtered, flipped)[:, :, ::2, ::2]
    factor = {"up": 2} if up else {"down": 2}
    y = conv2d_resample(x, weight, FILTER, padding=pad, flip_weight=flip_weight, **factor)
    torch.testing.assert_close(y, expected)


def test_two_directions_at_once_are_refused():
    with pytest.raises(ConfigError, match="at most one above 1"):
        conv2d_resample(random(1, 1, 4, 4), random(1, 1, 3, 3), FILTER, up=2, down=2)


def test_resampling_wants_a_filter():
    with pytest.raises(ConfigError, match="setup_filter"):
        conv2d_resample(random(1, 1, 4, 4), random(1, 1, 3, 3), up=2)
