"""Weights of one run for the networks of another."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shoegen.errors import FileFormatError
from shoegen.stylegan.legacy import read_network
from shoegen.stylegan.networks import Discriminator, FullyConnected, Generator
from shoegen.torch_utils.checkpoints import latest_checkpoint
from shoegen.torch_utils.text import some

DEFAULT_PATH = Path(__file__).parent.parent / "assets" / "generator.safetensors"


@dataclass
class TransferReport:
    """Names of this training's tensors, by what the source had for them.

    `grown` ones are new where networks grow: in the blocks of the doubled resolution, or where classes are added.
    """

    matched: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)  # of the source

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors taken over"]
        for name in ("grown", "missing", "mismatched", "unused"):
            names = getattr(self, name)
            if names:
                parts.append(f"{len(names)} {name} ({some(names, 6)})")
        return "; ".join(parts)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The weights of a model, as `transfer` takes them.

    Args:
        path: a run folder, one of its checkpoints, or any file that `read_network` knows; "default" is the generator
            that ships with shoegen.

    Raises:
        FileFormatError: not there, damaged, or of another kind.
    """
    path = DEFAULT_PATH if path == "default" else Path(path)
    if path.is_dir():
        latest = latest_checkpoint(path)
        if latest is None:
            raise FileFormatError(f"{path} has no checkpoint; expected the run folder of a training")
        path = latest
    weights = {"generator_ema": read_network(path).network.state_dict()}
    with contextlib.suppress(FileFormatError):  # many files have a generator alone
        weights["discriminator"] = read_network(path, "d").network.state_dict()
    return weights


def transfer(
    state: dict[str, Any], generator: Generator, discriminator: Discriminator, *, allow_partial: bool = False
) -> TransferReport:
    """Takes weights of another model wherever name and shape agree.

    Networks that grow to the double resolution start as the smaller ones: the generator draws their picture,
    enlarged, and the discriminator judges pictures by their reduction. Where classes are added, the generator draws
    for each what it drew before.

    Args:
        state: "generator_ema" and perhaps "discriminator", by tensor name, as in a training's checkpoint; without a
            discriminator, it starts anew.
        generator, discriminator: of this training.
        allow_partial: go on where tensors of the source are missing or of another shape.

    Raises:
        FileFormatError: nothing agrees, or not everything and `allow_partial` is False.
    """
    report = TransferReport()
    networks: list[tuple[Generator | Discriminator, str, dict[str, Tensor] | None]] = [
        (generator, "generator", state["generator_ema"]),
        (discriminator, "discriminator", state.get("discriminator")),
    ]
    for network, name, source in networks:
        if source is None:
            report.missing.append("discriminator")
            continue
        own = network.state_dict()
        grown = _grown_names(network, source)
        for key, value in own.items():
            given = source.get(key)
            if given is not None and given.shape == value.shape:
                value.copy_(given)
                report.matched.append(f"{name}.{key}")
            elif key in grown:
                report.grown.append(f"{name}.{key}")
            else:
                (report.missing if given is None else report.mismatched).append(f"{name}.{key}")
        # A smaller discriminator's colour layer lives on in the new block, see `grow_discriminator`.
        report.unused += [f"{name}.{key}" for key in source if key not in own and ".fromrgb." not in key]
    if not report.matched:
        raise FileFormatError("no tensor of it fits these networks; train without --init-from")
    if (report.missing or report.mismatched) and not allow_partial:
        raise FileFormatError(
            f"it fits these networks only in part: {report}; choose the options of the model that it comes from, or "
            "take what fits with --allow-partial"
        )
    source = state["generator_ema"]
    if generator.config.c_dim and "mapping.embed.weight" not in source:
        _widen_mapping(generator, source["mapping.fc0.weight"])
    if _doubles(generator.synthesis.resolutions, source, "synthesis."):
        grow_generator(generator)
        if state.get("discriminator"):
            grow_discriminator(discriminator, state["discriminator"])
    return report


