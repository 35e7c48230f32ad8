"""A network from tensors with the official names: their shapes tell its configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.ops import setup_filter
from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig
from shoegen.stylegan.legacy.pickles import show
from shoegen.stylegan.networks import Discriminator, Generator

Network = TypeVar("Network", Generator, Discriminator)
Config = TypeVar("Config", GeneratorConfig, DiscriminatorConfig)

# The published names of what a configuration holds.
PUBLISHED = {
    "img_channels": "img_channels",
    "c_dim": "c_dim",
    "z_dim": "z_dim",
    "w_dim": "w_dim",
    "mapping_layers": "num_layers",
    "channel_base": "channel_base",
    "channel_max": "channel_max",
    "num_fp16_res": "num_fp16_res",
    "conv_clamp": "conv_clamp",
    "architecture": "architecture",
    "mbstd_group": "mbstd_group_size",
}


def build_generator(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Generator:
    """The generator with these tensors, ready for inference.

    Args:
        state: by their official names.
        settings: published names of options → values; whatever is absent is told by the shapes, or has the published
            default. What both tell must agree.

    Raises:
        FileFormatError: the tensors are not those of a generator, or disagree with the settings.
    """
    shapes = _Shapes(state)
    resolutions = shapes.resolutions(r"synthesis\.b(\d{1,4})\.")
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in state else 0
    w_dim, inputs = shapes["mapping.fc0.weight"]
    z_dim = inputs - (w_dim if c_dim else 0)
    if z_dim < 1:
        raise FileFormatError(f"mapping.fc0.weight has {inputs} inputs, which leaves none for z")
    told: dict[str, Any] = {
        "c_dim": c_dim,
        "w_dim": w_dim,
        "z_dim": z_dim,
        "mapping_layers": shapes.count(r"mapping\.fc(\d{1,4})\.weight"),
        "architecture": shapes.architecture("synthesis.b4.torgb.weight", "synthesis.b8.skip.weight"),
        "img_channels": shapes[f"synthesis.b{resolutions[-1]}.torgb.weight"][0],
    }
    small = shapes["synthesis.b4.const"][1:]
    told["resolution"] = tuple(side * resolutions[-1] // 4 for side in small)
    channels = _channels(shapes, {r: f"synthesis.b{r}.conv1" for r in resolutions})
    return _build(Generator, _configure(GeneratorConfig, told, channels, settings), state)


def build_discriminator(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Discriminator:
    """As `build_generator`. Pictures are square unless the settings' `resolution` tells otherwise."""
    shapes = _Shapes(state)
    resolutions = shapes.resolutions(r"b(\d{1,4})\.")
    told: dict[str, Any] = {
        "c_dim": shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in state else 0,
        "architecture": shapes.architecture("b4.fromrgb.weight", "b8.skip.weight"),
        "img_channels": shapes[f"b{resolutions[-1]}.fromrgb.weight"][1],
        "resolution": settings.get("resolution", resolutions[-1]),
    }
    if told["c_dim"]:
        told["mapping_layers"] = shapes.count(r"mapping\.fc(\d{1,4})\.weight")
    # The second convolution of a block already has the channels of the next.
    channels = _channels(shapes, {r: "b4.conv" if r == 4 else f"b{r}.conv0" for r in resolutions})
    return _build(Discriminator, _configure(DiscriminatorConfig, told, channels, settings), state)


def check_tensors(state: Mapping[Any, Any]) -> None:
    """That these are names and real tensors, each backed by as many elements as it has.

    Raises:
        FileFormatError: they are not.
    """
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise FileFormatError(f"{show(name)} is {show(tensor)}, expected a name and a tensor of floats")
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise FileFormatError(f"{show(name)} is a tensor of another kind than networks have")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FileFormatError(f"{show(name)} repeats its elements, which no network's tensor does")


def settings_of(config: Any) -> dict[str, Any]:
    """The settings in a configuration as a file keeps it: what `to_dict` of ours gave.

    Raises:
        FileFormatError: it is none.
    """
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise FileFormatError(f"its configuration is {show(config)}, expected one of a network")
    return {PUBLISHED.get(str(name), str(name)): value for name, value in config.items()}


