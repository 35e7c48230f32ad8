"""Bias, activation, gain and clamp in one call (the epilogue of every StyleGAN2 layer)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError


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

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ConfigError: unknown activation, or a bias of another size.
    """
    if act not in ACTIVATIONS:
        raise ConfigError(f"act: got {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    activation = ACTIVATIONS[act]
    if b is not None:
        if b.ndim != 1 or b.shape[0] != x.shape[dim]:
            raise ConfigError(
                f"bias: got shape {tuple(b.shape)}, expected ({x.shape[dim]},) along dim {dim} of x"
            )
        x = x + b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    x = activation.function(x, activation.alpha if alpha is None else alpha)
    gain = activation.gain if gain is None else gain
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x
