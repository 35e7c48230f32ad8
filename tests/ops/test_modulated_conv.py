import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.ops import bias_act, modulated_conv2d, setup_filter

FILTER = setup_filter([1, 3, 3, 1])


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("up", [1, 2])
def test_the_activation_in_the_same_op_is_the_one_after_it(up):
    x, weight, styles = random(2, 16, 24, 24), random(32, 16, 3, 3, seed=1), random(2, 16, seed=2)
    noise, bias = random(24 * up, 24 * up, seed=3), random(32, seed=4)
    convolution = {"noise": noise, "resample_filter": FILTER, "up": up, "padding": 1}
    whole = modulated_conv2d(x, weight, styles, **convolution, bias=bias, act="lrelu", clamp=2.0)
    steps = modulated_conv2d(x, weight, styles, **convolution, impl="reference")
    steps = bias_act(steps, bias, act="lrelu", clamp=2.0, impl="reference")
    torch.testing.assert_close(whole, steps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels_last", [False, True])
def test_colours_agree_with_the_reference_and_so_do_their_gradients(channels_last):
    x, weight, styles = random(2, 16, 6, 5), random(3, 16, 1, 1, seed=1), random(2, 16, seed=2)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    found = []
    for impl in ("auto", "reference"):
        inputs = [t.double().requires_grad_() for t in (x, weight, styles)]
        y = modulated_conv2d(*inputs, demodulate=False, bias=random(3, seed=3).double(), impl=impl)
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        found.append([y, *first, *second])
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference)


def test_float16_does_not_overflow():
    x, weight, styles = random(2, 8, 6, 6), random(4, 8, 3, 3, seed=1) * 100, random(2, 8, seed=2) * 1e4
    expected = modulated_conv2d(x, weight, styles, padding=1)
    half = modulated_conv2d(x.half(), weight, styles, padding=1)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), expected, rtol=1e-2, atol=1e-2)


def test_float16_takes_silent_weights_and_styles():
    y = modulated_conv2d(random(1, 8, 6, 6).half(), torch.zeros(4, 8, 3, 3), torch.zeros(1, 8), padding=1)
    assert (y == 0).all()


@pytest.mark.parametrize(
    ("weight", "styles"),
    [((4, 8, 3, 3), (1, 8)), ((4, 7, 3, 3), (2, 8)), ((4, 8, 3, 3), (2, 7)), ((8, 3, 3), (2, 8))],
)
def test_shapes_that_do_not_belong_together_are_refused(weight, styles):
    with pytest.raises(ConfigError, match="modulated_conv2d"):
        modulated_conv2d(random(2, 8, 6, 6), random(*weight), random(*styles), padding=1)
