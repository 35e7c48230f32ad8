"""What the ops promise beyond the stored numbers: gradients of gradients, and agreement with plain definitions."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from torch.autograd import gradcheck, gradgradcheck

from shoegen.errors import ConfigError
from shoegen.ops import (
    ACTIVATIONS,
    bias_act,
    conv2d_resample,
    downsample2d,
    modulated_conv2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)

FILTER = setup_filter([1, 3, 3, 1])


def random(*shape, seed=0):
    return torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).requires_grad_()


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act_has_gradients_of_gradients(act, impl):
    x, b = random(2, 3, 4), random(3, seed=1)

    def op(x, b):
        return bias_act(x, b, act=act, gain=1.3, clamp=2.0, impl=impl)

    assert gradcheck(op, (x, b))
    assert gradgradcheck(op, (x, b))


@pytest.mark.parametrize(
    "options",
    [
        {"up": 2, "padding": [2, 1, 2, 1], "gain": 4},
        {"down": 2, "padding": [1, 1, 1, 1]},
        {"up": 3, "down": 2, "padding": [-1, 2, 0, 3], "flip_filter": True},
    ],
)
def test_upfirdn2d_has_gradients_of_gradients(options, impl):
    x = random(1, 2, 5, 4)
    assert gradcheck(lambda x: upfirdn2d(x, FILTER, **options, impl=impl), x)
    assert gradgradcheck(lambda x: upfirdn2d(x, FILTER, **options, impl=impl), x)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_gradient_penalty_reaches_the_weights(impl, channels_last):
    """As R1 does: an op whose backward is not differentiable would leave zeros here."""
    x, w, b = random(2, 3, 8, 8), random(4, 3, 1, 1, seed=1), random(4, seed=2)

    def penalty(x, w, b):
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        y = bias_act(torch.nn.functional.conv2d(x, w), b, act="lrelu", impl=impl)
        y = upfirdn2d(y, FILTER, down=2, padding=1, impl=impl)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return g.square().sum()

    assert gradcheck(penalty, (x, w, b))


@pytest.mark.parametrize("options", [{}, {"up": 2}, {"down": 2}])
def test_conv2d_resample_has_gradients_of_gradients(options):
    x, w = random(1, 2, 4, 4), random(2, 2, 3, 3, seed=1)

    def op(x, w):
        return conv2d_resample(x, w, FILTER, padding=1, **options)

    assert gradcheck(op, (x, w))
    assert gradgradcheck(op, (x, w))


@pytest.mark.parametrize("up", [1, 2])
def test_modulated_conv2d_has_gradients_of_gradients(up):
    x, w, s = random(2, 2, 3, 3), random(2, 2, 3, 3, seed=1), random(2, 2, seed=2)

    def op(x, w, s):
        return modulated_conv2d(x, w, s, resample_filter=FILTER, up=up, padding=1)

    assert gradcheck(op, (x, w, s))
    assert gradgradcheck(op, (x, w, s))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    up=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    down=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(-2, 5)] * 4),
    flip=st.booleans(),
)
def test_upfirdn2d_is_what_its_name_says(impl, size, taps, up, down, padding, flip):
    rng = np.random.default_rng(0)
    x, f = rng.normal(size=size), rng.normal(size=taps)
    (up_x, up_y), (down_x, down_y), (left, right, top, bottom) = up, down, padding
    spread = np.zeros((size[0] * up_y, size[1] * up_x))
    spread[::up_y, ::up_x] = x
    padded = np.pad(spread, [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
    height, width = padded.shape
    padded = padded[max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]

    def op():
        return upfirdn2d(
            torch.from_numpy(x)[None, None],
            torch.from_numpy(f),
            up=up,
            down=down,
            padding=padding,
            flip_filter=flip,
            gain=1.5,
            impl=impl,
        )

    if padded.shape[0] < taps[0] or padded.shape[1] < taps[1]:
        with pytest.raises(ConfigError, match="smaller than"):
            op()
        return
    expected = convolve2d(padded, f[::-1, ::-1] if flip else f, mode="valid")[::down_y, ::down_x] * 1.5
    np.testing.assert_allclose(op()[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{"up": 2, "padding": [6, 5, 6, 5], "gain": 4}, {"down": 2, "flip_filter": True}]
)
def test_a_separable_filter_is_its_outer_product(options, impl):
    taps = [1.0, 2.0, 5.0, 3.0, 0.5]
    x = random(2, 3, 9, 11)
    two_passes = upfirdn2d(x, setup_filter(taps, separable=True), **options, impl=impl)
    one_pass = upfirdn2d(x, setup_filter(taps), **options, impl=impl)
    torch.testing.assert_close(two_passes, one_pass, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("op", [upsample2d, downsample2d])
def test_resampling_keeps_brightness_and_any_memory_format(op, channels_last):
    x = torch.full((2, 3, 8, 8), 0.5)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    y = op(x, FILTER)
    assert y.shape == ((2, 3, 16, 16) if op is upsample2d else (2, 3, 4, 4))
    torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.full_like(y[..., 1:-1, 1:-1], 0.5))


def test_modulation_equals_a_convolution_per_sample():
    x, w, s = random(3, 4, 8, 8), random(5, 4, 3, 3, seed=1), random(3, 4, seed=2)
    y = modulated_conv2d(x, w, s, padding=1)
    for i in range(3):
        own = w * s[i][None, :, None, None]  # equation 1
        own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()  # equation 3
        torch.testing.assert_close(y[i : i + 1], torch.nn.functional.conv2d(x[i : i + 1], own, padding=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bias_act(torch.zeros(1, 2), act="gelu"), "expected one of linear, relu"),
        (lambda: bias_act(torch.zeros(1, 2), torch.zeros(3)), r"expected \(2,\)"),
        (lambda: upfirdn2d(torch.zeros(1, 1, 4, 4), FILTER, up=0), "at least 1"),
        (lambda: upfirdn2d(torch.zeros(1, 1, 4, 4), FILTER, padding=[1, 2, 3]), "expected 1, 2 or 4"),
        (lambda: conv2d_resample(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3), up=2), "needs a filter"),
        (
            lambda: conv2d_resample(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3), FILTER, up=2, down=2),
            "at most one",
        ),
        (lambda: setup_filter([]), "expected"),
    ],
)
def test_what_cannot_be_done_is_said(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
