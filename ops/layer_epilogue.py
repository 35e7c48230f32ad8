"""What follows a layer's convolution, in one pass over memory: demodulation, noise, bias, activation, gain, clamp."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.bias_act import ACTIVATIONS, bias_act
from shoegen.ops.dispatch import LIBRARY, empty_image, use_native


def layer_epilogue(
    x: Tensor,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
    impl: str = "auto",
) -> Tensor:
    """`bias_act(scale · x + noise, bias)`, differentiable to any order.

    Args:
        x: (N, C, H, W).
        scale: (N, C), not zero; or None.
        noise: (N or 1, 1, H, W) or (H, W), or None.
        bias: (C,), or None.
        act, gain, clamp: as in `bias_act`.
        impl: "auto", "reference" or "native", see `shoegen.ops.dispatch`.

    Raises:
        ConfigError: unknown activation, or shapes that do not belong together.
    """
    if act not in ACTIVATIONS:
        raise ConfigError(f"act: got {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    if x.ndim != 4 or (scale is not None and scale.shape != x.shape[:2]):
        got = "none" if scale is None else tuple(scale.shape)
        raise ConfigError(
            f"layer_epilogue: got x {tuple(x.shape)} and scale {got}, expected (N, C, H, W) and (N, C)"
        )
    if noise is not None:
        noise = noise[(None,) * (4 - noise.ndim)].to(x.dtype)
    scale = None if scale is None else scale.to(x.dtype)
    gain = ACTIVATIONS[act].gain if gain is None else gain
    if scale is None and noise is None:
        return bias_act(x, bias, act=act, gain=gain, clamp=clamp, impl=impl)
    if use_native("layer_epilogue", x, impl, unsupported=_unsupported(x, noise, act, gain)):
        bias = None if bias is None else bias.to(x.dtype)
        return torch.ops.shoegen.layer_epilogue(
            x, scale, noise, bias, act, ACTIVATIONS[act].alpha, gain, clamp
        )
    if scale is not None:
        x = x * scale[:, :, None, None]
    if noise is not None:
        x = x + noise
    return bias_act(x, bias, act=act, gain=gain, clamp=clamp, impl=impl)


def _unsupported(x: Tensor, noise: Tensor | None, act: str, gain: float) -> str:
    if act not in ("linear", "relu", "lrelu") or gain <= 0:
        return "its activations are linear, relu and lrelu, with a positive gain"
    if noise is not None and noise.shape[1:] != (1, *x.shape[2:]):
        return f"its noise is (N or 1, 1, {x.shape[2]}, {x.shape[3]}), not {tuple(noise.shape)}"
    return ""


# Native. Only the result y is kept. With u = scale · x + noise + bias, what is activated, and du its gradient,
# du · u = dy · y wherever the clamp lets y pass: so the gradient of `scale`, Σ du · x, needs no x.

LIBRARY.define(
    "layer_epilogue(Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, str act, float alpha, float gain,"
    " float? clamp) -> Tensor"
)


@torch.library.register_fake("shoegen::layer_epilogue")
def _(x: Tensor, *rest: Any) -> Tensor:
    return empty_image(x, *x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, scale, noise, bias, ctx.act, ctx.alpha, ctx.gain, ctx.clamp = inputs
    needs_result = scale is not None or ctx.act != "linear" or ctx.clamp is not None
    ctx.save_for_backward(output if needs_result else None, scale, noise, bias)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    y, scale, noise, bias = ctx.saved_tensors
    for_x, for_scale, for_noise, for_bias = ctx.needs_input_grad[:4]
    through = torch.ops.shoegen.bias_act_backward
    du = dy * ctx.gain if y is None else through(dy, y, None, 1, ctx.act, ctx.alpha, ctx.gain, ctx.clamp)
    g_x = g_scale = g_noise = g_bias = None
    if for_x:
        g_x = du if scale is None else du * scale[:, :, None, None]
    if for_noise:
        g_noise = du.sum(dim=(0, 1) if noise.shape[0] == 1 else 1, keepdim=True)
    if for_bias or for_scale:
        sums = du.sum(dim=(2, 3))  # (N, C)
        g_bias = sums.sum(dim=0) if for_bias else None
    if for_scale:
        passed = dy if ctx.clamp is None else through(dy, y, None, 1, "linear", 0.0, 1.0, ctx.clamp)
        products = (passed * y).sum(dim=(2, 3))
        if noise is not None:
            products = products - (du * noise).sum(dim=(2, 3))
        if bias is not None:
            products = products - sums * bias
        g_scale = products / scale
    return g_x, g_scale, g_noise, g_bias, None, None, None, None


torch.library.register_autograd("shoegen::layer_epilogue", _backward, setup_context=_keep)
