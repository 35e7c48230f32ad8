import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.stylegan.augment import OPERATIONS, PIPES, AugmentPipe, octave_bands


def images(seed=0, count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Fixed:
    """Draws that are all alike."""

    def __init__(self, value):
        self.value = value

    def uniform(self, name, shape, low, high):
        return torch.full(shape, float(self.value))

    def normal(self, name, shape, std):
        return torch.full(shape, float(self.value))

    def gate(self, name, shape, p):
        return torch.ones(shape)


def pipe(*operations, p=1.0):
    pipe = AugmentPipe(operations)
    pipe.p = p
    return pipe


@pytest.mark.parametrize("name", PIPES)
def test_every_pipe_keeps_shape_and_passes_second_gradients(name):
    pipe = AugmentPipe(name)
    pipe.p = 0.5
    torch.manual_seed(0)
    x = images().requires_grad_()
    y = pipe(x)
    assert y.shape == x.shape
    (gradient,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert second.abs().sum() > 0  # else R1 would be nothing


def test_nothing_happens_at_p_0():
    x = images()
    assert torch.equal(pipe(*OPERATIONS, p=0.0)(x), x)


def test_a_flip_is_exact_enough():
    x = torch.nn.functional.avg_pool2d(images(size=64), 5, 1, 2)[..., ::2, ::2]  # without the finest detail
    difference = (pipe("xflip")(x, Fixed(1)) - x.flip(3)).abs()
    assert difference.mean() < 0.01


def test_colours_do_what_their_names_say():
    x = images()
    torch.testing.assert_close(pipe("brightness")(x, Fixed(0.25)), x + 0.25)
    torch.testing.assert_close(pipe("contrast")(x, Fixed(1)), x * 2)
    grey = x.mean(dim=1, keepdim=True).expand_as(x)
    torch.testing.assert_close(pipe("lumaflip")(grey, Fixed(1)), -grey)
    torch.testing.assert_close(pipe("hue")(grey, Fixed(1)), grey)
    torch.testing.assert_close(pipe("saturation")(grey, Fixed(1)), grey)


def test_bands_sum_to_the_identity():
    total = octave_bands().sum(dim=0)
    expected = torch.zeros_like(total)
    expected[len(total) // 2] = 1
    torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)


def test_cutout_takes_a_quarter():
    y = pipe("cutout")(torch.ones(2, 3, 32, 32), Fixed(0.5))
    assert (y == 0).float().mean() == 0.25


@pytest.mark.parametrize("name", ["bgcx", ["xflip", "yflip"]])
def test_unknown_augmentations_are_refused(name):
    with pytest.raises(ConfigError, match="expected"):
        AugmentPipe(name)
