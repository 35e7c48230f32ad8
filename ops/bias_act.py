"""Bias, activation, gain and clamp in one call (the epilogue of every StyleGAN2 layer)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.dispatch import LIBRARY, use_native


@dataclass(frozen=True)
class Activation:
    """An activation function with the gain that keeps a unit-variance input at about unit variance."""

    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), gain=math.sqrt(2), alpha=0.2),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: F.silu(x), gain=math.sqrt(2)),
}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    impl: str = "auto",
) -> Tensor:
    """`clamp(gain · act(x + b))`, differentiable to any order.

    Args:
        x: any shape, such as (N, C, H, W) or (N, features).
        b: (x.shape[dim],) bias, or None.
        dim: the dimension that `b` runs along.
        act: a name in `ACTIVATIONS`.
        alpha: the slope of `lrelu` below zero; None for 0.2.
        gain: None for the activation's own.
        clamp: limits the result to [−clamp, clamp]; None for no limit.
        impl: "auto", "reference" or "native", see `shoegen.ops.dispatch`.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ConfigError: unknown activation, or a bias of another size.
    """
    if act not in ACTIVATIONS:
        raise ConfigError(f"act: got {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    if b is not None and b.device != x.device:
        raise ConfigError(f"bias: got a tensor on {b.device}, expected {x.device}, where x is")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise ConfigError(
            f"bias: got shape {tuple(b.shape)}, expected ({x.shape[dim]},) along dim {dim} of x"
        )
    alpha = ACTIVATIONS[act].alpha if alpha is None else alpha
    gain = ACTIVATIONS[act].gain if gain is None else gain
    b = None if b is None else b.to(x.dtype)
    # Its gradient is read off the result, which then has to tell on which side of zero x + b was.
    unsupported = "its gain and alpha must be positive" if gain <= 0 or alpha < 0 else ""
    if use_native("bias_act", x, impl, unsupported=unsupported):
        dim = dim % x.ndim if x.ndim else 0
        return torch.ops.shoegen.bias_act(x, b, dim, act, alpha, gain, clamp)
    return _bias_act_reference(x, b, dim, act, alpha, gain, clamp)


def _bias_act_reference(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    if b is not None:
        x = x + b.reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    x = ACTIVATIONS[act].function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


# Native. The backward reads the slope off the result y, which the next layer keeps anyway; swish alone is not
# monotonic and needs x. That backward, an op in (dy, y), is differentiable in both.

LIBRARY.define(
    "bias_act(Tensor x, Tensor? b, int dim, str act, float alpha, float gain, float? clamp) -> Tensor"
)
LIBRARY.define(
    "bias_act_backward(Tensor dy, Tensor kept, Tensor? b, int dim, str act, float alpha, float gain, float? clamp)"
    " -> Tensor"
)


@torch.library.register_fake("shoegen::bias_act")
def _(x: Tensor, b: Tensor | None, *options: Any) -> Tensor:
    return torch.empty_like(x)


@torch.library.register_fake("shoegen::bias_act_backward")
def _(dy: Tensor, kept: Tensor, b: Tensor | None, *options: Any) -> Tensor:
    return torch.empty_like(kept)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, ctx.dim, ctx.act, ctx.alpha, ctx.gain, ctx.clamp = inputs
    if ctx.act == "swish":
        ctx.save_for_backward(x, b)
    elif ctx.act != "linear" or ctx.clamp is not None:
        ctx.save_for_backward(output, None)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    if ctx.saved_tensors:
        options = ctx.dim, ctx.act, ctx.alpha, ctx.gain, ctx.clamp
        dx = torch.ops.shoegen.bias_act_backward(dy, *ctx.saved_tensors, *options)
    else:
        dx = dy * ctx.gain if ctx.gain != 1 else dy
    db = _sum_but(dx, ctx.dim) if ctx.needs_input_grad[1] else None
    return dx, db, None, None, None, None, None


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, kept, b, *ctx.options = inputs
    smooth = ctx.options[1] not in ("linear", "relu", "lrelu")
    ctx.save_for_backward(kept, b, dy if smooth else None)


def _backward_of_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    kept, b, dy = ctx.saved_tensors
    g_dy = torch.ops.shoegen.bias_act_backward(g, kept, b, *ctx.options) if ctx.needs_input_grad[0] else None
    g_kept, g_b = None, None
    if dy is not None and (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
        g_kept = g * dy * _slope_of_the_slope(kept, b, *ctx.options)
        g_b = _sum_but(g_kept, ctx.options[0]) if b is not None else None
    return g_dy, g_kept, g_b, None, None, None, None, None


def _slope_of_the_slope(
    kept: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """d(dx / dy) / d(kept), in plain PyTorch: only penalties on gradients of smooth activations need it."""
    if act == "swish":
        z = kept if b is None else kept + b.reshape([-1 if i == dim else 1 for i in range(kept.ndim)])
        s = torch.sigmoid(z)
        slope, y = gain * s * (1 - s) * (2 + z * (1 - 2 * s)), gain * z * s
    else:
        y, u = kept, kept / gain
        slope = {
            "tanh": lambda: -2 * u,
            "sigmoid": lambda: 1 - 2 * u,
            "elu": lambda: (u <= 0).to(u.dtype),
            "selu": lambda: (u <= 0).to(u.dtype),
            "softplus": lambda: torch.exp(-u),
        }[act]()
    return slope if clamp is None else slope * (y.abs() < clamp)


def _sum_but(x: Tensor, dim: int) -> Tensor:
    dims = [i for i in range(x.ndim) if i != dim]
    return x.sum(dims) if dims else x


torch.library.register_autograd("shoegen::bias_act", _backward, setup_context=_keep)
torch.library.register_autograd(
    "shoegen::bias_act_backward", _backward_of_backward, setup_context=_keep_backward
)