class _Shapes:
    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """Of a weight matrix (out, in), a convolution (out, in, k, k) or the constant input (C, H, W)."""
        if name not in self.state:
            raise FileFormatError(f"no tensor {name} in it")
        shape = tuple(self.state[name].shape)
        rank = 3 if name.endswith("const") else 2 if name.startswith("mapping") else 4
        if len(shape) != rank or 0 in shape:
            raise FileFormatError(f"{name} has the shape {shape}, expected {rank} dimensions")
        return shape

    def numbers(self, pattern: str) -> list[int]:
        matches = (re.match(pattern, name) for name in self.state)
        return sorted({int(match[1]) for match in matches if match})

    def resolutions(self, pattern: str) -> list[int]:
        found = self.numbers(pattern)
        if len(found) < 2 or found != [4 * 2**i for i in range(len(found))]:
            raise FileFormatError(f"blocks of {found[:12]}, expected those of StyleGAN2: 4, 8, 16, …")
        return found

    def count(self, pattern: str) -> int:
        found = self.numbers(pattern)
        if found != list(range(len(found))):
            raise FileFormatError(f"mapping layers {found[:12]}, expected 0, 1, 2, …")
        return len(found)

    def architecture(self, of_skip: str, of_resnet: str) -> str:
        return "skip" if of_skip in self.state else "resnet" if of_resnet in self.state else "orig"


def _channels(shapes: _Shapes, layers: dict[int, str]) -> dict[int, int]:
    """How many each resolution has, from the layer that tells."""
    return {resolution: shapes[f"{layer}.weight"][0] for resolution, layer in layers.items()}


def _configure(
    cls: type[Config], told: dict[str, Any], channels: dict[int, int], settings: Mapping[str, Any]
) -> Config:
    # The number of channels is min(base // r, max); these are the least base and max that give it.
    free: dict[str, Any] = {
        "channel_base": max(count * resolution for resolution, count in channels.items()),
        "channel_max": max(channels.values()),
        "num_fp16_res": 0,
        "conv_clamp": None,
        "mbstd_group": 4,
    }
    for name, published in PUBLISHED.items():
        given = settings.get(published)
        if given is not None and name in free:
            free[name] = _number(published, given)
        elif given is not None and name in told and given != told[name]:
            raise FileFormatError(f"{published} is {show(given)}, but its tensors are for {told[name]}")
    free["num_fp16_res"] = min(free["num_fp16_res"], len(channels) - 1)  # 4 px never is
    if cls is GeneratorConfig:
        del free["mbstd_group"]
    try:
        config = cls(**told, **free)
        agree = channels == {resolution: config.channels(resolution) for resolution in config.resolutions}
    except (ConfigError, TypeError, ValueError) as error:
        raise FileFormatError(f"no network that is supported: {error}") from error
    size = settings.get("img_resolution")
    if size is not None and size != config.resolution:
        raise FileFormatError(f"img_resolution is {show(size)}, but its tensors are for {config.resolution}")
    if not agree:
        raise FileFormatError(
            f"channel_base {config.channel_base} and channel_max {config.channel_max} disagree with its tensors' "
            f"channels: {channels}"
        )
    return config


def _number(name: str, value: Any) -> int | float:
    least = 0 if name in ("num_fp16_res", "conv_clamp") else 1
    if isinstance(value, float) and name == "conv_clamp" and 0 < value < math.inf:
        return value
    if type(value) is not int or not least <= value < 2**31:
        raise FileFormatError(f"{name} is {show(value)}, which no network has")
    return float(value) if name == "conv_clamp" else value


def _build(cls: type[Network], config: Any, state: Mapping[str, Tensor]) -> Network:
    with torch.device("meta"):  # shapes only
        network = cls(config)
    expected = network.state_dict()
    fir = setup_filter([1, 3, 3, 1])
    filters = {name: fir for name in expected if name.endswith("resample_filter")}
    state = {**filters, **state}  # rosinality's have other names, and are checked where they are renamed
    kind = f"{config.architecture} {cls.__name__.lower()}"
    for problem, names in [
        ("lacks", expected.keys() - state.keys()),
        ("has also", state.keys() - expected.keys()),
    ]:
        if names:
            raise FileFormatError(f"not a {kind}: it {problem} {', '.join(map(show, sorted(names)[:4]))}")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise FileFormatError(
                f"{name} has the shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)} in this {kind}"
            )
    if not all(torch.allclose(state[name].float(), fir, atol=1e-5) for name in filters):
        raise FileFormatError("another resample_filter than [1, 3, 3, 1], which is not supported")
    own = {name: tensor.to(torch.float32, copy=True).contiguous() for name, tensor in state.items()}
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False)
