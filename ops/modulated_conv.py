"""Convolution whose weights are modulated per sample (StyleGAN2, arXiv 1912.04958, section 2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.conv_layer import conv_layer


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
    bias: Tensor | None = None,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
    impl: str = "auto",
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
        bias, act, gain, clamp: the layer's activation in the same op, as in `bias_act`; None, "linear" and None
            for none.
        impl: "auto", "reference" or "native", see `conv_layer`.

    Returns:
        (N, C_out, H·up, W·up) when padding is k // 2.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    if (
        x.ndim != 4
        or weight.ndim != 4
        or styles.shape != (x.shape[0], weight.shape[1])
        or x.shape[1] != weight.shape[1]
    ):
        raise ConfigError(
            f"modulated_conv2d: got x {tuple(x.shape)}, weight {tuple(weight.shape)} and styles {tuple(styles.shape)}, "
            "expected (N, C_in, H, W), (C_out, C_in, k, k) and (N, C_in)"
        )
    demodulation = None
    if demodulate:
        if x.dtype == torch.float16:  # demodulation undoes this, which keeps its sums from overflowing
            weight, styles = weight.float(), styles.float()
            largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8)
            weight = weight / (largest * math.sqrt(weight[0].numel()))
            styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
        squares = (weight * weight).flatten(2)
        taps = squares.new_ones(squares.shape[2])  # a product with ones is faster than a sum over few
        power = (styles * styles) @ (squares @ taps).T  # (N, C_out)
        demodulation = (power + 1e-8).rsqrt()
    return conv_layer(
        x,
        weight,
        in_scale=styles,
        out_scale=demodulation,
        noise=noise,
        bias=bias,
        resample_filter=resample_filter,
        up=up,
        padding=padding,
        flip_weight=flip_weight,
        act=act,
        gain=gain,
        clamp=clamp,
        impl=impl,
    )
