"""A whole convolutional layer of StyleGAN2 as one op: scales, 3×3 convolution with resampling, noise, bias, activation.

Every layer of both networks is `clamp(gain · lrelu(d · L(s · x, w) + noise + b))` with a linear L. The native op
(`csrc/cpu/conv_layer_kernel.cpp`) writes the result alone and keeps only that and its input for the backward, where
the reference keeps the result of every step.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.bias_act import ACTIVATIONS
from shoegen.ops.conv_resample import conv2d_resample
from shoegen.ops.dispatch import LIBRARY, use_native, wants_reference
from shoegen.ops.layer_epilogue import layer_epilogue
from shoegen.ops.pointwise import pointwise
from shoegen.ops.upfirdn2d import downsample2d

SAME, UP, DOWN = 0, 1, 2


def conv_layer(
    x: Tensor,
    weight: Tensor,
    *,
    in_scale: Tensor | None = None,
    out_scale: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    resample_filter: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    flip_weight: bool = True,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
    impl: str = "auto",
) -> Tensor:
    """`layer_epilogue(conv2d_resample(in_scale · x, weight), out_scale, noise, bias)`, differentiable to any order.

    Args:
        x: (N, C_in, H, W).
        weight: (C_out, C_in, k, k).
        in_scale, out_scale: (N, C_in) and (N, C_out), or None for 1.
        noise: (N or 1, 1, H', W') or (H', W') added to the output, or None.
        bias: (C_out,), or None.
        resample_filter, up, down, padding, flip_weight: as in `conv2d_resample`.
        act, gain, clamp: as in `bias_act`.
        impl: "auto", "reference" or "native", see `shoegen.ops.dispatch`. The native op wants 3×3 weights, channels
            in multiples of 16 and images that are not tiny; its results are channels_last.

    Returns:
        (N, C_out, H·up / down, W·up / down), where padding is k // 2.
    """
    if act not in ACTIVATIONS:
        raise ConfigError(f"act: got {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    gain = ACTIVATIONS[act].gain if gain is None else gain
    if noise is not None:
        noise = noise[(None,) * (4 - noise.ndim)]
    layer: dict[str, Any] = {
        "in_scale": in_scale,
        "out_scale": out_scale,
        "noise": noise,
        "bias": bias,
        "resample_filter": resample_filter,
        "up": up,
        "down": down,
        "padding": padding,
        "flip_weight": flip_weight,
        "act": act,
        "gain": gain,
        "clamp": clamp,
    }
    if wants_reference(impl):
        return conv_layer_reference(x, weight, **layer)
    _check_layer(x, weight, in_scale, out_scale, bias, up, down)
    taps = _taps(resample_filter, up) if max(up, down) > 1 else []
    unsupported = _unsupported(x, weight, noise, up, down, padding, act, gain, taps)
    if not use_native("conv_layer", x, impl, unsupported=unsupported):
        if weight.shape[2:] == (1, 1) and padding == 0 and up == 1 and x.device.type == "cpu":
            return _pointwise_layer(x, weight, **layer)
        return conv_layer_reference(x, weight, **layer, impl="auto")
    mode = UP if up > 1 else DOWN if down > 1 else SAME
    flip = flip_weight == (mode == UP)  # up writes w[k] at 2·i + k: as a transposed convolution
    scalars = (ACTIVATIONS[act].alpha if act == "lrelu" else 1.0), gain, clamp
    tensors = (t if t is None else t.to(x.dtype) for t in (weight, in_scale, out_scale, noise, bias))
    return torch.ops.shoegen.conv_layer(x, *tensors, *scalars, mode, False, flip, taps)


def _check_layer(
    x: Tensor,
    weight: Tensor,
    in_scale: Tensor | None,
    out_scale: Tensor | None,
    bias: Tensor | None,
    up: int,
    down: int,
) -> None:
    """Refuses tensors that do not belong together: the native op reads them by these sizes."""
    if up > 1 and down > 1:
        raise ConfigError(f"conv_layer: got up={up} and down={down}, expected at most one above 1")
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ConfigError(
            f"conv_layer: got x {tuple(x.shape)} and weight {tuple(weight.shape)}, expected (N, C_in, H, W) and "
            "(C_out, C_in, k, k)"
        )
    expected = {
        "in_scale": (in_scale, (x.shape[0], x.shape[1])),
        "out_scale": (out_scale, (x.shape[0], weight.shape[0])),
        "bias": (bias, (weight.shape[0],)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise ConfigError(f"conv_layer: got {name} {tuple(tensor.shape)}, expected {shape}")


def conv_layer_reference(
    x: Tensor,
    weight: Tensor,
    *,
    in_scale: Tensor | None,
    out_scale: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    resample_filter: Tensor | None,
    up: int,
    down: int,
    padding: int,
    flip_weight: bool,
    act: str,
    gain: float,
    clamp: float | None,
    impl: str = "reference",
) -> Tensor:
    """`conv_layer` step by step, for any kernel, type and device; `impl` is that of its steps."""
    if in_scale is not None:
        x = x * in_scale.to(x.dtype)[:, :, None, None]
    x = conv2d_resample(
        x,
        weight.to(x.dtype),
        resample_filter,
        up=up,
        down=down,
        padding=padding,
        flip_weight=flip_weight,
    )
    return layer_epilogue(
        x, scale=out_scale, noise=noise, bias=bias, act=act, gain=gain, clamp=clamp, impl=impl
    )


def _pointwise_layer(
    x: Tensor,
    weight: Tensor,
    *,
    in_scale: Tensor | None,
    out_scale: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    resample_filter: Tensor | None,
    down: int,
    act: str,
    gain: float,
    clamp: float | None,
    **ignored: Any,
) -> Tensor:
    """1×1 convolutions: what can be is folded into the weight."""
    if down > 1:
        assert resample_filter is not None
        x = downsample2d(x, resample_filter, down=down)
    weight = weight[:, :, 0, 0]
    if in_scale is not None:
        weight = weight * in_scale[:, None, :]
    if act == "linear" and clamp is None and noise is None and bias is None and out_scale is None:
        return pointwise(x, (weight * gain).to(x.dtype))
    x = pointwise(x, weight.to(x.dtype))
    return layer_epilogue(x, scale=out_scale, noise=noise, bias=bias, act=act, gain=gain, clamp=clamp)


def _taps(f: Tensor | None, up: int) -> list[float]:
    """The filter along one axis, turned as the native op wants it; empty where it has none for `f`."""
    if f is None or f.shape != (4, 4) or f.device.type != "cpu":
        return []
    rows, columns = f.sum(dim=1), f.sum(dim=0)
    if not torch.equal(rows, columns) or not torch.allclose(torch.outer(rows, rows), f * f.sum(), atol=1e-6):
        return []
    taps = [float(tap) * up for tap in rows / f.sum().abs().sqrt()]
    return taps[::-1] if up > 1 else taps


def _unsupported(
    x: Tensor,
    weight: Tensor,
    noise: Tensor | None,
    up: int,
    down: int,
    padding: int,
    act: str,
    gain: float,
    taps: list[float],
) -> str:
    """What keeps the native op from a layer."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return f"it computes in float32 on the CPU, not in {x.dtype} on {x.device.type}"
    if x.ndim != 4 or weight.shape[2:] != (3, 3) or padding != 1:
        return "it convolves with 3×3 weights and a padding of 1"
    if x.shape[1] % 16 or weight.shape[0] % 16:
        return f"channels must be multiples of 16, not {x.shape[1]} → {weight.shape[0]}"
    if act not in ("linear", "lrelu") or gain <= 0:
        return "its activations are linear and lrelu, with a positive gain"
    if max(up, down) > 1 and (
        max(up, down) > 2 or not taps or (down > 1 and (x.shape[2] % 2 or x.shape[3] % 2))
    ):
        return "it resamples by 2, with a symmetric separable filter of 4 taps"
    size = tuple(side * up // down for side in x.shape[2:])
    if noise is not None and (noise.shape[0] not in (1, x.shape[0]) or noise.shape[1:] != (1, *size)):
        return f"noise must be (N or 1, 1, {size[0]}, {size[1]}), not {tuple(noise.shape)}"
    # A few tiles are not worth transforming the weights for.
    small = [side // down for side in x.shape[2:]]
    tiles = x.shape[0] * ((small[0] + 3) // 4) * ((small[1] + 3) // 4)
    if tiles < 4:
        return f"{tiles} tiles of 4×4 pixels are too few to be worth it"
    return ""


# Native. `mode`: the convolution keeps the size, doubles or halves it. `transpose`: the weight is (C_in, C_out, 3, 3);
# `flip` turns it by 180°. So the adjoint of every convolution is one too, and so are its gradients of gradients.

_EPILOGUE = "Tensor? noise, Tensor? bias, float slope, float gain, float? clamp"
_CONV = "int mode, bool transpose, bool flip, float[] taps"
LIBRARY.define(
    f"conv_layer(Tensor x, Tensor weight, Tensor? in_scale, Tensor? out_scale, {_EPILOGUE}, {_CONV}) -> Tensor"
)
# The gradient of the weight: of x, the smaller image where they differ, and g, which the output's side has.
LIBRARY.define(
    f"conv_layer_weight(Tensor x, Tensor g, Tensor? in_scale, Tensor? out_scale, {_CONV}) -> Tensor"
)
# Through the epilogue: du = dy · slope at y; its sum over channels (N, 1, H, W); (N, 2, C) sums over pixels, of du and
# of du · (u − noise), u being what was activated: dy · y where the clamp let it pass, less du · noise.
LIBRARY.define(
    "layer_backward(Tensor dy, Tensor y, Tensor? noise, float slope, float gain, float? clamp)"
    " -> (Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "layer_backward_adjoint(Tensor? g_du, Tensor? g_across, Tensor? g_sums, Tensor dy, Tensor y, Tensor? noise,"
    " float slope, float gain, float? clamp) -> (Tensor, Tensor, Tensor)"
)
# (s · t, Σ t · x over the pixels), of images t and x and scales s (N, C).
LIBRARY.define("scale_dot(Tensor t, Tensor s, Tensor x) -> (Tensor, Tensor)")
LIBRARY.define(
    "scale_dot_adjoint(Tensor g_p, Tensor g_q, Tensor t, Tensor s, Tensor x) -> (Tensor, Tensor, Tensor)"
)


def _image(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    return like.new_empty(like.shape[0], channels, height, width).contiguous(
        memory_format=torch.channels_last
    )


@torch.library.register_fake("shoegen::conv_layer")
def _(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    mode, transpose = rest[7:9]
    height, width = (size * 2 if mode == UP else size // 2 if mode == DOWN else size for size in x.shape[2:])
    return _image(x, weight.shape[1 if transpose else 0], height, width)


@torch.library.register_fake("shoegen::conv_layer_weight")
def _(x: Tensor, g: Tensor, in_scale: Any, out_scale: Any, mode: int, transpose: bool, *rest: Any) -> Tensor:
    return x.new_empty(*(x.shape[1], g.shape[1]) if transpose else (g.shape[1], x.shape[1]), 3, 3)


@torch.library.register_fake("shoegen::layer_backward")
def _(dy: Tensor, y: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    n, c, h, w = y.shape
    return _image(y, c, h, w), y.new_empty(n, 1, h, w), y.new_empty(n, 2, c)


@torch.library.register_fake("shoegen::layer_backward_adjoint")
def _(
    g_du: Any, g_across: Any, g_sums: Any, dy: Tensor, y: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    n, c, h, w = y.shape
    return _image(y, c, h, w), _image(y, c, h, w), y.new_empty(n, 1, h, w)


@torch.library.register_fake("shoegen::scale_dot")
def _(t: Tensor, s: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return _image(x, *x.shape[1:]), torch.empty_like(s)


@torch.library.register_fake("shoegen::scale_dot_adjoint")
def _(g_p: Tensor, g_q: Tensor, t: Tensor, s: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _image(x, *x.shape[1:]), _image(x, *x.shape[1:]), torch.empty_like(s)


def _wanted(ctx: Any, *inputs: int) -> list[bool]:
    """Whether this backward is to give the gradients of these tensor inputs.

    `needs_input_grad` is also true of what `torch.autograd.grad` was not asked for: without this, R1 and path length
    would compute the gradients of all weights, to throw them away.
    """
    return [bool(ctx.needs_input_grad[i]) and _will_run(ctx.next_functions[ctx.places[i]][0]) for i in inputs]


def _will_run(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # PyTorch does not answer for leaves that are asked for
        return True


def _places(inputs: tuple[Any, ...]) -> dict[int, int]:
    """Where each tensor input stands among the tensors."""
    tensors = [i for i, value in enumerate(inputs) if isinstance(value, Tensor)]
    return {i: place for place, i in enumerate(tensors)}


def _adjoint(conv: tuple[Any, ...]) -> tuple[Any, ...]:
    mode, transpose, flip, taps = conv
    return {SAME: SAME, UP: DOWN, DOWN: UP}[mode], not transpose, flip if mode else not flip, taps


def _linear(
    x: Tensor, weight: Tensor, in_scale: Tensor | None, out_scale: Tensor | None, conv: tuple[Any, ...]
) -> Tensor:
    return torch.ops.shoegen.conv_layer(x, weight, in_scale, out_scale, None, None, 1.0, 1.0, None, *conv)


def _weight_gradient(
    x: Tensor, g: Tensor, in_scale: Tensor | None, out_scale: Tensor | None, conv: tuple[Any, ...]
) -> Tensor:
    mode, transpose, flip, taps = conv
    if mode == DOWN:
        return torch.ops.shoegen.conv_layer_weight(g, x, out_scale, in_scale, UP, not transpose, flip, taps)
    return torch.ops.shoegen.conv_layer_weight(x, g, in_scale, out_scale, mode, transpose, flip, taps)


def _scaled(
    image: Tensor,
    weight: Tensor,
    in_scale: Tensor | None,
    scale: Tensor | None,
    other: Tensor,
    conv: tuple[Any, ...],
    wants_scale: bool,
) -> tuple[Tensor, Tensor | None]:
    """scale · L(in_scale · image), and the gradient of `scale` where L's result meets `other`."""
    if scale is None or not wants_scale:
        return _linear(image, weight, in_scale, scale, conv), None
    return cast(
        tuple[Tensor, Tensor],
        torch.ops.shoegen.scale_dot(_linear(image, weight, in_scale, None, conv), scale, other),
    )


def _keep_layer(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, in_scale, out_scale, noise, bias, ctx.slope, ctx.gain, ctx.clamp, *conv = inputs
    ctx.conv, ctx.places = tuple(conv), _places(inputs)
    linear = ctx.slope == 1 and ctx.gain == 1 and ctx.clamp is None
    ctx.plain = linear and noise is None and bias is None and out_scale is None
    ctx.save_for_backward(x, weight, in_scale, out_scale, noise, bias, None if ctx.plain else output)


def _layer_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, in_scale, out_scale, noise, bias, y = ctx.saved_tensors
    for_x, for_weight, for_in, for_out, for_noise, for_bias = _wanted(ctx, *range(6))
    g_x = g_weight = g_in = g_out = g_noise = g_bias = None
    du = dy
    if not ctx.plain:
        du, across, sums = torch.ops.shoegen.layer_backward(dy, y, noise, ctx.slope, ctx.gain, ctx.clamp)
        if for_noise:
            g_noise = across if noise.shape[0] > 1 else across.sum(dim=0, keepdim=True)
        if for_bias:
            g_bias = sums[:, 0].sum(dim=0)
        if for_out:  # Σ du · L(in_scale · x), with L read off the result
            products = sums[:, 1] if bias is None else sums[:, 1] - sums[:, 0] * bias
            g_out = products / out_scale
    if for_x or for_in:
        g_x, g_in = _scaled(du, weight, out_scale, in_scale, x, _adjoint(ctx.conv), for_in)
    if for_weight:
        g_weight = _weight_gradient(x, du, in_scale, out_scale, ctx.conv)
    return g_x, g_weight, g_in, g_out, g_noise, g_bias, *[None] * 7


def _keep_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, g, in_scale, out_scale, *conv = inputs
    ctx.conv, ctx.places = tuple(conv), _places(inputs)
    ctx.save_for_backward(x, g, in_scale, out_scale)


def _weight_backward(ctx: Any, g_weight: Tensor) -> tuple[Tensor | None, ...]:
    x, g, in_scale, out_scale = ctx.saved_tensors
    for_x, for_g, for_in, for_out = _wanted(ctx, *range(4))
    g_x = g_in = g_g = g_out = None
    if for_x or for_in:
        g_x, g_in = _scaled(g, g_weight, out_scale, in_scale, x, _adjoint(ctx.conv), for_in)
    if for_g or for_out:
        g_g, g_out = _scaled(x, g_weight, in_scale, out_scale, g, ctx.conv, for_out)
    return g_x, g_g, g_in, g_out, *[None] * 4


def _keep_epilogue(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    dy, y, noise, ctx.slope, ctx.gain, ctx.clamp = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(dy, y, noise)


def _epilogue_backward(
    ctx: Any, g_du: Tensor | None, g_across: Tensor | None, g_sums: Tensor | None
) -> tuple[Tensor | None, ...]:
    dy, y, noise = ctx.saved_tensors
    if torch.is_grad_enabled():
        return _epilogue_backward_plain(ctx, g_du, g_across, g_sums)
    g_dy, g_y, g_noise = torch.ops.shoegen.layer_backward_adjoint(
        g_du, g_across, g_sums, dy, y, noise, ctx.slope, ctx.gain, ctx.clamp
    )
    if noise is None or g_sums is None:
        g_noise = None
    elif noise.shape[0] == 1:
        g_noise = g_noise.sum(dim=0, keepdim=True)
    return g_dy, (g_y if g_sums is not None else None), g_noise, None, None, None


def _epilogue_backward_plain(
    ctx: Any, g_du: Tensor | None, g_across: Tensor | None, g_sums: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The same in differentiable steps, for derivatives above the second."""
    dy, y, noise = ctx.saved_tensors
    passed = torch.ones_like(y) if ctx.clamp is None else (y.abs() < ctx.clamp).to(y.dtype)
    slope = torch.where(y > 0, ctx.gain, ctx.gain * ctx.slope) * passed
    total = torch.zeros_like(y) if g_du is None else g_du
    if g_across is not None:
        total = total + g_across
    if g_sums is None:
        return slope * total, None, None, None, None, None
    g_bias, g_q = g_sums[:, 0, :, None, None], g_sums[:, 1, :, None, None]
    total, g_noise = total + g_bias, None
    if noise is not None:
        total = total - g_q * noise
        g_noise = -(g_q * slope * dy).sum(dim=1, keepdim=True)
        g_noise = g_noise.sum(dim=0, keepdim=True) if noise.shape[0] == 1 else g_noise
    return slope * total + g_q * y * passed, g_q * dy * passed, g_noise, None, None, None


def _keep_scale_dot(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _scale_dot_backward(ctx: Any, g_p: Tensor, g_q: Tensor) -> tuple[Tensor, ...]:
    t, s, x = ctx.saved_tensors
    if not torch.is_grad_enabled():
        g_t, g_x, g_s = torch.ops.shoegen.scale_dot_adjoint(g_p, g_q, t, s, x)
        return g_t, g_s, g_x
    s, g_q = s[:, :, None, None], g_q[:, :, None, None]
    return s * g_p + g_q * x, (g_p * t).sum(dim=(2, 3)), g_q * t


_BACKWARDS: dict[str, tuple[Any, Any]] = {
    "conv_layer": (_layer_backward, _keep_layer),
    "conv_layer_weight": (_weight_backward, _keep_weight),
    "layer_backward": (_epilogue_backward, _keep_epilogue),
    "scale_dot": (_scale_dot_backward, _keep_scale_dot),
}
for _name, (_backward, _keep) in _BACKWARDS.items():
    torch.library.register_autograd(f"shoegen::{_name}", _backward, setup_context=_keep)
