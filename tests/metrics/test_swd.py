import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.errors import DataError
from shoegen.metrics.swd import MAX_PATCHES, Patches, laplacian_pyramid, size_name, sliced_wasserstein


def smooth_noise(count, shape, *, seed, blobs=4):
    """uint8 pictures of blobs, so many in each row, with fine noise over them."""
    random = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    coarse = torch.randn(count, channels, blobs, blobs, generator=random)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear")
    noise = torch.randn(count, *shape, generator=random)
    return (128 + 40 * coarse + 20 * noise).clamp(0, 255).to(torch.uint8)


def distance(one, other, seed=0):
    sets = []
    for offset, pictures in enumerate((one, other)):
        patches = Patches(len(pictures), seed=seed + offset)
        for chunk in pictures.split(64):
            patches.add(chunk)
        sets.append(patches)
    return sliced_wasserstein(*sets, seed=seed)


@given(height=st.integers(8, 100), width=st.integers(8, 100), channels=st.sampled_from([1, 3, 4]))
@settings(max_examples=30, deadline=None)
def test_the_levels_of_a_pyramid_add_up_to_the_picture(height, width, channels):
    images = torch.randn(2, channels, height, width)
    levels = laplacian_pyramid(images)
    assert [min(level.shape[2:]) >= 16 for level in levels] == [min(height, width) >= 16] * len(levels)
    total = levels[-1]
    for level in reversed(levels[:-1]):
        row = torch.tensor([1, 4, 6, 4, 1.0]) / 16
        spread = torch.zeros_like(level)
        spread[:, :, ::2, ::2] = total
        kernel = 4 * torch.outer(row, row).expand(channels, 1, 5, 5)
        total = level + F.conv2d(F.pad(spread, (2,) * 4, mode="reflect"), kernel, groups=channels)
    torch.testing.assert_close(total, images, atol=1e-5, rtol=0)


def test_a_flat_picture_has_nothing_but_its_last_level():
    levels = laplacian_pyramid(torch.full((1, 3, 64, 96), 77.0))
    assert [size_name(level) for level in levels] == ["96x64", "48x32", "24x16"]
    for level in levels[:-1]:
        assert level.abs().max() < 1e-4
    torch.testing.assert_close(levels[-1], torch.full((1, 3, 16, 24), 77.0))


def test_distance_of_gaussians_is_the_closed_form():
    # On each axis both are normal with mean 0: W1 = |σ − σ'| · E|z|, and E|z| = √(2/π).
    random = torch.Generator().manual_seed(0)
    mixing = [torch.eye(49), torch.eye(49) + torch.ones(49, 49) / 7]
    sets = []
    for i, matrix in enumerate(mixing):
        patches = Patches(2**15, seed=i)
        rows = torch.randn(2**15, 49, generator=random) @ matrix
        patches.levels = {"64": [rows.reshape(-1, 1, 7, 7)]}
        sets.append(patches)
    covariances = [matrix @ matrix.T for matrix in mixing]
    covariances = [each / each.diagonal().mean() for each in covariances]
    axes = F.normalize(torch.randn(20000, 49, generator=random))
    deviations = [((axes @ each) * axes).sum(1).sqrt() for each in covariances]
    expected = 1000 * (deviations[0] - deviations[1]).abs().mean() * math.sqrt(2 / math.pi)
    assert sliced_wasserstein(*sets, seed=0)["64"] == pytest.approx(float(expected), rel=0.05)


def test_small_for_the_same_kind_of_pictures_and_large_for_others():
    real = smooth_noise(64, (3, 64, 64), seed=0)
    alike = distance(real, smooth_noise(64, (3, 64, 64), seed=1))
    assert list(alike) == ["64", "32", "16"]
    finer = distance(real, smooth_noise(64, (3, 64, 64), seed=1, blobs=12))
    assert finer["16"] > 1.5 * alike["16"]
    assert finer["64"] < 2 * alike["64"]
    blurred = F.avg_pool2d(F.pad(real.float(), (1,) * 4, mode="reflect"), 3, 1).to(torch.uint8)
    blurred = distance(real, blurred)
    assert blurred["64"] > 2 * alike["64"]
    assert blurred["64"] > 2 * blurred["16"]


@pytest.mark.parametrize("shape", [(1, 48, 32), (4, 32, 32), (3, 8, 8)])
def test_other_shapes_and_channels(shape):
    found = distance(smooth_noise(32, shape, seed=0), smooth_noise(32, shape, seed=1))
    assert all(0 < value < 300 for value in found.values())


def test_follows_from_the_seed_alone():
    one, other = smooth_noise(32, (3, 32, 32), seed=0), smooth_noise(32, (3, 32, 32), seed=1)
    first = distance(one, other)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert distance(one, other) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert distance(one, other, seed=2) != first


def test_a_collapsed_generator_has_a_figure():
    flat = torch.full((32, 3, 32, 32), 9, dtype=torch.uint8)
    values = distance(smooth_noise(32, (3, 32, 32), seed=0), flat).values()
    assert all(np.isfinite(value) and value > 100 for value in values)


def test_patches_are_bounded():
    patches = Patches(10 * MAX_PATCHES, seed=0)
    assert patches.per_picture == 1
    assert Patches(1024, seed=0).per_picture == 128
    assert Patches(4096, seed=0).per_picture * 4096 == MAX_PATCHES
    with pytest.raises(DataError, match="at least 7"):
        patches.add(torch.zeros(2, 3, 6, 64, dtype=torch.uint8))
