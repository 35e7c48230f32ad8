from types import SimpleNamespace

import pytest
import torch
from torch import nn

from shoegen.errors import TrainingError
from shoegen.torch_utils.training import _check_finite, linear_decay, moving_average


def test_linear_decay_falls_to_nothing_at_the_end():
    assert [linear_decay(shown, 100) for shown in (0, 50, 75, 100, 120)] == [1, 1, 0.5, 0, 0]
    assert [linear_decay(shown, 100, after=0.8) for shown in (80, 90, 100)] == [1, pytest.approx(0.5), 0]


@pytest.mark.parametrize(("half_life", "ramp", "share"), [(100, None, 0.5), (1000, 0.1, 0.5), (0, None, 0)])
def test_an_average_keeps_half_after_its_half_life(half_life, ramp, share):
    average, network = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    nn.init.constant_(network.weight, 3.0)
    network.running_mean.fill_(7)
    moving_average(average, network, 1000, half_life, batch=100, ramp=ramp)
    torch.testing.assert_close(average.weight, torch.full((2,), 3 - 2 * float(share)))
    assert torch.equal(average.running_mean, network.running_mean)


def test_a_spoilt_state_takes_no_checkpoints_place():
    spoilt = {"images": 8, "net": [{"weight": torch.ones(2), "mean": torch.tensor([1.0, float("nan")])}]}
    learner = SimpleNamespace(state_dict=lambda: spoilt, updates=[SimpleNamespace(advice="use a lower --lr")])
    with pytest.raises(TrainingError, match=r"^net\.0\.mean became NaN .* not saved; .* use a lower --lr$"):
        _check_finite(learner)
