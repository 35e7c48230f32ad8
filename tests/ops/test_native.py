"""The native ops beside the reference, which defines them: numbers, layouts, registration."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.ops import ACTIVATIONS, bias_act, setup_filter, upfirdn2d

pytestmark = pytest.mark.usefixtures("native")

FILTER = setup_filter([1, 3, 3, 1])
# Of the largest value; half precision is compared with float32 numbers, see `half_precision_error`.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}
FORMATS = {
    "NCHW": lambda x: x.contiguous(),
    "NHWC": lambda x: x.contiguous(memory_format=torch.channels_last),
    "other": lambda x: x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2),
    "with gaps": lambda x: torch.cat([x, x], dim=3)[..., : x.shape[3]],
    "every other": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "flipped": lambda x: x.flip(3).contiguous().flip(3),
    "expanded": lambda x: x[:1].expand_as(x),
}
RESAMPLINGS = {
    "up": (FILTER, {"up": 2, "padding": [2, 1, 2, 1], "gain": 4}),
    "down": (FILTER, {"down": 2, "padding": [1, 1, 1, 1]}),
    "same": (FILTER, {"padding": [2, 1, 2, 1]}),
    "crop": (torch.arange(12.0).reshape(3, 4), {"up": (3, 1), "down": (2, 3), "padding": [-2, 3, 1, -1]}),
    "separable": (torch.tensor([1.0, 2.0, 5.0, 3.0, 0.5]), {"up": 2, "padding": 3, "flip_filter": True}),
}


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_close(actual, expected):
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=TOLERANCE[actual.dtype] * expected.abs().max().item()
    )


def both(op, *inputs):
    """(results, gradients) of the native op and of the reference."""
    answers = []
    for impl in ("native", "reference"):
        own = [x.detach().requires_grad_() for x in inputs]
        y = op(*own, impl=impl)
        weights = random(*y.shape, dtype=y.dtype, seed=9)
        answers.append([y.detach(), *torch.autograd.grad((y * weights).sum(), own)])
    return zip(*answers, strict=True)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act(act, layout, dtype):
    x, b = FORMATS[layout](3 * random(3, 5, 7, 6, dtype=dtype)), random(5, dtype=dtype)
    for native, reference in both(lambda x, b, impl: bias_act(x, b, act=act, clamp=2, impl=impl), x, b):
        assert_close(native, reference)


@pytest.mark.parametrize("shape", [(4, 5), (6,), (2, 3, 4), (1, 300, 2, 2), (2, 1, 3, 3)], ids=str)
@pytest.mark.parametrize("dim", [0, -1])
def test_bias_act_along_any_dimension(shape, dim):
    x, b = random(*shape), random(shape[dim])
    for native, reference in both(lambda x, b, impl: bias_act(x, b, dim=dim, act="lrelu", impl=impl), x, b):
        assert_close(native, reference)
    assert_close(bias_act(x, act="lrelu", impl="native"), bias_act(x, act="lrelu", impl="reference"))


@pytest.mark.parametrize("act", ["relu", "lrelu", "tanh", "softplus"])
def test_bias_act_at_the_ends(act):
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e30, -1e30, 100, -100, 88.5, 1e-30])
    for clamp in (None, 5):
        native, reference = (
            bias_act(x, dim=0, act=act, clamp=clamp, impl=i) for i in ("native", "reference")
        )
        torch.testing.assert_close(native, reference, equal_nan=True)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_upfirdn2d(resampling, layout, dtype):
    f, options = RESAMPLINGS[resampling]
    x = FORMATS[layout](random(3, 4, 11, 10, dtype=dtype))
    for native, reference in both(lambda x, impl: upfirdn2d(x, f, **options, impl=impl), x):
        assert_close(native, reference)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 9)] * 2),
    taps=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    up=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    down=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(*[st.integers(-3, 6)] * 4),
    one_dimensional=st.booleans(),
    channels_last=st.booleans(),
)
def test_upfirdn2d_with_any_options(shape, taps, up, down, padding, one_dimensional, channels_last):
    x, f = (
        random(*shape, dtype=torch.float64),
        random(*taps[: 1 if one_dimensional else 2], dtype=torch.float64),
    )
    options = {"up": up, "down": down, "padding": padding, "gain": 1.5}
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    try:
        expected = upfirdn2d(x, f, **options, impl="reference")
    except ValueError:
        return
    torch.testing.assert_close(upfirdn2d(x, f, **options, impl="native"), expected, rtol=1e-12, atol=1e-12)


def test_upfirdn2d_of_wide_images():  # wider than what the kernel works on at a time
    for shape in [(1, 1, 3, 9001), (1, 600, 3, 70), (1, 3, 2, 3001)]:
        x = FORMATS["NHWC"](random(*shape, dtype=torch.float64))
        for f, options in RESAMPLINGS.values():
            native, reference = (
                upfirdn2d(x, f, **{**options, "padding": 4}, impl=i) for i in ("native", "reference")
            )
            torch.testing.assert_close(native, reference, rtol=1e-12, atol=1e-12)


def half_precision_error(op, x):
    """The largest errors of the native op and of the reference in bfloat16, against the reference in float32."""
    exact = op(x.float(), "reference")
    return [(op(x, impl).float() - exact).abs().max().item() for impl in ("native", "reference")]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act_in_half_precision(act, layout):
    x, b = FORMATS[layout](random(2, 8, 9, 9, dtype=torch.bfloat16)), random(8, dtype=torch.bfloat16)
    native, pytorch = half_precision_error(lambda x, impl: bias_act(x, b, act=act, impl=impl), x)
    assert native <= pytorch


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_upfirdn2d_in_half_precision(resampling, layout):
    f, options = RESAMPLINGS[resampling]
    x = FORMATS[layout](random(2, 8, 9, 9, dtype=torch.bfloat16))
    native, pytorch = half_precision_error(lambda x, impl: upfirdn2d(x, f, **options, impl=impl), x)
    assert native <= pytorch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_memory_formats_and_types_are_kept(dtype):
    x = random(2, 4, 6, 6, dtype=dtype)
    for name in ("NCHW", "NHWC"):
        laid = FORMATS[name](x)
        for y in (bias_act(laid, act="lrelu", impl="native"), upfirdn2d(laid, FILTER, up=2, impl="native")):
            assert y.dtype == dtype
            assert y.is_contiguous(
                memory_format=torch.channels_last if name == "NHWC" else torch.contiguous_format
            )


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)], ids=str)
def test_empty_tensors(shape):
    x, b = torch.zeros(shape).requires_grad_(), torch.zeros(shape[1]).requires_grad_()
    y = upfirdn2d(bias_act(x, b, act="lrelu", impl="native"), FILTER, up=2, impl="native")
    assert y.shape == (*shape[:2], 5, 5)
    for grad in torch.autograd.grad(y.sum(), (x, b)):
        assert not grad.any()


def test_backward_keeps_only_what_it_needs():
    def kept(act, **options):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
            y = bias_act(x, b, act=act, impl="native", **options)
        return y, [t for t in saved if t is not None]

    x, b = random(2, 3, 4, 4).requires_grad_(), random(3).requires_grad_()
    assert kept("linear")[1] == []
    for act in ("lrelu", "relu", "tanh"):
        y, saved = kept(act)
        assert [t.data_ptr() for t in saved] == [y.data_ptr()]
    assert {t.data_ptr() for t in kept("swish")[1]} == {x.data_ptr(), b.data_ptr()}


OPCHECKS = {
    "bias_act": (random(2, 3, 4, 4).requires_grad_(), random(3).requires_grad_(), 1, "lrelu", 0.2, 1.4, 2.0),
    "bias_act of any layout": (FORMATS["every other"](random(2, 3, 4, 4)), None, 1, "tanh", 0.0, 1.0, None),
    "bias_act_backward": (
        random(2, 3, 4, 4).requires_grad_(),
        FORMATS["NHWC"](random(2, 3, 4, 4, seed=1)).requires_grad_(),
        None,
        1,
        "lrelu",
        0.2,
        1.4,
        None,
    ),
    "upfirdn2d": (random(2, 3, 5, 5).requires_grad_(), FILTER, [2, 2], [1, 1], [2, 1, 2, 1], False, 4.0),
    "upfirdn2d channels_last": (
        FORMATS["NHWC"](random(2, 3, 5, 5)).requires_grad_(),
        FILTER,
        [1, 1],
        [2, 2],
        [1, 1, 1, 1],
        True,
        1.0,
    ),
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it
@pytest.mark.parametrize("name", OPCHECKS)
def test_opcheck(name):
    torch.library.opcheck(getattr(torch.ops.shoegen, name.split()[0]).default, OPCHECKS[name])


@pytest.mark.filterwarnings("ignore")
def test_compile_takes_them_whole():
    def layer(x, b):
        return upfirdn2d(bias_act(x, b, act="lrelu", clamp=3), FILTER, up=2, padding=[2, 1, 2, 1], gain=4)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (6, 9):
        x, b = random(2, 4, size, size).requires_grad_(), random(4).requires_grad_()
        torch.testing.assert_close(compiled(x, b), layer(x, b))
        gradients = [torch.autograd.grad(f(x, b).square().sum(), (x, b)) for f in (compiled, layer)]
        torch.testing.assert_close(*gradients)


def test_direct_calls_are_checked():
    upfirdn, x = torch.ops.shoegen.upfirdn2d, torch.zeros(1, 1, 4, 4)
    for wrong in (
        lambda: upfirdn(x[0], FILTER, [1, 1], [1, 1], [0] * 4, False, 1.0),
        lambda: upfirdn(x, FILTER, [0, 1], [1, 1], [0] * 4, False, 1.0),
        lambda: upfirdn(x, FILTER, [1, 1], [1, 1], [-1] * 4, False, 1.0),
        lambda: torch.ops.shoegen.bias_act(x, torch.zeros(3), 1, "relu", 0.0, 1.0, None),
        lambda: torch.ops.shoegen.bias_act(x, None, 1, "gelu", 0.0, 1.0, None),
        lambda: torch.ops.shoegen.bias_act(x.half(), None, 1, "relu", 0.0, 1.0, None),
    ):
        with pytest.raises(RuntimeError):
            wrong()


PARITY = """
import ctypes, torch
from shoegen.ops import ACTIVATIONS, bias_act, build, setup_filter, upfirdn2d
torch.manual_seed(0)
x, b, f = 3 * torch.randn(2, 20, 19, 18), torch.randn(20), setup_filter([1, 3, 3, 1])
worst = 0
for dtype in (torch.float32, torch.bfloat16):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = x.to(dtype).contiguous(memory_format=memory_format)
        for op in [
            *(lambda impl, act=act: bias_act(x, b, act=act, impl=impl) for act in ACTIVATIONS),
            *(lambda impl, o=o: upfirdn2d(x, f, padding=3, impl=impl, **o) for o in [{}, {"up": 2}, {"down": 2}]),
        ]:
            native, reference = op("native").float(), op("reference").float()
            error = (native - reference).abs().max() / reference.abs().max()
            worst = max(worst, error.item() / (2e-6 if dtype == torch.float32 else 1e-2))
print(ctypes.CDLL(str(build.library("cpu"))).shoegen_isa(), worst < 1)
"""


@pytest.mark.parametrize(("capability", "level"), [("default", 1), ("avx2", 3)])
def test_every_instruction_set(capability, level):
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor has one set of kernels")
    environment = {"ATEN_CPU_CAPABILITY": capability, "PATH": ""}
    done = subprocess.run([sys.executable, "-c", PARITY], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{level} True\n", done.stderr


def test_results_do_not_depend_on_the_number_of_threads():
    x, b, threads = random(2, 8, 200, 100), random(8), torch.get_num_threads()
    answers = []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            y = upfirdn2d(bias_act(x, b, act="tanh", impl="native"), FILTER, down=2, impl="native")
            answers.append(y)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*answers)
