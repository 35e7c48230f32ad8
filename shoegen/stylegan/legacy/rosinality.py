"""Checkpoints of rosinality's stylegan2-pytorch, in and out.

The networks compute what the official ones of architecture skip (generator) and resnet (discriminator) do, with
weights stored in the same way: only names differ, and axes of length 1. The mean of W (`latent_avg`) is kept beside the
tensors, and only where a file was converted; training leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.ops import setup_filter
from shoegen.stylegan.legacy.building import build_discriminator, build_generator, check_tensors
from shoegen.stylegan.legacy.pickles import show
from shoegen.stylegan.networks import Discriminator, Generator

MEAN_SAMPLES = 4096  # what that project takes for the mean of W
MAX_DOUBLINGS = 9  # 2048 px
CHANNELS = {2: 32768, 1: 16384}  # its channel_multiplier → channel_base

# What follows a layer's name: ours → theirs.
_SYNTHESIS = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
    "bias": "activate.bias",
}
_RGB = {**_SYNTHESIS, "bias": "bias"}
del _RGB["noise_strength"]


def read_rosinality(data: Mapping[str, Any], key: str) -> Generator | Discriminator:
    """One network of a checkpoint.

    Args:
        data: what `torch.load` gave, or one of its state dicts.
        key: g_ema, g or d.

    Raises:
        FileFormatError: not there, or not of this architecture.
    """
    if is_flat(data):
        data = {"d" if "final_conv.0.weight" in data else "g_ema": data}
    if not isinstance(data.get(key), Mapping):
        present = [name for name in ("g_ema", "g", "d") if name in data]
        raise FileFormatError(f"no {key} in it, only {', '.join(present) or 'other things'}")
    tensors = dict(data[key])
    if key == "d":
        check_tensors(tensors)
        names = discriminator_names(_count(tensors, r"convs\.(\d+)", MAX_DOUBLINGS + 1))
        return build_discriminator(_renamed(tensors, names), {})
    average = data.get("latent_avg")
    tensors["latent_avg"] = tensors.get("style.1.bias") if average is None else average
    check_tensors(tensors)
    tensors["latent_avg"] = tensors["latent_avg"].reshape(-1)
    doublings = _count(tensors, r"to_rgbs\.(\d+)\.conv\.weight", MAX_DOUBLINGS)
    names = generator_names(doublings, _count(tensors, r"style\.(\d+)\.weight", 64))
    _add_noise(tensors, names)
    generator = build_generator(_renamed(tensors, names), {})
    if average is None:
        z = torch.randn(MEAN_SAMPLES, generator.config.z_dim, generator=torch.Generator().manual_seed(0))
        generator.mapping.w_avg.copy_(generator.mapping(z).mean(dim=0))
    return generator


def is_flat(data: Mapping[str, Any]) -> bool:
    """Whether this is a network's own state dict."""
    return "conv1.conv.weight" in data or "final_conv.0.weight" in data


def export_rosinality(network: Generator | Discriminator, key: str) -> tuple[dict[str, Any], list[str]]:
    """The checkpoint of one network for that project's classes, and what its user should know.

    Raises:
        ConfigError: its networks cannot be like this one.
    """
    config = network.config
    is_generator = isinstance(network, Generator)
    architecture = "skip" if is_generator else "resnet"
    wanted = {"architecture": architecture, "c_dim": 0, "img_channels": 3}
    if isinstance(network, Generator):
        wanted["z_dim"] = network.config.w_dim
    for name, value in wanted.items():
        if getattr(config, name) != value:
            raise ConfigError(
                f"rosinality's networks have {name} {value}, got {getattr(config, name)}; use --to official"
            )
    if not isinstance(config.resolution, int) or config.resolution & (config.resolution - 1):
        raise ConfigError(
            f"rosinality's networks are square with a power of two, got {config.image_size}; use --to official"
        )
    doublings = len(config.resolutions) - 1
    names = (
        generator_names(doublings, config.mapping_layers)
        if is_generator
        else discriminator_names(doublings + 1)
    )
    tensors: dict[str, Tensor] = {}
    for ours, tensor in network.state_dict().items():
        if not ours.endswith("resample_filter"):
            tensors[names[ours]] = _with_ones(ours, tensor).clone()
    fir = setup_filter([1, 3, 3, 1])
    for i in range(doublings):
        if is_generator:
            tensors |= {f"convs.{2 * i}.conv.blur.kernel": fir * 4, f"to_rgbs.{i}.upsample.kernel": fir * 4}
        else:
            tensors |= {f"convs.{i + 1}.conv2.0.kernel": fir, f"convs.{i + 1}.skip.0.kernel": fir}
    data: dict[str, Any] = {}
    if is_generator:
        data["latent_avg"] = tensors.pop("latent_avg")
    return {key: tensors, **data}, _remarks(network)


