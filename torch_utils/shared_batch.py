"""What a batch has in common that several processes share: sums, normalisation, dropout.

With these a step's gradients do not depend on the number of processes.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import BatchDraws


def total(own: Tensor, world: World) -> Tensor:
    """The sum of the processes' tensors; so is its gradient, for a loss that every process computes."""
    return own if world.size == 1 else _Total.apply(own, world)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, own: Tensor, world: World) -> Tensor:
        context.world = world
        return world.add(own.clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return context.world.add(gradient.clone()), None


def share_batch(net: nn.Module, world: World) -> None:
    """Prepares a network for training on a batch that the processes share: row-wise dropout, common normalisation."""
    _replace(net, nn.Dropout, lambda module: _RowDropout(module.p))
    if world.size == 1:
        return
    if next(net.parameters()).is_cuda:
        convert_sync_batchnorm(net)  # timm's, which knows its own networks' layers
    else:
        _replace(net, nn.BatchNorm2d, lambda module: _SharedBatchNorm(module, world))


def set_draws(net: nn.Module, draws: BatchDraws) -> None:
    """Where the dropout of the next pass takes its chance from."""
    for module in net.modules():
        if isinstance(module, _RowDropout):
            module.draws = draws


def _replace(net: nn.Module, kind: type[nn.Module], make: Any) -> None:
    for name, child in net.named_children():
        if isinstance(child, kind):
            setattr(net, name, make(child))
        else:
            _replace(child, kind, make)


class _RowDropout(nn.Module):
    """Dropout whose mask for a picture follows from `draws`."""

    draws: BatchDraws

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = self.draws.gate("dropout", tuple(x.shape), 1 - self.p)
        return x * (kept / (1 - self.p)).to(x.dtype)


class _SharedBatchNorm(nn.Module):
    """Batch normalisation over all processes' pictures, on any device; PyTorch's own is for GPUs.

    Args:
        norm: whose parameters and running statistics it takes over, and those of timm's with an activation too.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm2d, world: World) -> None:
        super().__init__()
        assert norm.momentum is not None
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.world, self.eps, self.momentum = world, norm.eps, norm.momentum
        self.after = nn.Sequential(*(getattr(norm, each) for each in ("drop", "act") if hasattr(norm, each)))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training:
            count = float(self.world.add(x.new_tensor(x.numel() // x.shape[1], dtype=torch.float64)))
            mean = total(x.sum((0, 2, 3)), self.world) / count
            variance = total((x - _per_channel(mean)).square().sum((0, 2, 3)), self.world) / count
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
                self.num_batches_tracked += 1
        scale = (variance + self.eps).rsqrt()
        if self.weight is None:  # affine=False
            return self.after((x - _per_channel(mean)) * _per_channel(scale))
        return self.after(
            (x - _per_channel(mean)) * _per_channel(self.weight * scale) + _per_channel(self.bias)
        )


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
