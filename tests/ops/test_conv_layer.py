"""The layer as one op: agreement with its steps, gradients of gradients, and who does the work."""

import sys

import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.ops import conv_layer, setup_filter
from shoegen.ops.conv_layer import _taps
from shoegen.ops.dispatch import native_problem

FILTER = setup_filter([1, 3, 3, 1])
MODES = {"same": {}, "up": {"up": 2, "flip_weight": False}, "down": {"down": 2}}
native = pytest.mark.skipif(bool(native_problem("cpu")), reason="the native ops are not built")


def tensors(mode, *, seed=0, samples=3, channels=(16, 32), size=(12, 13), modulated=True, noises=None):
    """Inputs of a layer; odd sizes leave tiles that are not full."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    up, down = MODES[mode].get("up", 1), MODES[mode].get("down", 1)
    inputs = {"x": random(samples, channels[0], size[0] * down, size[1] * down)}
    inputs["weight"] = random(channels[1], channels[0], 3, 3) / (9 * channels[0]) ** 0.5
    inputs["bias"] = random(channels[1])
    if modulated:
        inputs["in_scale"] = random(samples, channels[0])
        inputs["out_scale"] = random(samples, channels[1]).abs() + 0.5
        inputs["noise"] = random(noises or samples, 1, size[0] * up, size[1] * up)
    return inputs


def layer(inputs, mode, impl, **options):
    inputs = dict(inputs)
    x, weight = inputs.pop("x"), inputs.pop("weight")
    return conv_layer(
        x, weight, resample_filter=FILTER, padding=1, impl=impl, **inputs, **MODES[mode], **options
    )


def derivatives(inputs, mode, impl, dtype, *, order=2, **options):
    """The result and its gradients of each order, by name, along fixed random directions."""
    inputs = {name: value.to(dtype).requires_grad_() for name, value in inputs.items()}
    generator = torch.Generator().manual_seed(1)

    def along(values):
        return sum((v * torch.randn(v.shape, generator=generator).to(dtype)).sum() for v in values)

    y = layer(inputs, mode, impl, **options)
    directions = torch.randn(y.shape, generator=generator).to(dtype).requires_grad_()
    found, scalar, wanted = {"y": y.detach()}, (y * directions).sum(), {**inputs, "dy": directions}
    for n in range(1, order + 1):
        gradients = torch.autograd.grad(
            scalar, list(wanted.values()), create_graph=n < order, materialize_grads=True, allow_unused=True
        )
        found.update({f"{name}, order {n}": g.detach() for name, g in zip(wanted, gradients, strict=True)})
        scalar = along(gradients)
    return found


def assert_close(actual, expected, largest=2e-5):
    for name, value in expected.items():
        error = (actual[name] - value).abs().max()
        # Derivatives that are zero are sums whose terms cancel.
        assert error <= largest * max(value.abs().max(), 5.0), f"{name}: {error} of {value.abs().max()}"


@native
@pytest.mark.parametrize("clamp", [None, 1.5])
@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_native_agrees_with_the_reference_to_the_third_derivative(mode, modulated, clamp):
    inputs = tensors(mode, modulated=modulated, noises=1 if clamp else None)
    options = {"act": "lrelu", "gain": 1.3, "clamp": clamp, "order": 3}
    expected = derivatives(inputs, mode, "reference", torch.float64, **options)
    assert_close(derivatives(inputs, mode, "native", torch.float32, **options), expected)


@native
@pytest.mark.parametrize("channels", [(16, 16), (48, 16), (80, 112)])
@pytest.mark.parametrize("size", [(16, 16), (18, 9), (5, 30)])
@pytest.mark.parametrize("mode", MODES)
def test_native_takes_any_size_and_multiple_of_16_channels(mode, size, channels):
    inputs = tensors(mode, channels=channels, size=size, samples=5)
    expected = derivatives(inputs, mode, "reference", torch.float64, order=1)
    assert_close(derivatives(inputs, mode, "native", torch.float32, order=1), expected)


@native
@pytest.mark.parametrize("mode", MODES)
def test_memory_formats_and_threads_change_nothing(mode):
    inputs = tensors(mode)
    plain = layer(inputs, mode, "native")
    assert plain.is_contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    inputs["x"] = inputs["x"].contiguous(memory_format=torch.channels_last)
    try:
        torch.set_num_threads(2)
        torch.testing.assert_close(layer(inputs, mode, "native"), plain, rtol=1e-5, atol=1e-5)
    finally:
        torch.set_num_threads(threads)


@native
def test_gradients_of_some_inputs_leave_the_weights_alone(monkeypatch):
    def refuse(*args):
        raise AssertionError("the weight's gradient was computed")

    monkeypatch.setattr(sys.modules["shoegen.ops.conv_layer"], "_weight_gradient", refuse)
    inputs = {name: value.requires_grad_() for name, value in tensors("same").items()}
    x = inputs["x"] * 1
    y = layer({**inputs, "x": x}, "same", "native", act="lrelu")
    torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(AssertionError, match="was computed"):
        torch.autograd.grad(y.sum(), inputs["weight"])


@native
def test_r1_reaches_the_weights():
    inputs = tensors("down", modulated=False)
    gradients = []
    for impl in ("native", "reference"):
        x, weight = inputs["x"].clone().requires_grad_(), inputs["weight"].clone().requires_grad_()
        y = layer({**inputs, "x": x, "weight": weight}, "down", impl, act="lrelu")
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        gradients.append(torch.autograd.grad(slope.square().sum(), weight)[0])
    assert gradients[1].abs().max() > 1
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)


@native
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"x": torch.zeros(3, 16, 12, 13, dtype=torch.float64)}, "float32"),
        ({"weight": torch.zeros(32, 16, 1, 1)}, "3×3"),
        ({"weight": torch.zeros(8, 16, 3, 3), "bias": None}, "multiples of 16"),
        ({"x": torch.zeros(1, 16, 4, 4)}, "too few"),
        ({"act": "tanh"}, "linear and lrelu"),
        ({"gain": -1.0}, "positive gain"),
        ({"noise": torch.zeros(2, 1, 12, 13)}, "noise must be"),
        ({"up": 3}, "by 2"),
    ],
)
def test_what_native_cannot_do_is_said_or_left_to_the_reference(change, why):
    inputs = tensors("same", modulated=False)
    options = {"padding": 1, "resample_filter": FILTER, **inputs, **change}
    x, weight = options.pop("x"), options.pop("weight")
    with pytest.raises(ConfigError, match=why):
        conv_layer(x, weight, impl="native", **options)
    if "noise" not in change:
        options["padding"] = weight.shape[2] // 2
        conv_layer(x, weight, **{**options, "bias": None})


def test_an_unknown_activation_or_implementation_is_refused():
    inputs = tensors("same", modulated=False)
    with pytest.raises(ConfigError, match="act: got 'step'"):
        layer(inputs, "same", "auto", act="step")
    with pytest.raises(ConfigError, match="reference"):
        layer(inputs, "same", "fastest")


def test_taps_are_those_of_separable_filters():
    assert _taps(FILTER, 1) == pytest.approx([0.125, 0.375, 0.375, 0.125])
    assert _taps(setup_filter([1, 2, 3, 4]), 2) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert _taps(torch.eye(4) / 4, 1) == []
    assert _taps(setup_filter([1, 2, 1]), 1) == []


@native
def test_a_lopsided_filter_points_the_same_way():
    lopsided = setup_filter([1, 2, 3, 4])
    for mode in ("up", "down"):
        inputs = tensors(mode, modulated=False)
        x, weight = inputs["x"], inputs["weight"]
        ways = [
            conv_layer(x, weight, resample_filter=lopsided, padding=1, impl=impl, **MODES[mode])
            for impl in ("native", "reference")
        ]
        torch.testing.assert_close(*ways, rtol=1e-4, atol=1e-4)
