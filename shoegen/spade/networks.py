"""SPADE's networks (arXiv 1903.07291): generator, style encoder, multi-scale patch discriminator.

Part maps are int64 (N, H, W) and become `semantics`, float32 (N, C, H, W); pictures are float32 (N, 3, H, W) in
[−1, 1]; styles are float32 (N, z_dim), standard normal.

Spectral norm and averages of batches belong to the training. What is used and kept is the `plain` network: weights
divided by their largest singular values, as ordinary convolutions. A training averages the plain weights
(`plain_state`), for averages of undivided weights and of singular vectors do not fit together, and with them the
running means and variances of batch normalisation; before such an average is judged or kept,
`measure_statistics` should replace these by what the averaged weights themselves give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from shoegen.errors import ConfigError
from shoegen.spade.config import DiscriminatorConfig, Norm, SpadeConfig

Net = TypeVar("Net", "Generator", "StyleEncoder")
SLOPE = 0.2  # of leaky ReLU
POWER_STEPS = 100  # that find a singular value anew
GROUP = 8  # channels that group normalisation takes together


def semantics(labels: Tensor, edges: Tensor | None, config: SpadeConfig) -> Tensor:
    """What the networks see of part maps.

    Args:
        labels: (N, H, W) int64; pixels of any value that is no class, as `shoegen.data.labels.IGNORED`, are 0 in all
            channels.
        edges: (N, 1, H, W) in [0, 1], the boundaries of instances, where the configuration has edges.

    Returns:
        (N, C, H, W) float32, one channel for each class, and the edges.

    Raises:
        ConfigError: edges without their channel, or a channel without edges.
    """
    if (edges is not None) != config.edges:
        raise ConfigError(
            f"edges: got {'some' if edges is not None else 'none'}, and the model was made with"
            f"{'' if config.edges else 'out'} them"
        )
    one_hot = (labels[..., None] == torch.arange(config.classes, device=labels.device)).float()
    one_hot = one_hot.permute(0, 3, 1, 2)  # (N, C, H, W), channels last in memory
    return one_hot if edges is None else torch.cat([one_hot, edges.to(one_hot.dtype)], 1)


class Generator(nn.Module):
    """Part maps and a style → pictures.

    Args:
        config: what it is.
        spectral: with spectral norm, for training; without for a `plain` network.
    """

    def __init__(self, config: SpadeConfig, *, spectral: bool = True) -> None:
        super().__init__()
        self.config = config
        first = config.width(16)
        self.start: nn.Linear | nn.Conv2d
        if config.z_dim is None:
            self.start = nn.Conv2d(config.semantic_channels, first, 3, padding=1)
        else:
            self.start = nn.Linear(config.z_dim, first * math.prod(config.start_size))
        widths = [first, first, first, *(config.width(multiple) for multiple in (8, 4, 2, 1))]
        self._doubled = [False, True, config.doublings > 5, True, True, True, True]  # before each block
        if config.doublings == 7:
            widths.append(config.width(0.5))
            self._doubled.append(True)
        self.blocks = nn.ModuleList(
            ResidualBlock(config, *pair, spectral=spectral) for pair in zip([first, *widths], widths)
        )
        self.to_image = nn.Conv2d(widths[-1], 3, 3, padding=1)
        for layer in (self.start, self.to_image):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))
        self.to(memory_format=torch.channels_last)

    def forward(self, labels: Tensor, z: Tensor | None = None, edges: Tensor | None = None) -> Tensor:
        """(N, H, W) int64 maps of any size → (N, 3, h, w) pictures of the configured size, in [−1, 1].

        Args:
            labels, edges: see `semantics`.
            z: (N, z_dim) styles, where the configuration has a style; else None.

        Raises:
            ConfigError: a style is missing, or of another length.
        """
        return self.paint(semantics(labels, edges, self.config), z)

    def paint(self, maps: Tensor, z: Tensor | None = None) -> Tensor:
        """As `forward`, from (N, C, H, W) semantics, which the discriminator wants too."""
        config = self.config
        got = None if z is None else z.shape[-1]
        if got != config.z_dim:
            raise ConfigError(f"style: got {got or 'no'} numbers, expected {config.z_dim or 'none'}")
        height, width = config.start_size
        level = _at_size(maps, (height, width))
        if z is None:
            x = self.start(level)
        else:
            x = self.start(z).view(len(z), -1, height, width)
        x = x.contiguous(memory_format=torch.channels_last)
        for block, doubled in zip(self.blocks, self._doubled):
            if doubled:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                level = _at_size(maps, (x.shape[2], x.shape[3]))
            x = block(x, level, z)
        return self.to_image(F.leaky_relu(x, SLOPE)).tanh()


class ResidualBlock(nn.Module):
    """Two convolutions, each after a spatially adaptive normalisation (figure 4 of the paper); a way around them."""

    def __init__(self, config: SpadeConfig, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        widths = [inputs, middle] + [inputs] * (inputs != outputs and not config.shared_skip)
        self.modulations = nn.ModuleList(Modulation(config, width) for width in widths)
        self.norm_0 = _norm(config.norm, inputs)  # of the skip too, which sees the same features
        self.norm_1 = _norm(config.norm, middle)
        self.conv_0 = _conv(inputs, middle, 3, padding=1, spectral=spectral)
        self.conv_1 = _conv(middle, outputs, 3, padding=1, spectral=spectral)
        self.conv_skip = (
            _conv(inputs, outputs, 1, bias=False, spectral=spectral) if inputs != outputs else None
        )

    def forward(self, x: Tensor, maps: Tensor, z: Tensor | None) -> Tensor:
        """(N, inputs, h, w), semantics (N, C, h, w) → (N, outputs, h, w)."""
        normal = self.norm_0(x)
        first = _modulate(normal, self.modulations[0](maps, z), SLOPE)
        skip = x
        if self.conv_skip is not None:
            own = len(self.modulations) > 2
            skip = _modulate(normal, self.modulations[2](maps, z)) if own else first
            skip = _pointwise(skip, self.conv_skip)
        normal = self.norm_1(self.conv_0(first))
        return skip + self.conv_1(_modulate(normal, self.modulations[1](maps, z), SLOPE))


class Modulation(nn.Module):
    """Part maps and a style → the scale and the shift of `width` features (figure 2 of the paper).

    One convolution gives both; the paper's gamma is the scale − 1.
    """

    def __init__(self, config: SpadeConfig, width: int) -> None:
        super().__init__()
        kernel = config.modulation_kernel
        self.hidden = nn.Conv2d(config.semantic_channels, config.hidden, 3, padding=1)
        self.style = nn.Linear(config.z_dim or 0, config.hidden) if config.styled else None
        self.out = nn.Conv2d(config.hidden, 2 * width, kernel, padding=kernel // 2)
        nn.init.xavier_normal_(self.hidden.weight)
        nn.init.xavier_normal_(self.out.weight, gain=0.02)
        with torch.no_grad():
            cast(Tensor, self.hidden.bias).zero_()
            cast(Tensor, self.out.bias).copy_(torch.arange(2 * width) < width)

    def forward(self, maps: Tensor, z: Tensor | None) -> Tensor:
        """Semantics (N, C, h, w), (N, z_dim) → (N, 2 · width, h, w), first the scale."""
        hidden = self.hidden(maps)
        if self.style is not None:
            hidden = hidden.add_(self.style(z)[:, :, None, None])
        return _pointwise(hidden.relu_(), self.out)


class StyleEncoder(nn.Module):
    """Pictures → the mean and the logarithm of the variance of their style."""

    def __init__(self, config: SpadeConfig, *, spectral: bool = True) -> None:
        super().__init__()
        if config.z_dim is None:
            raise ConfigError("a model without a style has no style encoder; give --z-dim")
        self.config = config
        layers: list[nn.Module] = []
        inputs = 3
        for i in range(int(math.log2(config.encoder_side)) - 2):
            outputs = config.encoder_channels * min(2**i, 8)
            bias = config.encoder_norm == "none"
            layers += [
                _conv(inputs, outputs, 3, stride=2, padding=1, bias=bias, spectral=spectral),
                _norm(config.encoder_norm, outputs),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.to_style = nn.Linear(inputs * 4 * 4, 2 * config.z_dim)  # mean, log variance
        nn.init.xavier_normal_(self.to_style.weight)
        nn.init.zeros_(self.to_style.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) of any size → mean (N, z_dim), log variance (N, z_dim)."""
        side = self.config.encoder_side
        if images.shape[2:] != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        features = self.layers(images.contiguous(memory_format=torch.channels_last))
        mean, log_variance = self.to_style(features.flatten(1)).chunk(2, 1)
        return mean, log_variance


