"""Convolution whose weights are modulated per sample (StyleGAN2, arXiv 1912.04958, section 2.2)."""

from __future__ import annotations

from torch import Tensor

from shoegen.ops.conv_resample import conv2d_resample


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    noise: Tensor | None = None,
    resample_filter: Tensor | None = None,
    up: int = 1,
    padding: int = 0,
    demodulate: bool = True,
    flip_weight: bool = True,
) -> Tensor:
    """Convolves each sample with its own `weight · style`, normalised to unit output variance.

    Scaling input channel i by style s_i is the same as scaling the weight (equation 1), and dividing output
    channel j by √(Σ (s_i w_ijk)² + ε) the same as demodulating it (equation 3). So the weight is shared by the
    batch: one dense convolution instead of one group per sample.

    Args:
        x: (N, C_in, H, W).
        weight: (C_out, C_in, k, k).
        styles: (N, C_in).
        noise: broadcast to the output and added to it, or None.
        resample_filter: (fh, fw), needed when up > 1.
        up: upsampling factor.
        padding: as in `conv2d_resample`.
        demodulate: whether to normalise.
        flip_weight: as in `conv2d_resample`.

    Returns:
        (N, C_out, H·up, W·up) when padding is k // 2.
    """
    x = x * styles.to(x.dtype)[:, :, None, None]
    x = conv2d_resample(
        x, weight.to(x.dtype), resample_filter, up=up, padding=padding, flip_weight=flip_weight
    )
    if demodulate:
        power = styles.square() @ weight.square().sum(dim=(2, 3)).T  # (N, C_out)
        x = x * (power + 1e-8).rsqrt().to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    return x
