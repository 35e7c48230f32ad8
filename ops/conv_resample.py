"""2-D convolution with FIR-filtered up- or downsampling (StyleGAN2, arXiv 1912.04958, appendix B)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.upfirdn2d import downsample2d, resample_padding, upfirdn2d, upsample2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    flip_weight: bool = True,
) -> Tensor:
    """Upsamples, convolves and downsamples as one linear map.

    Args:
        x: (N, C_in, H, W).
        w: (C_out, C_in, k, k).
        f: (fh, fw) low-pass filter with unit DC gain; needed when `up` or `down` exceeds 1.
        up, down: whole factors, at most one of them above 1.
        padding: pixels added on each side of the upsampled image.
        flip_weight: True correlates, as `torch.nn.functional.conv2d`; False convolves.

    Returns:
        (N, C_out, H·up / down, W·up / down) for an odd k with padding k // 2.
    """
    if up > 1 and down > 1:
        raise ConfigError(f"conv2d_resample: got up={up} and down={down}, expected at most one above 1")
    if (up > 1 or down > 1) and f is None:
        raise ConfigError(
            "conv2d_resample: resampling needs a filter f; make one with setup_filter([1, 3, 3, 1])"
        )
    kernel = w.shape[2]

    if up > 1 and f is not None:
        if kernel == 1 and padding == 0:  # commutes with the filter; cheaper on the small image
            return upsample2d(F.conv2d(x, w), f, up=up)
        # The transposed convolution returns every window that touches the image: k − 1 pixels of padding
        # on each side, but without the zeros after the last pixel.
        x = F.conv_transpose2d(x, (w.flip(2, 3) if flip_weight else w).transpose(0, 1), stride=up)
        left, right, top, bottom = (side + padding - (kernel - 1) for side in resample_padding(f, up=up))
        return upfirdn2d(x, f, padding=(left, right + up - 1, top, bottom + up - 1), gain=up**2)

    if not flip_weight:
        w = w.flip(2, 3)
    if down > 1 and f is not None:
        if kernel == 1 and padding == 0:
            return F.conv2d(downsample2d(x, f, down=down), w)
        x = upfirdn2d(x, f, padding=[side + padding for side in resample_padding(f, down=down)])
        return F.conv2d(x, w, stride=down)
    return F.conv2d(x, w, padding=padding)
