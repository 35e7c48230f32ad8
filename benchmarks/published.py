"""The published StyleGAN2-ADA way of computing our networks, for the benchmarks to compare with.

Same weights, same numbers; but each step is an op of PyTorch of its own, and

- the generator's weights are modulated per sample and convolved with one group per sample (`fused`, as the published
  code does for inference), or its activations are scaled before and after a shared convolution (as it does when it
  trains);
- resampling inserts zeros, filters every pixel, and drops those that are not wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.stylegan import networks


@contextmanager
def published(*, fused: bool) -> Iterator[None]:
    """Within it, `shoegen.stylegan.networks` computes in the published way."""

    def modulated(x: Tensor, weight: Tensor, styles: Tensor, **options: Any) -> Tensor:
        return modulated_conv2d(x, weight, styles, fused=fused, **options)

    with mock.patch.multiple(
        networks,
        modulated_conv2d=modulated,
        conv_layer=conv_layer,
        bias_act=bias_act,
        upsample2d=upsample2d,
        downsample2d=downsample2d,
    ):
        yield


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    if b is not None:
        x = x + b.reshape(1, -1, *[1] * (x.ndim - 2))
    if act == "lrelu":
        x = F.leaky_relu(x, 0.2)
    gain = (2**0.5 if act == "lrelu" else 1.0) if gain is None else gain
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def upfirdn2d(
    x: Tensor, f: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Tensor:
    """`padding`: before and after, along both axes."""
    n, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
        x = x.reshape(n, channels, height * up, width * up)
    x = F.pad(x, [max(padding[0], 0), max(padding[1], 0)] * 2)
    before, after = max(-padding[0], 0), max(-padding[1], 0)
    x = x[:, :, before : x.shape[2] - after, before : x.shape[3] - after]
    f = (f * gain ** (f.ndim / 2)).to(x.dtype).flip(0, 1).expand(channels, 1, *f.shape)
    x = F.conv2d(x, f, groups=channels)
    return x[:, :, ::down, ::down]


def upsample2d(x: Tensor, f: Tensor) -> Tensor:
    return upfirdn2d(x, f, up=2, padding=(2, 1), gain=4)


def downsample2d(x: Tensor, f: Tensor) -> Tensor:
    return upfirdn2d(x, f, down=2, padding=(1, 1))


def conv2d_resample(
    x: Tensor,
    weight: Tensor,
    f: Tensor | None,
    *,
    up: int,
    down: int,
    padding: int,
    flip_weight: bool,
    groups: int = 1,
) -> Tensor:
    if up > 1:
        assert f is not None
        if weight.shape[2] == 1:
            return upsample2d(F.conv2d(x, weight, groups=groups), f)
        per_group = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        weight = per_group.reshape(-1, *per_group.shape[2:])
        x = F.conv_transpose2d(x, weight.flip(2, 3) if flip_weight else weight, stride=2, groups=groups)
        return upfirdn2d(x, f, padding=(1, 1), gain=4)
    weight = weight if flip_weight else weight.flip(2, 3)
    if down > 1:
        assert f is not None
        if weight.shape[2] == 1:
            return F.conv2d(downsample2d(x, f), weight, groups=groups)
        return F.conv2d(upfirdn2d(x, f, padding=(2, 2)), weight, stride=2, groups=groups)
    return F.conv2d(x, weight, padding=padding, groups=groups)


def conv_layer(
    x: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None,
    resample_filter: Tensor,
    up: int,
    down: int,
    padding: int,
    flip_weight: bool,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    x = conv2d_resample(
        x, weight, resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
    )
    return bias_act(x, bias, act=act, gain=gain, clamp=clamp)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    fused: bool,
    noise: Tensor | None = None,
    resample_filter: Tensor | None = None,
    up: int = 1,
    padding: int = 0,
    demodulate: bool = True,
    flip_weight: bool = True,
    bias: Tensor | None,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    n, in_channels, height, width = x.shape
    convolution: dict[str, Any] = {"up": up, "down": 1, "padding": padding, "flip_weight": flip_weight}
    own = coefficients = None
    if demodulate or fused:
        own = weight[None] * styles[:, None, :, None, None]  # (N, C_out, C_in, k, k)
    if demodulate:
        assert own is not None
        coefficients = (own.square().sum(dim=(2, 3, 4)) + 1e-8).rsqrt()
    if fused:
        assert own is not None
        if coefficients is not None:
            own = own * coefficients[:, :, None, None, None]
        x = x.reshape(1, n * in_channels, height, width)
        own = own.reshape(-1, *weight.shape[1:])
        x = conv2d_resample(x, own, resample_filter, groups=n, **convolution)
        x = x.reshape(n, -1, *x.shape[2:])
        if noise is not None:
            x = x + noise
    else:
        x = x * styles[:, :, None, None]
        x = conv2d_resample(x, weight, resample_filter, **convolution)
        if coefficients is not None and noise is not None:
            x = torch.addcmul(noise, x, coefficients[:, :, None, None])
        elif coefficients is not None:
            x = x * coefficients[:, :, None, None]
        elif noise is not None:
            x = x + noise
    return bias_act(x, bias, act=act, gain=gain, clamp=clamp)
