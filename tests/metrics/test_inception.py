import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.errors import FileFormatError
from shoegen.metrics.inception import (
    Inception,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)

from .random_weights import Pictures


def whitened(count, dimensions, seed):
    """(count, dimensions) with mean 0 and covariance 1, exactly."""
    x = np.random.default_rng(seed).normal(size=(count, dimensions))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


@given(seed=st.integers(0, 1000), shift=st.floats(-3, 3), scale=st.floats(0.1, 3))
@settings(max_examples=25, deadline=None)
def test_fid_is_the_closed_form_on_gaussians(seed, shift, scale):
    random = np.random.default_rng(seed)
    d1, d2 = random.uniform(0.2, 2, (2, 8)) * [[1], [scale]]
    turn = np.linalg.qr(random.normal(size=(8, 8)))[0]  # shared axes: the covariances commute
    one = torch.tensor(whitened(200, 8, seed) * d1 @ turn)
    other = torch.tensor(whitened(300, 8, seed + 1) * d2 @ turn + shift)
    expected = 8 * shift**2 + ((d1 - d2) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_kid_is_unbiased():
    # The mean over repeated draws from one distribution is 0; a biased estimate would be positive each time.
    random = torch.Generator().manual_seed(0)
    values = []
    for seed in range(60):
        one, other = torch.randn(2, 24, 8, generator=random)
        values.append(kernel_distance(one, other, seed=seed)[0])
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kid_is_the_closed_form():
    # E k(x, y) of the cubic kernel for independent means of ±1 in one dimension: (xy + 1)³.
    zeros, ones = torch.zeros(40, 1), torch.ones(40, 1)
    value, spread, settings = kernel_distance(zeros, ones, seed=0)
    assert value == pytest.approx(1 + 8 - 2 * 1)
    assert spread == 0
    assert settings == {"subsets": 100, "subset_size": 20}


def test_precision_and_recall_on_known_manifolds():
    random = torch.Generator().manual_seed(0)
    square = torch.rand(2, 400, 2, generator=random)
    precision, recall = precision_recall(*square)
    assert min(precision, recall) > 0.9
    half = square[1] * torch.tensor([0.5, 1.0])
    precision, recall = precision_recall(square[0], half)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.12)
    precision, recall = precision_recall(half, square[0])
    assert precision == pytest.approx(0.5, abs=0.12)
    assert recall > 0.9
    assert precision_recall(square[0], square[1] + 10) == (0, 0)


@pytest.mark.parametrize("classes", [1, 4])
def test_inception_score_counts_classes(classes):
    logits = 100.0 * torch.eye(8)[torch.arange(400) % classes]
    mean, _, settings = inception_score(logits, seed=0)
    assert mean == pytest.approx(classes, rel=0.1)
    assert settings == {"splits": 10}


def test_inception_sees_all_channels_and_leaves_the_random_state(weights):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    network = Inception(weights / "inception.pth")
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.is_published
    grey = torch.from_numpy(Pictures(2, (1, 16, 24)).pixels)
    features, logits = network.see(grey, "cpu")
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert not torch.allclose(features[0], features[1], rtol=1e-3)
    opaque = torch.cat([grey.expand(-1, 3, -1, -1), torch.full_like(grey, 255)], dim=1)
    torch.testing.assert_close(network.see(opaque, "cpu")[0], features)
    clear = torch.cat([opaque[:, :3], torch.zeros_like(grey)], dim=1)
    white = torch.full_like(grey, 255)
    torch.testing.assert_close(network.see(clear, "cpu")[0], network.see(white, "cpu")[0])


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(FileFormatError, match="not those of Inception"):
        Inception(weights / "vgg.pth")
