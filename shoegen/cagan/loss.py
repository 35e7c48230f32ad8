"""The losses of arXiv 1709.04695, equations 1 to 4; all are means, so that weights hold for any size and batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# The names of `config.GAN_LOSSES`: "log" is the published cross-entropy (for the generator the non-saturating one,
# which has the same fixed point), "hinge" that of SAGAN (1805.08318), "square" that of LSGAN (1611.04076).


def loss_on_real(logits: Tensor, kind: str) -> Tensor:
    """Small where the discriminator says real; logits of any shape."""
    if kind == "log":
        return F.softplus(-logits).mean()
    return F.relu(1 - logits).mean() if kind == "hinge" else (logits - 1).square().mean()


def loss_on_fake(logits: Tensor, kind: str) -> Tensor:
    """Small where the discriminator says fake, or mismatched."""
    if kind == "log":
        return F.softplus(logits).mean()
    return F.relu(1 + logits).mean() if kind == "hinge" else (logits + 1).square().mean()


def discriminator_loss(real: Tensor, fake: Tensor, mismatched: Tensor, kind: str) -> Tensor:
    """Of the logits for (x_i, y_i), (generated, y_j) and (x_i, y_j): the sum of three means."""
    return loss_on_real(real, kind) + loss_on_fake(fake, kind) + loss_on_fake(mismatched, kind)


def generator_loss(fake: Tensor, kind: str) -> Tensor:
    """Of the logits for (generated, y_j): small where they say real."""
    return -fake.mean() if kind == "hinge" else loss_on_real(fake, kind)


def identity_loss(alpha: Tensor) -> Tensor:
    """‖α‖: the mean of |α| over pictures and pixels, 0 to 1; alpha (N, 1, H, W)."""
    return alpha.abs().mean()


def cycle_loss(photo: Tensor, back: Tensor) -> Tensor:
    """‖x_i − G(G(x_i, y_i, y_j), y_j, y_i)‖₁: the mean over pictures, channels and pixels, both in [−1, 1]."""
    return (photo - back).abs().mean()


def truth_loss(result: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """The mean distance to the true picture of the swap, which the paper has not; known (N,): 1 where there is one.

    Where there is none the distance counts as 0, so that the mean over processes is that over their whole batch.
    """
    distances = (result - truth).abs().mean((1, 2, 3))
    return (distances * known).mean()
