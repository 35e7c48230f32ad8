"""Parity of the ops with the published implementation's numbers."""

import pytest
import torch

from shoegen.ops import bias_act, conv2d_resample, dispatch, modulated_conv2d, setup_filter, upfirdn2d

from ..vectors import assert_close, load

BIAS_ACT, BIAS_ACT_ARRAYS = load("bias_act")
UPFIRDN, UPFIRDN_ARRAYS = load("upfirdn2d")
CONV, CONV_ARRAYS = load("conv")


@pytest.mark.parametrize("i", range(len(BIAS_ACT)))
def test_bias_act(i, impl):
    meta = BIAS_ACT[i]
    x, b, gy, v = (
        torch.from_numpy(BIAS_ACT_ARRAYS[f"{i}.{key}"]).requires_grad_()
        if f"{i}.{key}" in BIAS_ACT_ARRAYS
        else None
        for key in ("x", "b", "gy", "v")
    )
    options = {key: meta[key] for key in ("dim", "act", "alpha", "gain", "clamp")}
    y = bias_act(x, b, **options, impl=impl)
    assert_close(y.detach(), BIAS_ACT_ARRAYS[f"{i}.y"])
    wanted = [t for t in (x, b) if t is not None]
    grads = torch.autograd.grad(y, wanted, gy, create_graph=True)
    for grad, key in zip(grads, ["gx", "gb"], strict=False):
        assert_close(grad.detach(), BIAS_ACT_ARRAYS[f"{i}.{key}"])
    (second,) = torch.autograd.grad((grads[0] * v).sum(), x, allow_unused=True, materialize_grads=True)
    assert_close(second, BIAS_ACT_ARRAYS[f"{i}.ggx"])


@pytest.mark.parametrize("i", range(len(UPFIRDN)))
def test_upfirdn2d(i, impl):
    meta = UPFIRDN[i]
    x = torch.from_numpy(UPFIRDN_ARRAYS[f"{i}.x"])
    f = setup_filter(meta["taps"])
    assert_close(f, UPFIRDN_ARRAYS[f"{i}.f"])
    options = {key: meta[key] for key in ("up", "down", "padding", "flip_filter", "gain")}
    assert_close(upfirdn2d(x, f, **options, impl=impl), UPFIRDN_ARRAYS[f"{i}.y"])


@pytest.mark.parametrize("i", range(len(CONV)))
def test_conv(i, impl, monkeypatch):
    # "auto" takes what native ops there are: none convolves every shape.
    monkeypatch.setitem(dispatch._state, "impl", "auto" if impl == "native" else impl)
    meta = CONV[i]
    x, w, f, s, noise = (
        torch.from_numpy(CONV_ARRAYS[f"{i}.{key}"]) if f"{i}.{key}" in CONV_ARRAYS else None
        for key in ("x", "w", "f", "s", "noise")
    )
    options = {key: meta[key] for key in ("up", "padding", "flip_weight")}
    if meta["op"] == "conv2d_resample":
        y = conv2d_resample(x, w, f, down=meta["down"], **options)
    else:
        y = modulated_conv2d(
            x, w, s, noise=noise, resample_filter=f, demodulate=meta["demodulate"], **options
        )
    assert_close(y, CONV_ARRAYS[f"{i}.y"])
