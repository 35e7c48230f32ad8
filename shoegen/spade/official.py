"""Reads official SPADE networks: `.pth` files of a state dict, of a generator, a style encoder or a discriminator.

Our networks hold the same numbers in another order: the modulations of a block share convolutions, and one
normalisation serves the two of them that see the same features.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, FileFormatError
from shoegen.spade.config import UPSAMPLINGS, DiscriminatorConfig, Size, SpadeConfig
from shoegen.spade.networks import Discriminator, Generator, StyleEncoder, load_plain, plain

Net = TypeVar("Net", bound=nn.Module)
State = Mapping[str, Tensor]
_BLOCKS = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4")
_SPECTRAL = {"weight_orig": "original", "weight_u": "0._u", "weight_v": "0._v"}


def read_official(
    path_g: str | Path,
    path_e: str | Path | None = None,
    labels: LabelMap | None = None,
    *,
    resolution: int | Size = 256,
    upsampling: str | None = None,
) -> tuple[SpadeConfig, Generator, StyleEncoder | None]:
    """Reads an official generator and, for one with a style, its encoder, as `plain` networks.

    Args:
        path_g, path_e: `…_net_G.pth`, `…_net_E.pth`.
        labels: the classes; one fewer than the generator's channels where the last one is that of edges. None: every
            channel is a class.
        resolution: of its pictures, a side or (height, width), which the file does not tell.
        upsampling: "normal", "more" or "most"; None: what the file and the resolution tell, else "normal".

    Raises:
        FileFormatError: not such a file, or not for this resolution, or not of the same model.
        ConfigError: the classes or the upsampling do not fit it.
    """
    state = read_state(path_g)
    encoder_state = None if path_e is None else read_state(path_e)
    config = find_config(
        state,
        encoder_state,
        classes=None if labels is None else len(labels),
        resolution=resolution,
        upsampling=upsampling,
    )
    generator = plain(_load(Generator(config), convert_generator(state), path_g))
    if encoder_state is None:
        return config, generator, None
    return config, generator, plain(_load(StyleEncoder(config), convert_encoder(encoder_state), path_e))


def read_official_discriminator(path: str | Path, model: SpadeConfig) -> Discriminator:
    """Reads an official `…_net_D.pth` for further training.

    Raises:
        FileFormatError: not such a file, or not for this model.
    """
    state = read_state(path)
    return _load(Discriminator(find_discriminator_config(state), model), convert_discriminator(state), path)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file; nothing in it is executed.

    Raises:
        FileFormatError: not readable, or anything but tensors by name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what kind of a file it is, of which the errors tell
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise FileFormatError(f"{path} is no PyTorch file of tensors, or is damaged") from error
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise FileFormatError(f"{path}: expected tensors by name, as the official SPADE networks are saved")
    return {str(name): each.float() if each.is_floating_point() else each for name, each in state.items()}


def find_config(
    state: State,
    encoder_state: State | None = None,
    *,
    classes: int | None = None,
    resolution: int | Size = 256,
    upsampling: str | None = None,
) -> SpadeConfig:
    """What an official generator is, by the sizes of its tensors; arguments and errors as of `read_official`."""
    try:
        hidden, channels, *kernel = state["head_0.norm_0.mlp_shared.0.weight"].shape
        image_channels = state["conv_img.weight"].shape[1]
        start = state["fc.weight"]
    except (KeyError, ValueError) as error:
        raise FileFormatError(
            f"no official SPADE generator ({error}); expected a file such as latest_net_G.pth"
        ) from error
    if kernel != [3, 3]:
        raise FileFormatError(f"its modulation has kernels of {kernel}, expected 3x3")
    if classes is not None and not 0 <= channels - classes <= 1:
        raise ConfigError(
            f"labels: got {classes} classes, expected {channels}, or {channels - 1} where the generator sees edges"
        )
    has_style = start.ndim == 2
    most = "up_4.conv_0.bias" in state
    if upsampling is None:
        upsampling = "most" if most else "normal"
        if has_style and not most:
            pixels = resolution**2 if isinstance(resolution, int) else math.prod(resolution)
            doublings = math.log2(pixels / start.shape[0] * 16 * image_channels) / 2
            upsampling = next((name for name, each in UPSAMPLINGS.items() if each == doublings), "normal")
    if most != (upsampling == "most"):
        raise ConfigError(
            f"--upsampling: got {upsampling}, expected {'most' if most else 'normal or more'}, by its layers"
        )
    config = SpadeConfig(
        classes=channels if classes is None else classes,
        edges=classes is not None and classes < channels,
        resolution=resolution,
        channels=image_channels * 2 if most else image_channels,
        upsampling=upsampling,  # type: ignore[arg-type]
        hidden=hidden,
        norm="batch" if "head_0.norm_0.param_free_norm.running_mean" in state else "instance",
        z_dim=start.shape[1] if has_style else None,
        encoder_channels=_encoder_channels(encoder_state),
    )
    expected = config.width(16) * math.prod(config.start_size)
    if has_style and start.shape[0] != expected:
        raise FileFormatError(
            f"the generator starts with {start.shape[0]} numbers, expected {expected} for {config.size[1]}x"
            f"{config.size[0]} px and upsampling {upsampling}; give the resolution that it was made for"
        )
    return config


def find_discriminator_config(state: State) -> DiscriminatorConfig:
    """What an official discriminator is.

    Raises:
        FileFormatError: it is none.
    """
    first = state.get("discriminator_0.model0.0.weight")
    if first is None:
        raise FileFormatError("no official SPADE discriminator; expected a file such as latest_net_D.pth")
    scales = {name.split(".")[0] for name in state}
    layers = {name.split(".")[1] for name in state}
    return DiscriminatorConfig(channels=first.shape[0], layers=len(layers) - 1, scales=len(scales))


def convert_generator(state: State) -> dict[str, Tensor]:
    """An official generator's state → the state of `Generator`.

    Raises:
        FileFormatError: a tensor is missing.
    """
    result = {"start.weight": state["fc.weight"], "start.bias": state["fc.bias"]}
    result |= {f"to_image.{each}": state[f"conv_img.{each}"] for each in ("weight", "bias")}
    try:
        for i, name in enumerate(each for each in _BLOCKS if f"{each}.conv_0.bias" in state):
            result |= _convert_block(state, f"{name}.", f"blocks.{i}.")
    except KeyError as error:
        raise FileFormatError(
            f"the official SPADE generator lacks {error}; the file is incomplete"
        ) from error
    return result


def _convert_block(state: State, old: str, new: str) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for conv, name in (("conv_0", "conv_0"), ("conv_1", "conv_1"), ("conv_s", "conv_skip")):
        result |= _convert_layer(state, f"{old}{conv}.", f"{new}{name}.")
    norms = ["norm_0", "norm_1"] + ["norm_s"] * (f"{old}norm_s.mlp_gamma.weight" in state)
    for i, norm in enumerate(norms):
        for each in ("weight", "bias"):
            gamma, beta = state[f"{old}{norm}.mlp_gamma.{each}"], state[f"{old}{norm}.mlp_beta.{each}"]
            gamma = gamma + 1 if each == "bias" else gamma  # ours gives the scale
            if norm == "norm_s":
                gamma, beta = _as_after_first(state, old, gamma, beta)
            result[f"{new}modulations.{i}.hidden.{each}"] = state[f"{old}{norm}.mlp_shared.0.{each}"]
            result[f"{new}modulations.{i}.out.{each}"] = torch.cat([gamma, beta])
    for norm in norms[:2]:
        prefix = f"{old}{norm}.param_free_norm."
        result |= {
            f"{new}{norm}.{name.removeprefix(prefix)}": each
            for name, each in state.items()
            if name.startswith(prefix)
        }
    return result


def _as_after_first(state: State, old: str, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The skip's scale and shift as they must be after the first normalisation instead of its own.

    Both see the same features, and so their statistics are the same, unless someone changed them.
    """
    if f"{old}norm_s.param_free_norm.running_var" not in state:
        return scale, shift
    mean, own_mean = (state[f"{old}{norm}.param_free_norm.running_mean"] for norm in ("norm_0", "norm_s"))
    deviation, own_deviation = (
        (state[f"{old}{norm}.param_free_norm.running_var"] + nn.BatchNorm2d(1).eps).sqrt()
        for norm in ("norm_0", "norm_s")
    )
    shape = (-1,) + (1,) * (scale.ndim - 1)
    shift = shift + scale * ((mean - own_mean) / own_deviation).view(shape)
    return scale * (deviation / own_deviation).view(shape), shift


