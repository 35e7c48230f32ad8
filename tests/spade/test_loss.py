import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from shoegen.spade import loss

PAINTED = [
    [torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [-2.0]])],
    [torch.ones(2, 2), torch.zeros(2, 1)],
]
REAL = [[torch.tensor([[2.0], [1.0]]), torch.tensor([[2.0], [0.0]])], [torch.zeros(2, 2), torch.ones(2, 1)]]


def test_hinge_losses():
    on_painted, on_real = loss.hinge_loss_d(PAINTED, REAL)
    assert on_painted == pytest.approx(((1.5 + 0) / 2 + 1) / 2)
    assert on_real == pytest.approx(((0 + 1) / 2 + 0) / 2)
    assert loss.hinge_loss_g(PAINTED) == pytest.approx(-(-0.75 + 0) / 2)


def test_feature_matching_leaves_logits_out_and_real_features_alone():
    painted = [[each.clone().requires_grad_() for each in scale] for scale in PAINTED]
    real = [[each.clone().requires_grad_() for each in scale] for scale in REAL]
    value = loss.feature_matching(painted, real)
    assert value.item() == pytest.approx((1.5 + 1) / 2)
    value.backward()
    assert [each.grad is not None for scale in painted for each in scale] == [True, False, True, False]
    assert not any(each.grad is not None for scale in real for each in scale)


def test_kl_divergence_is_that_of_normal_distributions():
    mean, log_variance = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert loss.kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_styles_are_drawn_from_their_distributions():
    mean, log_variance = torch.full((4000, 2), 3.0), torch.full((4000, 2), math.log(4.0))
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    style = loss.draw_style(mean, log_variance, noise)
    assert style.mean().item() == pytest.approx(3, abs=0.1)
    assert style.std().item() == pytest.approx(2, abs=0.1)
