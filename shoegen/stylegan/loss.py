"""Losses and regularisers of StyleGAN2 (arXiv 1912.04958) and its predecessors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """−log sigmoid(D(fake)), averaged: the non-saturating logistic loss (arXiv 1406.2661). (N, 1) → ()."""
    return F.softplus(-fake_logits).mean()


def loss_on_real(real_logits: Tensor) -> Tensor:
    """−log sigmoid(D(real)), averaged: the discriminator's share of real images. (N, 1) → ()."""
    return F.softplus(-real_logits).mean()


def loss_on_fake(fake_logits: Tensor) -> Tensor:
    """−log(1 − sigmoid(D(fake))), averaged: the discriminator's share of fakes. (N, 1) → ()."""
    return F.softplus(fake_logits).mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """Squared gradient norm of D at real images (arXiv 1801.04406, equation 9), to be weighted by gamma / 2.

    Args:
        real_logits: (N, 1), computed from `real_images`.
        real_images: (N, 3, H, W) that requires a gradient.

    Returns:
        (N,), differentiable.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """How far an image moves, in the direction of `noise`, per step in W (arXiv 1912.04958, section 3.2).

    Args:
        images: (N, 3, H, W), computed from `ws`.
        ws: (N, num_ws, w_dim) that requires a gradient.
        noise: (N, 3, H, W), normal with deviation 1 / √(H·W).

    Returns:
        (N,), differentiable.
    """
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
