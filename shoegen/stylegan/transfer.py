"""Weights of one run for the networks of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoegen.errors import FileFormatError
from shoegen.stylegan.networks import Discriminator, Generator


@dataclass
class TransferReport:
    """Names of the tensors taken from a checkpoint, and of those that start fresh."""

    taken: list[str]
    fresh: list[str]

    def __str__(self) -> str:
        where = sorted({".".join(name.split(".")[:3]) for name in self.fresh})
        fresh = f"; {len(self.fresh)} start fresh, in {', '.join(where)}" if where else ""
        return f"{len(self.taken)} tensors taken over{fresh}"


def transfer(state: dict[str, Any], generator: Generator, discriminator: Discriminator) -> TransferReport:
    """Takes the weights of a training's `state` wherever name and shape agree; the generator's are its averaged ones.

    Networks that grow to the double resolution start as the smaller ones: the generator draws their picture,
    enlarged, and the discriminator judges pictures by their reduction.

    Raises:
        FileFormatError: nothing agrees.
    """
    report = TransferReport([], [])
    for network, name, source in [
        (generator, "generator", "generator_ema"),
        (discriminator, "discriminator", "discriminator"),
    ]:
        for key, value in network.state_dict().items():
            given = state[source].get(key)
            agrees = given is not None and given.shape == value.shape
            (report.taken if agrees else report.fresh).append(f"{name}.{key}")
            if agrees:
                value.copy_(given)
    if not report.taken:
        raise FileFormatError("no tensor of the checkpoint fits these networks; train without --init-from")
    if state["config"]["generator"]["resolution"] * 2 == generator.config.resolution:
        grow_generator(generator)
        grow_discriminator(discriminator, state["discriminator"])
    return report


def grow_generator(generator: Generator) -> None:
    """Lets the last block add nothing to the picture at first (skip architecture only)."""
    if generator.config.architecture == "skip":
        nn.init.zeros_(generator.synthesis.blocks[-1].torgb.weight)


@torch.no_grad()
def grow_discriminator(discriminator: Discriminator, smaller: dict[str, Tensor]) -> None:
    """Lets the first block reduce the picture and apply the colour layer of a `smaller` discriminator.

    Three pairs of channels carry +red, −red, +green … through the leaky ReLUs, which lose nothing of such a pair:
    lrelu(x) − lrelu(−x) = (1 + α) x. Without this the trained layers see noise until the new block has learned.
    Resnet architecture only.
    """
    block = discriminator.blocks[0]
    weight = smaller.get(f"b{discriminator.resolutions[1]}.fromrgb.weight")
    bias = smaller.get(f"b{discriminator.resolutions[1]}.fromrgb.bias")
    if discriminator.config.architecture != "resnet" or weight is None or bias is None:
        return
    if block.fromrgb.weight.shape[0] < 6 or block.conv1.weight.shape[0] != weight.shape[0]:
        return
    signs = torch.tensor([1.0, -1.0])
    spread = torch.kron(torch.eye(3), signs[:, None])  # (6, 3): RGB → pairs
    gather = torch.kron(torch.eye(3), signs[None, :]) / (
        1.2 * math.sqrt(2)
    )  # (3, 6): pairs after lrelu → RGB
    colors = weight[:, :, 0, 0] / math.sqrt(weight.shape[1])  # (C, 3), as the smaller network used them

    block.fromrgb.weight[:6, :, 0, 0] = spread / block.fromrgb.weight_gain
    block.conv0.weight[:6] = 0
    block.conv0.weight[:6, :6, 1, 1] = spread @ gather / block.conv0.weight_gain
    # The block scales its result by √½, which the colour layer did not.
    block.conv1.weight.zero_()
    block.conv1.weight[:, :6, 1, 1] = colors @ gather * math.sqrt(2) / block.conv1.weight_gain
    assert block.conv1.bias is not None
    block.conv1.bias.copy_(bias * math.sqrt(2))
    block.skip.weight.zero_()
