"""StyleGAN2's networks (arXiv 1912.04958), with the parameter names of the official checkpoints.

Weights are stored with unit variance and scaled when used ("equalised learning rate"), so that Adam moves every
layer at the same relative pace.
"""

from __future__ import annotations

import math
import os
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from shoegen.errors import ConfigError, FileFormatError
from shoegen.ops import bias_act, conv2d_resample, downsample2d, modulated_conv2d, setup_filter, upsample2d
from shoegen.stylegan.config import Architecture, DiscriminatorConfig, GeneratorConfig
from shoegen.torch_utils.tensors import load_tensors, save_tensors, tensors_hash

NoiseMode = Literal["random", "const", "none"]


class FullyConnected(nn.Module):
    """(N, in) → (N, out), with bias and activation."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        act: str = "linear",
        lr_mult: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.act = act
        self.weight_gain = lr_mult / math.sqrt(in_features)
        self.bias_gain = lr_mult
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mult)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_mult))

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(x @ (self.weight * self.weight_gain).T, self.bias * self.bias_gain, act=self.act)


class Conv2d(nn.Module):
    """(N, in, H, W) → (N, out, H·up / down, W·up / down), with optional bias, and activation."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        bias: bool = True,
        act: str = "linear",
        up: int = 1,
        down: int = 1,
    ) -> None:
        super().__init__()
        self.act = act
        self.up = up
        self.down = down
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        x = conv2d_resample(
            x,
            self.weight * self.weight_gain,
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.weight.shape[2] // 2,
            flip_weight=self.up == 1,  # as the official checkpoints store their weights
        )
        act_gain = math.sqrt(2) if self.act == "lrelu" else 1.0
        return bias_act(x, self.bias, act=self.act, gain=act_gain * gain)


class MappingNetwork(nn.Module):
    """z (N, z_dim) and class c (N, c_dim) → w (N, w_dim)."""

    w_avg: Tensor

    def __init__(
        self, *, z_dim: int, c_dim: int, w_dim: int, layers: int, track_average: bool = True
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.layers = z_dim, c_dim, w_dim, layers
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        in_features = z_dim + (w_dim if c_dim else 0)
        for i in range(layers):
            self.add_module(f"fc{i}", FullyConnected(in_features, w_dim, act="lrelu", lr_mult=0.01))
            in_features = w_dim
        if track_average:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, c: Tensor | None = None) -> Tensor:
        inputs = []
        if self.z_dim:
            _check_shape("z", z, self.z_dim)
            assert z is not None
            inputs.append(_unit_power(z.float()))
        if self.c_dim:
            _check_shape("c", c, self.c_dim)
            assert c is not None
            inputs.append(_unit_power(self.embed(c.float())))
        x = torch.cat(inputs, dim=1)
        for i in range(self.layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, w: Tensor, beta: float = 0.995) -> None:
        """Moves the running mean of w, which truncation draws towards, by one batch of w (N, w_dim)."""
        self.w_avg.lerp_(w.mean(dim=0), 1 - beta)


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU: (N, in, H, W) → (N, out, H·up, W·up)."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, resolution: int, up: int = 1
    ) -> None:
        super().__init__()
        self.up = up
        self.resolution = resolution
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))

    def forward(self, x: Tensor, w: Tensor, *, noise_mode: NoiseMode, gain: float = 1.0) -> Tensor:
        noise = None
        if noise_mode == "random":
            noise = (
                torch.randn(x.shape[0], 1, self.resolution, self.resolution, device=x.device)
                * self.noise_strength
            )
        elif noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            resample_filter=self.resample_filter,
            up=self.up,
            padding=1,
            flip_weight=self.up == 1,  # as the official checkpoints store their weights
        )
        return bias_act(x, self.bias, act="lrelu", gain=math.sqrt(2) * gain)


class ToRGB(nn.Module):
    """Modulated 1×1 convolution without demodulation: (N, in, H, W) → (N, 3, H, W)."""

    def __init__(self, in_channels: int, *, w_dim: int) -> None:
        super().__init__()
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = modulated_conv2d(x, self.weight, self.affine(w) * self.weight_gain, demodulate=False)
        return bias_act(x, self.bias)


