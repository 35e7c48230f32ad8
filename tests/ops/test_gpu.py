"""The CUDA ops beside the reference. Runs where there is a GPU."""

import pytest
import torch

from shoegen.ops import ACTIVATIONS, bias_act, dispatch, layer_epilogue, upfirdn2d

from .conftest import skip_without_native
from .test_native import FORMATS, RESAMPLINGS, both, random

DTYPES = dispatch.DTYPES["cuda"]


@pytest.fixture(autouse=True)
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    skip_without_native("cuda")


def compare(op, dtype, *inputs):
    """The native op may err twice as much as PyTorch's own steps do in this type, and by a few roundings."""
    exact = [
        answer for _, answer in both(lambda *x, impl: op(*x, impl="reference"), *(x.double() for x in inputs))
    ]
    pairs = list(both(op, *(x.to("cuda", dtype) for x in inputs)))
    for (native, reference), right in zip(pairs, exact, strict=True):
        assert native.dtype == dtype
        error, allowed = ((t.cpu().double() - right).abs().max().item() for t in (native, reference))
        assert error <= 2 * allowed + 4 * torch.finfo(dtype).eps * right.abs().max().item()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act(act, dtype):
    # In half precision numbers round to the limit, where the two may differ about the slope.
    clamp = 2.5 if dtype in (torch.float32, torch.float64) else None
    for layout in FORMATS.values():
        for size in [(9, 8), (5, 7)]:
            x, b = layout(3 * random(2, 16, *size)), random(16)
            compare(lambda x, b, impl: bias_act(x, b, act=act, clamp=clamp, impl=impl), dtype, x, b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_upfirdn2d(resampling, dtype):
    f, options = RESAMPLINGS[resampling]
    for layout in FORMATS.values():
        for channels, *size in [(16, 9, 7), (3, 40, 150), (16, 40, 150)]:
            x = layout(random(2, channels, *size))
            compare(lambda x, impl: upfirdn2d(x, f.to(x.device), **options, impl=impl), dtype, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer_epilogue(dtype):
    for layout in FORMATS.values():
        for channels, *size in [(16, 8, 8), (3, 5, 7)]:
            x, noise = layout(random(2, channels, *size)), random(2, 1, *size)
            scale, bias = random(2, channels).abs() + 0.5, random(channels)

            def op(x, scale, noise, bias, impl):
                return layer_epilogue(x, scale=scale, noise=noise, bias=bias, act="lrelu", impl=impl)

            compare(op, dtype, x, scale, noise, bias)


def test_memory_formats_are_kept():
    x = random(2, 16, 8, 8).cuda()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        laid = x.contiguous(memory_format=memory_format)
        f = RESAMPLINGS["up"][0].cuda()
        for y in (bias_act(laid, act="lrelu", impl="native"), upfirdn2d(laid, f, up=2, impl="native")):
            assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("act", ["lrelu", "tanh"])
def test_gradients_of_gradients(act):
    x, b = (random(*shape, dtype=torch.float64).cuda().requires_grad_() for shape in [(2, 3, 4, 4), (3,)])
    f = RESAMPLINGS["up"][0].cuda()

    def op(x, b):
        y = bias_act(x, b, act=act, clamp=2, impl="native")
        return upfirdn2d(y, f, up=2, padding=1, impl="native")

    assert torch.autograd.gradcheck(op, (x, b))
    assert torch.autograd.gradgradcheck(op, (x, b))
