"""What SPADE's networks learn from (arXiv 1903.07291, section 3 and appendix A).

Features are what `Discriminator` gives: for each scale a list over its layers, the last ones logits. All losses are
means over the batch, so that processes that share a batch may average their gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Features = Sequence[Sequence[Tensor]]


def hinge_loss_d(painted: Features, real: Features) -> tuple[Tensor, Tensor]:
    """The discriminator's losses on painted and on real pictures (arXiv 1705.02894), means over the scales."""
    on_painted = [F.relu(1 + scale[-1]).mean() for scale in painted]
    on_real = [F.relu(1 - scale[-1]).mean() for scale in real]
    return torch.stack(on_painted).mean(), torch.stack(on_real).mean()


def hinge_loss_g(painted: Features) -> Tensor:
    """The generator's adversarial loss, the mean over the scales."""
    return -torch.stack([scale[-1].mean() for scale in painted]).mean()


def feature_matching(painted: Features, real: Features) -> Tensor:
    """Mean absolute difference of the discriminator's features (arXiv 1711.11585, eq. 4).

    The sum over the layers but the logits, the mean over the scales; no gradient goes to the real ones.
    """
    scales = [
        torch.stack([F.l1_loss(ours, theirs.detach()) for ours, theirs in zip(scale[:-1], true[:-1])]).sum()
        for scale, true in zip(painted, real)
    ]
    return torch.stack(scales).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """From the styles' distributions, each (N, z_dim), to the standard normal one: the sum over z, the mean over N."""
    each = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
    return each.sum(1).mean()


def draw_style(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Styles (N, z_dim) from their distributions and standard normal noise of the same shape (arXiv 1312.6114)."""
    return torch.addcmul(mean, noise, (0.5 * log_variance).exp())
