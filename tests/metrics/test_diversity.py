import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.errors import DataError
from shoegen.metrics import diversity

from .random_weights import Pictures


def pictures(count, **options):
    return torch.from_numpy(Pictures(count, **options).pixels)


def test_one_when_as_varied_and_less_after_a_collapse():
    reference = pictures(300)
    assert diversity(pictures(200, seed=1), reference) == pytest.approx(1, abs=0.1)
    assert diversity(pictures(200, seed=1, low=100, high=156), reference) < 0.4
    assert diversity(reference[:1].expand(64, -1, -1, -1), reference) == 0


def test_modes_that_are_missing_show():
    modes = pictures(4)
    assert diversity(modes[:2].repeat(50, 1, 1, 1), modes.repeat(50, 1, 1, 1)) < 0.9


def test_noise_is_no_variety():
    reference = pictures(200)
    flat = torch.full((200, 3, 32, 32), 128.0)
    noisy = (flat + 40 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    assert diversity(noisy.to(torch.uint8), reference) < 0.35


@given(shape=st.sampled_from([(1, 8, 8), (3, 16, 40), (4, 32, 32)]), factor=st.sampled_from([2, 4]))
@settings(max_examples=10, deadline=None)
def test_is_a_ratio_of_distances(shape, factor):
    reference = pictures(20, shape=shape)
    assert diversity(reference // factor * factor, reference) == pytest.approx(1, abs=0.05)
    assert diversity(reference // factor, reference) == pytest.approx(1 / factor, abs=0.05)


def test_bad_input():
    reference = pictures(4)
    assert math.isnan(diversity(reference, reference[:1].expand(4, -1, -1, -1)))
    with pytest.raises(DataError, match="at least two"):
        diversity(reference[:1], reference)
    with pytest.raises(DataError, match="same channels"):
        diversity(reference[:, :1], reference)