class Discriminator(nn.Module):
    """Patch discriminators, each on half the size of that before it."""

    def __init__(self, config: DiscriminatorConfig, model: SpadeConfig) -> None:
        super().__init__()
        self.config = config
        inputs = model.semantic_channels + 3
        self.scales = nn.ModuleList(PatchDiscriminator(config, inputs) for _ in range(config.scales))
        self.to(memory_format=torch.channels_last)

    def forward(self, maps: Tensor, images: Tensor) -> list[list[Tensor]]:
        """Semantics (N, C, H, W), pictures (N, 3, H, W) → for each scale its features, the last ones logits."""
        x = torch.cat([maps, images], 1).contiguous(memory_format=torch.channels_last)
        results = []
        for i, scale in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            results.append(scale(x))
        return results


class PatchDiscriminator(nn.Module):
    """Convolutions of 4×4 pixels whose last one judges each place (arXiv 1611.07004, 1711.11585)."""

    def __init__(self, config: DiscriminatorConfig, inputs: int) -> None:
        super().__init__()
        widths = [min(config.channels * 2**i, max(512, config.channels)) for i in range(config.layers)]
        self.layers = nn.ModuleList()
        for i, width in enumerate(widths):
            stride = 2 if i < config.layers - 1 or i == 0 else 1
            spectral = i > 0
            conv = _conv(inputs, width, 4, stride=stride, padding=2, bias=not spectral, spectral=spectral)
            self.layers.append(
                nn.Sequential(conv, _norm("instance" if spectral else "none", width), nn.LeakyReLU(SLOPE))
            )
            inputs = width
        self.layers.append(_conv(inputs, 1, 4, padding=2, spectral=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) → the features of every layer, the last ones logits (N, 1, h, w)."""
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features


# ---- from training to use ----


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of the `plain` network: weights divided by their largest singular values, and all else as it is.

    The tensors are for reading: most are the network's own.
    """
    state = {name: each for name, each in network.state_dict().items() if ".parametrizations." not in name}
    for name, module in network.named_modules():
        if is_parametrized(module, "weight"):
            state[f"{name}.weight"] = _divided(module)
    return state


def plain(network: Net) -> Net:
    """A copy for use: without spectral norm, in evaluation mode, and not learning."""
    # Not by removing it from a copy: PyTorch would remove it from the original too, whose class the copy shares.
    result = type(network)(network.config, spectral=False)
    result.load_state_dict(plain_state(network))
    return result.to(next(network.parameters()).device).eval().requires_grad_(False)


def load_plain(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Gives a network with or without spectral norm the weights of a `plain` one.

    Raises:
        RuntimeError: the state is of another network.
    """
    names = {
        f"{name}.weight": f"{name}.parametrizations.weight.original"
        for name, module in network.named_modules()
        if is_parametrized(module, "weight")
    }
    own = {name: each for name, each in network.state_dict().items() if name.endswith(("._u", "._v"))}
    network.load_state_dict(own | {names.get(name, name): each for name, each in state.items()})
    for module in network.modules():
        if is_parametrized(module, "weight"):
            spectral: Any = module.parametrizations["weight"][0]  # type: ignore[union-attr,index]
            with torch.no_grad():
                weight = module.parametrizations["weight"].original  # type: ignore[union-attr,index]
                spectral._power_method(spectral._reshape_weight_to_matrix(weight), POWER_STEPS)


def measure_statistics(generator: Generator, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Measures the running means and variances of batch normalisation anew, as the mean over some batches.

    Args:
        generator: in evaluation mode, where it stays; not learning. Without batch normalisation nothing happens.
        batches: (semantics, styles), see `Generator.paint`; some hundred pictures are enough.
    """
    norms = [each for each in generator.modules() if isinstance(each, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [each.momentum for each in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for maps, z in batches:
            generator.paint(maps, z)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.eval()


def _divided(module: nn.Module) -> Tensor:
    """The weight over its largest singular value, without another step towards that."""
    parametrizations = cast(nn.ModuleDict, module.parametrizations)
    was_training = parametrizations["weight"].training
    parametrizations.eval()
    weight = cast(Tensor, module.weight).detach()
    parametrizations.train(was_training)
    return weight


# ---- parts ----


def _modulate(normal: Tensor, modulation: Tensor, slope: float = 1.0) -> Tensor:
    """(N, C, h, w), scale and shift (N, 2C, h, w) → leaky ReLU of normal · scale + shift; `slope` 1: without it."""
    if torch.is_grad_enabled():
        return cast(Tensor, _Modulation.apply(normal, modulation, slope))
    return _modulated(normal, modulation, slope)


def _modulated(normal: Tensor, modulation: Tensor, slope: float) -> Tensor:
    scale, shift = modulation.chunk(2, 1)
    result = torch.addcmul(shift, normal, scale)
    return F.leaky_relu(result, slope, inplace=True) if slope != 1 else result


class _Modulation(torch.autograd.Function):
    """One step for autograd, which else joins the gradients of scale and shift by a copy and keeps more between."""

    @staticmethod
    def forward(context: Any, normal: Tensor, modulation: Tensor, slope: float) -> Tensor:
        result = _modulated(normal, modulation, slope)
        context.slope = slope
        context.save_for_backward(normal, modulation, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, modulation, result = context.saved_tensors
        if context.slope != 1:  # the result has the sign of what was activated
            gradient = torch.ops.aten.leaky_relu_backward(gradient, result, context.slope, True)
        scale, _ = modulation.chunk(2, 1)
        of_modulation = torch.empty_like(modulation)
        of_scale, of_shift = of_modulation.chunk(2, 1)
        torch.mul(gradient, normal, out=of_scale)
        of_shift.copy_(gradient)
        return gradient * scale, of_modulation, None


def _pointwise(x: Tensor, conv: nn.Module) -> Tensor:
    """A convolution, and one of single pixels as a product of matrices, which on CPUs is faster, channels last."""
    if cast(nn.Conv2d, conv).kernel_size != (1, 1):
        return conv(x)
    weight, bias = cast(Tensor, conv.weight), cast("Tensor | None", conv.bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="nearest")


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=False)
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels, affine=False)
    return nn.Identity()


def _conv(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
    spectral: bool,
) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)
    nn.init.xavier_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return spectral_norm(conv) if spectral else conv
