"""Parity of the augmentation pipeline with the published implementation's numbers."""

import pytest
import torch

from shoegen.stylegan.augment import AugmentPipe

from ..vectors import assert_close, load

META, ARRAYS = load("ada")


class FixedDraws:
    """Every draw is the same percentile of its distribution, as in the stored numbers."""

    def __init__(self, percentile):
        self.percentile = torch.tensor(percentile)

    def uniform(self, name, shape, low, high):
        if name == "rotate_after":
            return torch.zeros(shape)
        return torch.full(shape, float(low + (high - low) * self.percentile))

    def normal(self, name, shape, std):
        return torch.full(shape, float(std * torch.erfinv(2 * self.percentile - 1)))

    def gate(self, name, shape, p):
        return torch.ones(shape)


@pytest.mark.parametrize(
    "i", range(len(META)), ids=lambda i: f"{'+'.join(META[i]['ops'])}-{META[i]['percentile']}"
)
def test_agrees_with_the_published_pipeline(i):
    pipe = AugmentPipe(META[i]["ops"])
    pipe.p = 1.0
    y = pipe(torch.from_numpy(ARRAYS["x"]), FixedDraws(META[i]["percentile"]))
    assert_close(y, ARRAYS[f"{i}.y"])
