"""Pictures as bytes, and as the networks take them: C is 1 (grey), 3 (RGB) or 4 (RGBA)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_pixels(images: Tensor) -> np.ndarray:
    """(N, C, H, W) in [−1, 1] → (N, H, W, C) uint8."""
    pixels = (images.detach() * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def from_pixels(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 → float32 in [−1, 1], on the same device."""
    return pixels.float() / 127.5 - 1


def as_rgb(images: Tensor) -> Tensor:
    """(N, C, H, W) in [−1, 1] → (N, 3, H, W): grey three times, RGBA over white."""
    if images.shape[1] == 4:
        alpha = (images[:, 3:] + 1) / 2
        return 1 - (1 - images[:, :3]) * alpha
    return images.expand(-1, 3, -1, -1)