def _remarks(network: Generator | Discriminator) -> list[str]:
    config = network.config
    remarks = []
    widths = {
        multiplier: all(config.channels(r) == min(base // r, 512) for r in config.resolutions)
        for multiplier, base in CHANNELS.items()
    }
    multiplier = next((multiplier for multiplier, fits in widths.items() if fits), None)
    if multiplier is None:
        channels = {r: config.channels(r) for r in config.resolutions}
        remarks.append(
            f"no channel_multiplier gives these widths; set `channels` in its networks to {channels}"
        )
    elif multiplier != 2:
        remarks.append(f"make its networks with channel_multiplier={multiplier}")
    if isinstance(network, Generator):
        remarks.append(f"style_dim {network.config.w_dim}, n_mlp {config.mapping_layers}")
    elif network.config.mbstd_group != 4:
        remarks.append(f"set its stddev_group to {network.config.mbstd_group}")
    if config.conv_clamp is not None:
        remarks.append(f"its networks do not limit activations to ±{config.conv_clamp:g}, as this one does")
    return remarks


def generator_names(doublings: int, mapping_layers: int) -> dict[str, str]:
    """Official name → theirs."""
    names = {"mapping.w_avg": "latent_avg", "synthesis.b4.const": "input.input"}
    for i in range(mapping_layers):  # style.0 normalises z
        names |= {f"mapping.fc{i}.{kind}": f"style.{i + 1}.{kind}" for kind in ("weight", "bias")}
    layers = ["conv1", *(f"convs.{i}" for i in range(2 * doublings))]
    ours = ["b4.conv1", *(f"b{8 * 2**i}.conv{j}" for i in range(doublings) for j in (0, 1))]
    for i, (mine, theirs) in enumerate(zip(ours, layers, strict=True)):
        names |= {f"synthesis.{mine}.{a}": f"{theirs}.{b}" for a, b in _SYNTHESIS.items()}
        names[f"synthesis.{mine}.noise_const"] = f"noises.noise_{i}"
    for i in range(doublings + 1):
        theirs = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        names |= {f"synthesis.b{4 * 2**i}.torgb.{a}": f"{theirs}.{b}" for a, b in _RGB.items()}
    return names


def discriminator_names(blocks: int) -> dict[str, str]:
    """Official name → theirs, of a network with this many entries in `convs`; the first sees colours."""
    top = 4 * 2 ** (blocks - 1)
    names = {f"b{top}.fromrgb.weight": "convs.0.0.weight", f"b{top}.fromrgb.bias": "convs.0.1.bias"}
    for i in range(1, blocks):
        block = f"b{2 * top >> i}"
        names |= {
            f"{block}.conv0.weight": f"convs.{i}.conv1.0.weight",
            f"{block}.conv0.bias": f"convs.{i}.conv1.1.bias",
            f"{block}.conv1.weight": f"convs.{i}.conv2.1.weight",  # 0 is the filter
            f"{block}.conv1.bias": f"convs.{i}.conv2.2.bias",
            f"{block}.skip.weight": f"convs.{i}.skip.1.weight",
        }
    return names | {
        "b4.conv.weight": "final_conv.0.weight",
        "b4.conv.bias": "final_conv.1.bias",
        "b4.fc.weight": "final_linear.0.weight",
        "b4.fc.bias": "final_linear.0.bias",
        "b4.out.weight": "final_linear.1.weight",
        "b4.out.bias": "final_linear.1.bias",
    }


def _count(tensors: Mapping[str, Any], pattern: str, most: int) -> int:
    """How many different numbers the names have there."""
    count = len({match[1] for name in tensors if (match := re.match(pattern, name))})
    if not 1 <= count <= most:
        raise FileFormatError(f"{count} parts named like {pattern}, expected 1 to {most}")
    return count


def _renamed(tensors: Mapping[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """By official names, with the axes that those have."""
    lacking = [theirs for theirs in names.values() if theirs not in tensors]
    kernels = {name for name in tensors if name.endswith(".kernel")}
    unknown = sorted(tensors.keys() - set(names.values()) - kernels)
    if lacking or unknown:
        what, some = ("lacks", lacking) if lacking else ("has also", unknown)
        raise FileFormatError(f"not a StyleGAN2 of that project: it {what} {', '.join(map(show, some[:4]))}")
    fir = setup_filter([1, 3, 3, 1])
    for name in kernels:
        kernel = tensors[name]
        if kernel.shape != fir.shape or not torch.allclose(
            kernel.float() / kernel.float().sum(), fir, atol=1e-5
        ):
            raise FileFormatError(f"{show(name)} is another filter than [1, 3, 3, 1], which is not supported")
    return {ours: _without_ones(ours, tensors[theirs]) for ours, theirs in names.items()}


def _rank(name: str) -> int | None:
    """How many axes a tensor has in the official networks, where theirs has more."""
    leaf = name.rpartition(".")[2]
    if leaf == "weight" and "synthesis" in name and "affine" not in name:
        return 4
    return {"const": 3, "noise_const": 2, "noise_strength": 0}.get(leaf)


def _without_ones(name: str, tensor: Tensor) -> Tensor:
    if name.endswith(".torgb.bias"):
        return tensor.reshape(-1)
    rank = _rank(name)
    if rank is None or tensor.ndim <= rank:
        return tensor
    leading, shape = tensor.shape[: tensor.ndim - rank], tensor.shape[tensor.ndim - rank :]
    if any(size != 1 for size in leading):
        raise FileFormatError(
            f"a tensor for {name} of shape {tuple(tensor.shape)}, expected {len(leading)} axes of 1 first"
        )
    return tensor.reshape(shape)


def _with_ones(name: str, tensor: Tensor) -> Tensor:
    if name.endswith(".torgb.bias"):
        return tensor.reshape(1, -1, 1, 1)
    if name.endswith("noise_const"):
        return tensor[None, None]
    return tensor if _rank(name) is None else tensor[None]


def _add_noise(tensors: dict[str, Tensor], names: dict[str, str]) -> None:
    """Early checkpoints keep no noise pictures; any serve, as long as they are always the same."""
    random = torch.Generator().manual_seed(0)
    for ours, theirs in names.items():
        if ours.endswith("noise_const") and theirs not in tensors:
            side = int(ours.split(".")[1][1:])
            tensors[theirs] = torch.randn(1, 1, side, side, generator=random)
