"""Pictures as bytes, and as the networks take them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_pixels(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [−1, 1] → (N, H, W, 3) uint8."""
    pixels = (images.detach() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def from_pixels(pixels: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 → float32 in [−1, 1], on the same device."""
    return pixels.float() / 127.5 - 1
