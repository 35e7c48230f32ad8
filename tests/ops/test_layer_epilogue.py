"""The layer's epilogue beside its definition, `bias_act(scale · x + noise, bias)`."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from shoegen.errors import ConfigError
from shoegen.ops import bias_act, layer_epilogue

from .test_native import FORMATS, TOLERANCE, assert_close, both, random

PARTS = ["scale", "noise", "shared noise", "bias", "scale noise bias"]


def inputs(parts, dtype=torch.float64, size=(4, 3)):
    made = {
        "x": random(2, 5, *size, dtype=dtype),
        "scale": random(2, 5, dtype=dtype, seed=1).abs() + 0.5,
        "noise": random(1 if "shared" in parts else 2, 1, *size, dtype=dtype, seed=2),
        "bias": random(5, dtype=dtype, seed=3),
    }
    return {name: t for name, t in made.items() if name == "x" or name in parts}


def op_of(names, **options):
    def op(*tensors, impl):
        x, *rest = tensors
        return layer_epilogue(x, **dict(zip(names[1:], rest, strict=True)), **options, impl=impl)

    return op


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu", "tanh"])
@pytest.mark.parametrize("parts", PARTS)
def test_it_has_gradients_of_gradients(parts, act, impl):
    made = inputs(parts)
    impl = "auto" if act == "tanh" else impl
    op = op_of(list(made), act=act, gain=1.3, clamp=2)
    tensors = [t.requires_grad_() for t in made.values()]
    assert gradcheck(lambda *t: op(*t, impl=impl), tensors)
    assert gradgradcheck(lambda *t: op(*t, impl=impl), tensors)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("parts", PARTS)
def test_native_is_the_reference(parts, layout, dtype):
    made = inputs(parts, dtype, size=(9, 8))
    made["x"] = FORMATS[layout](made["x"])
    op = op_of(list(made), act="lrelu", clamp=2)
    for native, reference in both(op, *made.values()):
        torch.testing.assert_close(
            native, reference, rtol=0, atol=20 * TOLERANCE[dtype] * reference.abs().max().item()
        )


def test_it_is_its_definition(impl):
    x, scale, noise, bias = inputs("scale noise bias").values()
    y = layer_epilogue(x, scale=scale, noise=noise[0, 0], bias=bias, act="lrelu", clamp=1, impl=impl)
    expected = bias_act(x * scale[:, :, None, None] + noise[:1], bias, act="lrelu", clamp=1, impl="reference")
    assert_close(y, expected)
    assert_close(
        layer_epilogue(x, bias=bias, act="tanh", impl=impl), bias_act(x, bias, act="tanh", impl="reference")
    )


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_half_precision_is_rounded_once(layout):
    made = inputs("scale noise bias", torch.bfloat16, size=(9, 8))
    made["x"] = FORMATS[layout](made["x"])
    op = op_of(list(made), act="lrelu")
    exact = op(*(t.float() for t in made.values()), impl="reference")
    errors = [(op(*made.values(), impl=impl).float() - exact).abs().max() for impl in ("native", "reference")]
    assert errors[0] <= errors[1]
    assert op(*made.values(), impl="native").is_contiguous(
        memory_format=torch.channels_last if layout == "NHWC" else torch.contiguous_format
    )


@pytest.mark.usefixtures("native")
def test_only_the_result_is_kept():
    made = {name: t.requires_grad_() for name, t in inputs("scale noise bias").items()}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        y = op_of(list(made), act="lrelu")(*made.values(), impl="native")
    kept = {t.data_ptr() for t in saved if t is not None}
    assert kept == {y.data_ptr(), *(made[name].data_ptr() for name in ("scale", "noise", "bias"))}


@pytest.mark.usefixtures("native")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "every other"])
def test_opcheck(layout):
    x, scale, noise, bias = (t.float() for t in inputs("scale noise bias").values())
    x = FORMATS[layout](x).detach().requires_grad_()
    op = torch.ops.shoegen.layer_epilogue.default
    torch.library.opcheck(op, (x, scale.requires_grad_(), noise, bias, "lrelu", 0.2, 1.4, 2.0))


@pytest.mark.usefixtures("native")
def test_direct_calls_are_checked():
    x, op = torch.zeros(2, 3, 4, 4), torch.ops.shoegen.layer_epilogue
    for scale, noise, bias, act in [
        (torch.zeros(2, 4), None, None, "relu"),
        (None, torch.zeros(2, 1, 4, 3), None, "relu"),
        (None, None, torch.zeros(4), "relu"),
        (None, torch.zeros(1, 1, 4, 4).double(), None, "relu"),
        (torch.zeros(2, 3), None, None, "tanh"),
    ]:
        with pytest.raises(RuntimeError):
            op(x, scale, noise, bias, act, 0.0, 1.0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"act": "gelu"}, "expected one of linear"),
        ({"scale": torch.zeros(2, 4)}, r"scale \(2, 4\), expected \(N, C, H, W\) and \(N, C\)"),
        ({"noise": torch.zeros(1, 1, 1, 1), "impl": "native"}, r"its noise is \(N or 1, 1, 4, 4\)"),
        ({"scale": torch.ones(2, 3), "act": "tanh", "impl": "native"}, "its activations are"),
    ],
)
def test_what_cannot_be_done_is_said(options, message, native):
    with pytest.raises(ConfigError, match=message):
        layer_epilogue(torch.zeros(2, 3, 4, 4), **options)


def test_noise_of_one_number_is_spread_by_the_reference():
    x = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(layer_epilogue(x, noise=torch.ones(1, 1, 1, 1)), x + 1)
