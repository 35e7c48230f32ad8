"""Steps of an optimiser that many processes take together, and that bad gradients do not spoil."""

from __future__ import annotations

from types import NoneType
from typing import Any

import torch
from torch import nn

from shoegen.errors import TrainingError
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

MAX_SKIPPED = 20


class SafeUpdates:
    """Averages the gradients over the processes and takes the step; where one is NaN or infinite, none does.

    Args:
        network: whose parameters learn.
        optimizer: of these.
        world: the processes.
        name: of the network, in messages; "" for the only one of a training.
        advice: what helps where gradients stay bad.

    Attributes:
        advice: what was given.
        nonfinite: by parameter, how often its gradient was NaN or infinite.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        world: World,
        *,
        name: str = "",
        advice: str,
    ) -> None:
        self.optimizer = optimizer
        self._network, self._world = network, world
        self._prefix, self.advice = f"{name}." if name else "", advice
        self._skipped = 0  # in a row
        self.nonfinite: dict[str, int] = {}

    def apply(self) -> bool:
        """Called after `backward`; returns whether the step was taken.

        Raises:
            TrainingError: too many in a row were not.
        """
        learning = {name: each for name, each in self._network.named_parameters() if each.requires_grad}
        self._world.average_gradients(learning.values())
        gradients = {name: each.grad for name, each in learning.items() if each.grad is not None}
        if not gradients or nn.utils.get_total_norm(list(gradients.values())).isfinite():
            self.optimizer.step()
            self._skipped = 0
            return True
        self._skipped += 1
        names = [name for name, each in gradients.items() if not each.isfinite().all()]
        bad = [self._prefix + name for name in names or gradients]  # or together beyond float32
        for name in bad:
            self.nonfinite[name] = self.nonfinite.get(name, 0) + 1
        if self._skipped >= MAX_SKIPPED:
            raise TrainingError(
                f"the gradients of {some(bad)} became NaN or infinite {MAX_SKIPPED} times in a row; {self.advice}"
            )
        return False


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict`, which itself would take anything and fail in the next step.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is the state of another optimiser or network.
    """
    flags = [_flags(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    if [_flags(group) for group in optimizer.param_groups] != flags:
        raise ValueError("its settings are of another optimiser")
    kept = [(parameter, optimizer.state[parameter]) for parameter in optimizer.state]
    if any(own.keys() != kept[0][1].keys() for _, own in kept):
        raise ValueError("it is not whole")
    for parameter, own in kept:
        for name, value in own.items():
            if not isinstance(value, torch.Tensor):
                continue
            if name == "step":
                if value.ndim or not 0 <= float(value) < 2**53:
                    raise ValueError(f"{value} steps")
            elif value.shape != parameter.shape:
                raise ValueError(f"a state {tuple(value.shape)} of a parameter {tuple(parameter.shape)}")


def _flags(group: dict[str, Any]) -> dict[str, Any]:
    """What a group's settings say of the kind of optimiser: flags, and of which type the others are."""
    return {
        name: value if isinstance(value, (bool, NoneType)) else type(value)
        for name, value in group.items()
        if name != "params"
    }