def _doubles(resolutions: list[int], source: dict[str, Tensor], prefix: str = "") -> bool:
    """Whether the source stops one resolution short."""
    highest = max(resolutions)
    return not _has_block(source, f"{prefix}b{highest}.") and _has_block(source, f"{prefix}b{highest // 2}.")


def _has_block(source: dict[str, Tensor], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in source)


def _grown_names(network: Generator | Discriminator, source: dict[str, Tensor]) -> set[str]:
    """Tensors that a network which grows has beyond its source."""
    conditional = bool(network.config.c_dim) and "mapping.embed.weight" not in source
    if isinstance(network, Generator):
        prefixes = [f"synthesis.b{network.synthesis.resolutions[-1]}."] * _doubles(
            network.synthesis.resolutions, source, "synthesis."
        )
        prefixes += ["mapping.embed.", "mapping.fc0.weight"] * conditional
    else:
        prefixes = [f"b{network.resolutions[0]}."] * _doubles(network.resolutions, source)
        prefixes += ["mapping.", "b4.out."] * conditional
    return {key for key in network.state_dict() if key.startswith(tuple(prefixes))} if prefixes else set()


@torch.no_grad()
def _widen_mapping(generator: Generator, weight: Tensor) -> None:
    """Lets the first mapping layer pass over the class, which it learns to use."""
    layer = generator.mapping.get_submodule("fc0")
    assert isinstance(layer, FullyConnected)
    given = weight.shape[1]
    layer.weight.zero_()
    layer.weight[:, :given] = weight * math.sqrt(
        layer.weight.shape[1] / given
    )  # inputs are scaled by their number


def grow_generator(generator: Generator) -> None:
    """Lets the last block add nothing to the picture at first (skip architecture only)."""
    if generator.config.architecture == "skip":
        nn.init.zeros_(generator.synthesis.blocks[-1].torgb.weight)


@torch.no_grad()
def grow_discriminator(discriminator: Discriminator, smaller: dict[str, Tensor]) -> None:
    """Lets the first block reduce the picture and apply the colour layer of a `smaller` discriminator.

    Pairs of channels carry +red, −red, +green … through the leaky ReLUs, which lose nothing of such a pair:
    lrelu(x) − lrelu(−x) = (1 + α) x. Without this the trained layers see noise until the new block has learned.
    Resnet architecture only.
    """
    block = discriminator.blocks[0]
    weight = smaller.get(f"b{discriminator.resolutions[1]}.fromrgb.weight")
    bias = smaller.get(f"b{discriminator.resolutions[1]}.fromrgb.bias")
    if discriminator.config.architecture != "resnet" or weight is None or bias is None:
        return
    channels = weight.shape[1]
    pairs = 2 * channels
    if block.fromrgb.weight.shape[:2] < (pairs, channels) or block.conv1.weight.shape[0] != weight.shape[0]:
        return
    weight, bias = weight.to(block.fromrgb.weight), bias.to(block.fromrgb.weight)
    signs = weight.new_tensor([1.0, -1.0])
    identity = torch.eye(channels).to(weight)
    spread = torch.kron(identity, signs[:, None])  # colours → pairs
    gather = torch.kron(identity, signs[None, :]) / (1.2 * math.sqrt(2))  # pairs after lrelu → colours
    colors = weight[:, :, 0, 0] / math.sqrt(channels)  # (C, 3), as the smaller network used them

    block.fromrgb.weight[:pairs, :, 0, 0] = spread / block.fromrgb.weight_gain
    block.conv0.weight[:pairs] = 0
    block.conv0.weight[:pairs, :pairs, 1, 1] = spread @ gather / block.conv0.weight_gain
    # The block scales its result by √½, which the colour layer did not.
    block.conv1.weight.zero_()
    block.conv1.weight[:, :pairs, 1, 1] = colors @ gather * math.sqrt(2) / block.conv1.weight_gain
    assert block.conv1.bias is not None
    block.conv1.bias.copy_(bias * math.sqrt(2))
    block.skip.weight.zero_()