class SynthesisBlock(nn.Module):
    """The layers of one resolution; doubles the resolution of its input, save the first block."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        architecture: Architecture,
        is_last: bool,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.is_first = in_channels == 0
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim=w_dim, resolution=resolution, up=2)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim=w_dim, resolution=resolution)
        self.convolutions = 1 if self.is_first else 2
        self.has_rgb = is_last or architecture == "skip"
        if self.has_rgb:
            self.torgb = ToRGB(out_channels, w_dim=w_dim)
        if not self.is_first and architecture == "resnet":
            self.skip = Conv2d(in_channels, out_channels, 1, bias=False, up=2)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: list[Tensor], noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor | None]:
        """`ws`: one w (N, w_dim) per convolution, then the one that colours the image."""
        if self.is_first:
            x = self.const.expand(ws[0].shape[0], *self.const.shape)
            x = self.conv1(x, ws[0], noise_mode=noise_mode)
        elif self.architecture == "resnet":
            assert x is not None
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[0], noise_mode=noise_mode)
            x = shortcut + self.conv1(x, ws[1], noise_mode=noise_mode, gain=math.sqrt(0.5))
        else:
            x = self.conv0(x, ws[0], noise_mode=noise_mode)
            x = self.conv1(x, ws[1], noise_mode=noise_mode)
        if image is not None:
            image = upsample2d(image, self.resample_filter)
        if self.has_rgb:
            rgb = self.torgb(x, ws[self.convolutions])
            image = rgb if image is None else image + rgb
        return x, image


class SynthesisNetwork(nn.Module):
    """ws (N, num_ws, w_dim) → images (N, 3, R, R), about [−1, 1]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, config.resolution.bit_length())]
        self.num_ws = 2 * len(self.resolutions)
        in_channels = 0
        for resolution in self.resolutions:
            block = SynthesisBlock(
                in_channels,
                config.channels(resolution),
                w_dim=config.w_dim,
                resolution=resolution,
                architecture=config.architecture,
                is_last=resolution == config.resolution,
            )
            self.add_module(f"b{resolution}", block)
            in_channels = config.channels(resolution)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """From 4 × 4 pixels to the whole resolution."""
        return [cast(SynthesisBlock, self.get_submodule(f"b{resolution}")) for resolution in self.resolutions]

    def forward(self, ws: Tensor, *, noise_mode: NoiseMode = "const") -> Tensor:
        if noise_mode not in get_args(NoiseMode):
            raise ConfigError(f"noise_mode: got {noise_mode!r}, expected random, const or none")
        per_layer = list(ws.float().unbind(dim=1))
        x = image = None
        first = 0
        for block in self.blocks:
            # The colouring layer shares its w with the next block's first convolution.
            x, image = block(x, image, per_layer[first : first + block.convolutions + 1], noise_mode)
            first += block.convolutions
        assert image is not None
        return image