def convert_encoder(state: State) -> dict[str, Tensor]:
    """An official style encoder's state → the state of `StyleEncoder`.

    Raises:
        FileFormatError: it is none.
    """
    _encoder_channels(state)
    result: dict[str, Tensor] = {}
    for i in range(len({name.split(".")[0] for name in state if name.startswith("layer")})):
        result |= _convert_layer(state, f"layer{i + 1}.0.", f"layers.{3 * i}.")
    for each in ("weight", "bias"):
        result[f"to_style.{each}"] = torch.cat([state[f"fc_mu.{each}"], state[f"fc_var.{each}"]])
    return result


def convert_discriminator(state: State) -> dict[str, Tensor]:
    """An official discriminator's state → the state of `Discriminator`."""
    config = find_discriminator_config(state)
    result: dict[str, Tensor] = {}
    for scale in range(config.scales):
        for layer in range(config.layers + 1):
            old, new = f"discriminator_{scale}.model{layer}.0.", f"scales.{scale}.layers.{layer}."
            own = new if layer == config.layers else f"{new}0."
            result |= _convert_layer(state, f"{old}0." if 0 < layer < config.layers else old, own)
    return result


def _convert_layer(state: State, old: str, new: str) -> dict[str, Tensor]:
    """One convolution, with spectral norm or without."""
    result = {}
    for name, each in state.items():
        kind = name.removeprefix(old)
        if name.startswith(old) and "." not in kind:
            result[new + (f"parametrizations.weight.{_SPECTRAL[kind]}" if kind in _SPECTRAL else kind)] = each
    return result


def _encoder_channels(state: State | None) -> int:
    if state is None:
        return SpadeConfig.encoder_channels
    first = state.get("layer1.0.weight_orig", state.get("layer1.0.weight"))
    if first is None or "fc_mu.weight" not in state or "fc_var.weight" not in state:
        raise FileFormatError("no official SPADE style encoder; expected a file such as latest_net_E.pth")
    return first.shape[0]


def _load(network: Net, state: dict[str, Tensor], path: str | Path | None) -> Net:
    try:
        if any(".parametrizations." in name for name in state):
            network.load_state_dict(state)
        else:
            load_plain(network, state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(f"{path}: its tensors do not fit the sizes found in it ({reason})") from error
    return network.eval()
