import numpy as np
import pytest
import torch

from shoegen.errors import DataError, FileFormatError
from shoegen.metrics.path_length import PerceptualDistance, path_length
from shoegen.metrics.pictures import draw_latents

from ..tiny import tiny_generator


def squared(one, other):
    return ((one - other) ** 2).sum(dim=(1, 2, 3))


def test_is_the_squared_speed_along_the_path():
    generator = tiny_generator()
    found = path_length(generator, squared, 32, psi=0.8, seed=3)
    z, _ = draw_latents(generator, 64, seed=3)
    start, end = generator.map(z, truncation_psi=0.8).chunk(2)
    _, speed = torch.autograd.functional.jvp(generator.synthesis, (start,), (end - start,))
    lengths = np.sort((speed.double() ** 2).sum(dim=(1, 2, 3)).numpy())
    assert found == pytest.approx(lengths.mean(), rel=0.02)  # the percentiles of 32 keep them all


def test_a_path_through_few_colours_is_shorter():
    generator = tiny_generator()
    assert path_length(generator, squared, 16, psi=0.1, seed=0) < path_length(
        generator, squared, 16, psi=1, seed=0
    )


def test_lpips_of_weights_from_a_file(weights):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    distance = PerceptualDistance(weights / "vgg.pth")
    assert torch.equal(torch.get_rng_state(), state)
    assert not distance.is_published
    random = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 3, 3, 32, 32, generator=random) * 2 - 1
    assert distance(one, one).tolist() == [0, 0, 0]
    apart = distance(one, other)
    assert apart.shape == (3,)
    assert (apart > 0).all()
    generator = tiny_generator()
    assert path_length(generator, distance, 4, psi=1, seed=0) > 0


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.ones(1)}, tmp_path / "mine.pth")
    with pytest.raises(FileFormatError, match="not those of VGG"):
        PerceptualDistance(tmp_path / "mine.pth")


def test_pictures_too_small_for_vgg():
    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = tiny_generator().config
            self.weight = torch.nn.Parameter(torch.ones(1))

        def map(self, z, c, *, truncation_psi):
            return z

        def synthesis(self, ws):
            return torch.zeros(len(ws), 3, 8, 8)

    with pytest.raises(DataError, match="at least 16"):
        path_length(Small(), squared, 4, psi=1, seed=0)