class Generator(nn.Module):
    """z → w → image."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.synthesis = SynthesisNetwork(config)
        self.mapping = MappingNetwork(
            z_dim=config.z_dim, c_dim=config.c_dim, w_dim=config.w_dim, layers=config.mapping_layers
        )

    @property
    def num_ws(self) -> int:
        """How many layers take a w of their own."""
        return self.synthesis.num_ws

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Generator:
        """The generator in a file that `save` wrote, in float32 and ready for inference.

        Raises:
            FileFormatError: not there, damaged, or not a generator.
        """
        tensors, metadata = load_tensors(path, kind="generator")
        try:
            generator = cls(GeneratorConfig.from_dict(metadata["config"]))
            generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except (KeyError, RuntimeError, ConfigError) as error:
            raise FileFormatError(
                f"{path}: its tensors and its configuration do not match; it is damaged"
            ) from error
        return generator.eval().requires_grad_(False)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: torch.dtype = torch.float32,
        notes: dict[str, Any] | None = None,
    ) -> None:
        """Writes a safetensors file with the configuration in its metadata.

        Args:
            path: where to.
            dtype: of the stored weights; float16 halves the file and moves no pixel by more than rounding.
            notes: how it was made, kept in the metadata.
        """
        tensors = {name: tensor.to(dtype) for name, tensor in self.state_dict().items()}
        save_tensors(
            path, tensors, {"kind": "generator", "config": self.config.to_dict(), "notes": notes or {}}
        )

    def hash(self) -> str:
        """SHA-256 over the weights: what a direction learned on this generator names."""
        return tensors_hash(self.state_dict())

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
    ) -> Tensor:
        """Images of latents.

        Args:
            z: (N, z_dim), standard normal.
            c: (N, c_dim) one-hot classes of a conditional generator, else None.
            truncation_psi: 1 keeps w, 0 gives the mean of W.
            truncation_cutoff: how many of the first layers are truncated; None for all.
            noise_mode: "const" repeats the same noise, "random" draws it anew, "none" leaves it out.

        Returns:
            float32 (N, 3, H, W) in [−1, 1].
        """
        ws = self.map(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise_mode=noise_mode).clamp(-1, 1)

    def map(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """(N, z_dim) → ws (N, num_ws, w_dim), truncated towards the mean of W."""
        return self.broadcast(
            self.mapping(z, c), truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff
        )

    def broadcast(
        self, w: Tensor, *, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """w (N, w_dim) → ws (N, num_ws, w_dim), truncated towards the mean of W."""
        ws = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws[:, :cutoff] = self.mapping.w_avg.lerp(ws[:, :cutoff], truncation_psi)
        return ws


class DiscriminatorBlock(nn.Module):
    """Halves the resolution."""

    resample_filter: Tensor

    def __init__(
        self, channels: int, out_channels: int, *, architecture: Architecture, is_first: bool
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))
        if is_first or architecture == "skip":
            self.fromrgb = Conv2d(3, channels, 1, act="lrelu")
        self.conv0 = Conv2d(channels, channels, 3, act="lrelu")
        self.conv1 = Conv2d(channels, out_channels, 3, act="lrelu", down=2)
        if architecture == "resnet":
            self.skip = Conv2d(channels, out_channels, 1, bias=False, down=2)

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if image is not None:
            rgb = self.fromrgb(image)
            x = rgb if x is None else x + rgb
            image = downsample2d(image, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = shortcut + self.conv1(self.conv0(x), gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x))
        return x, image


class DiscriminatorEpilogue(nn.Module):
    """(N, C, 4, 4) → (N, out_features)."""

    def __init__(
        self, channels: int, out_features: int, *, architecture: Architecture, mbstd_group: int
    ) -> None:
        super().__init__()
        self.mbstd_group = mbstd_group
        if architecture == "skip":
            self.fromrgb = Conv2d(3, channels, 1, act="lrelu")
        self.conv = Conv2d(channels + 1, channels, 3, act="lrelu")
        self.fc = FullyConnected(channels * 4 * 4, channels, act="lrelu")
        self.out = FullyConnected(channels, out_features)

    def forward(self, x: Tensor, image: Tensor | None) -> Tensor:
        if image is not None:
            x = x + self.fromrgb(image)
        x = torch.cat([x, minibatch_deviation(x, self.mbstd_group)], dim=1)
        x = self.conv(x)
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """Images (N, 3, R, R) in [−1, 1] → logits (N, 1): above 0 means real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.resolutions = [2**i for i in range(config.resolution.bit_length() - 1, 2, -1)]
        for resolution in self.resolutions:
            block = DiscriminatorBlock(
                config.channels(resolution),
                config.channels(resolution // 2),
                architecture=config.architecture,
                is_first=resolution == config.resolution,
            )
            self.add_module(f"b{resolution}", block)
        channels = config.channels(4)
        if config.c_dim:
            self.mapping = MappingNetwork(
                z_dim=0, c_dim=config.c_dim, w_dim=channels, layers=config.mapping_layers, track_average=False
            )
        self.b4 = DiscriminatorEpilogue(
            channels,
            channels if config.c_dim else 1,
            architecture=config.architecture,
            mbstd_group=config.mbstd_group,
        )

    @property
    def blocks(self) -> list[DiscriminatorBlock]:
        """From the whole resolution to 8 × 8 pixels."""
        return [
            cast(DiscriminatorBlock, self.get_submodule(f"b{resolution}")) for resolution in self.resolutions
        ]

    def forward(self, image: Tensor, c: Tensor | None = None) -> Tensor:
        x, remaining = None, image
        for block in self.blocks:
            x, remaining = block(x, remaining)
        x = self.b4(x, remaining)
        if self.config.c_dim:  # projection discriminator (arXiv 1802.05637)
            direction = self.mapping(None, c)
            x = (x * direction).sum(dim=1, keepdim=True) / math.sqrt(direction.shape[1])
        return x


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """How much the images of a group differ, as one more channel (arXiv 1710.10196, section 3).

    Image i belongs to the group i mod (N / group). (N, C, H, W) → (N, 1, H, W).
    """
    n, _, h, w = x.shape
    group = min(group, n)
    if n % group:
        raise ConfigError(f"batch: got {n} images, expected a multiple of the mbstd group {group}")
    deviation = (
        x.reshape(group, n // group, -1).var(dim=0, unbiased=False) + 1e-8
    ).sqrt()  # (N / group, C·H·W)
    return deviation.mean(dim=1).repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)


def _unit_power(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def _check_shape(name: str, value: Tensor | None, features: int) -> None:
    if value is None or value.ndim != 2 or value.shape[1] != features:
        got = "none" if value is None else str(tuple(value.shape))
        raise ConfigError(f"{name}: got {got}, expected shape (N, {features})")
