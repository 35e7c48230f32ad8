from types import SimpleNamespace

import pytest
import torch
from torch import nn

from shoegen.errors import ConfigError, TrainingError
from shoegen.torch_utils.config import LoopConfig
from shoegen.torch_utils.training import _check_finite, linear_decay, moving_average
from shoegen.torch_utils.updates import load_optimizer


def test_linear_decay_falls_to_nothing_at_the_end():
    assert [linear_decay(shown, 100) for shown in (0, 50, 75, 100, 120)] == [1, 1, 0.5, 0, 0]
    assert [linear_decay(shown, 100, after=0.8) for shown in (80, 90, 100)] == [1, pytest.approx(0.5), 0]


@pytest.mark.parametrize(
    "change",
    [{"data": ["x"]}, {"images": "8"}, {"batch": 4.5}, {"seed": True}, {"images": None}, {"images": 10**30}],
)
def test_a_configuration_of_other_types_is_refused(change):
    with pytest.raises(ConfigError, match=f"LoopConfig: {next(iter(change))} is .*changed by hand"):
        LoopConfig.from_dict({"data": "x", "images": 8, "batch": 4, **change})


def spoil(state, **changes):
    return {**state, "state": {**state["state"], 0: {**state["state"][0], **changes}}}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: spoil(state, exp_avg=torch.zeros(1, 7)),
        lambda state: spoil(state, step=torch.tensor(-1e38)),
        lambda state: {**state, "state": {**state["state"], 0: {"step": torch.tensor(1.0)}}},
        lambda state: {**state, "param_groups": [{**state["param_groups"][0], "amsgrad": True}]},
        lambda state: {**state, "param_groups": [{**state["param_groups"][0], "lr": "1"}]},
    ],
)
def test_the_state_of_another_optimizer_is_refused(change):
    net = nn.Linear(2, 2)
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    adam.step()
    load_optimizer(torch.optim.Adam(net.parameters()), adam.state_dict())
    with pytest.raises((ValueError, TypeError)):
        load_optimizer(torch.optim.Adam(net.parameters()), change(adam.state_dict()))


def test_a_number_that_is_learned_has_a_state_that_may_be_negative():
    number = nn.Parameter(torch.tensor(0.5))  # as CAGAN's sharpness is
    adam = torch.optim.Adam([number])
    (-number).backward()
    adam.step()
    assert adam.state[number]["exp_avg"] < 0
    load_optimizer(torch.optim.Adam([number]), adam.state_dict())


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
