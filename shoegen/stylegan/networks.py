"""StyleGAN2's networks (arXiv 1912.04958), with the parameter names of the official checkpoints.

Weights are stored with unit variance and scaled when used ("equalised learning rate"), so that Adam moves every
layer at the same relative pace.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from shoegen.errors import ConfigError, FileFormatError
from shoegen.ops import bias_act, conv_layer, downsample2d, modulated_conv2d, setup_filter, upsample2d
from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig, Size
from shoegen.torch_utils.tensors import load_tensors, save_tensors, tensors_hash

NoiseMode = Literal["random", "const", "none"]
DrawNoise = Callable[[int, int], Tensor]  # height, width → standard normal (N, 1, height, width)


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
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.act = act
        self.up = up
        self.down = down
        self.clamp = clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        return conv_layer(
            x,
            self.weight * self.weight_gain,
            bias=self.bias,
            resample_filter=self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.weight.shape[2] // 2,
            flip_weight=self.up == 1,  # as the official checkpoints store their weights
            act=self.act,
            gain=(math.sqrt(2) if self.act == "lrelu" else 1.0) * gain,
            clamp=_times(self.clamp, gain),
        )


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

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def forward(self, z: Tensor | None, c: Tensor | None = None) -> Tensor:
        inputs = []
        if self.z_dim:
            _check_shape("z", z, self.z_dim)
            assert z is not None
            inputs.append(_unit_power(z.to(self._dtype)))
        if self.c_dim:
            _check_shape("c", c, self.c_dim)
            assert c is not None
            inputs.append(_unit_power(self.embed(c.to(self._dtype))))
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
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        size: Size,
        up: int = 1,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(size))
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))

    def forward(
        self, x: Tensor, w: Tensor, noise_mode: NoiseMode, draw_noise: DrawNoise | None, gain: float = 1.0
    ) -> Tensor:
        noise = None
        if noise_mode == "random":
            height, width = self.noise_const.shape
            if draw_noise is None:
                noise = torch.randn(x.shape[0], 1, height, width, device=x.device)
            else:
                noise = draw_noise(height, width)
            noise = noise * self.noise_strength
        elif noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            resample_filter=self.resample_filter,
            up=self.up,
            padding=1,
            flip_weight=self.up == 1,  # as the official checkpoints store their weights
            bias=self.bias,
            act="lrelu",
            gain=math.sqrt(2) * gain,
            clamp=_times(self.clamp, gain),
        )


class ToRGB(nn.Module):
    """Modulated 1×1 convolution without demodulation: (N, in, H, W) → (N, img_channels, H, W)."""

    def __init__(
        self, in_channels: int, img_channels: int, *, w_dim: int, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        return modulated_conv2d(
            x, self.weight, styles, demodulate=False, bias=self.bias, gain=1.0, clamp=self.clamp
        )


class SynthesisBlock(nn.Module):
    """The layers of one resolution; doubles the resolution of its input, save the first block."""

    resample_filter: Tensor

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        self.is_first = resolution == 4
        self.is_16bit = config.is_16bit(resolution)
        channels, size = config.channels(resolution), config.size(resolution)
        shared: Any = {"w_dim": config.w_dim, "clamp": config.conv_clamp}
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))
        if self.is_first:
            self.const = nn.Parameter(torch.randn(channels, *size))
        else:
            in_channels = config.channels(resolution // 2)
            self.conv0 = SynthesisLayer(in_channels, channels, size=size, up=2, **shared)
        self.conv1 = SynthesisLayer(channels, channels, size=size, **shared)
        self.convolutions = 1 if self.is_first else 2
        self.has_rgb = resolution == config.resolutions[-1] or self.architecture == "skip"
        if self.has_rgb:
            self.torgb = ToRGB(channels, config.img_channels, **shared)
        if not self.is_first and self.architecture == "resnet":
            self.skip = Conv2d(in_channels, channels, 1, bias=False, up=2)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: list[Tensor],
        noise_mode: NoiseMode,
        draw_noise: DrawNoise | None,
        dtype: torch.dtype | None,
    ) -> tuple[Tensor, Tensor | None]:
        """`ws`: one w (N, w_dim) per convolution, then the one that colours the image; `dtype` of the features."""
        noise = (noise_mode, draw_noise)
        if self.is_first:
            x = self.const.to(dtype).expand(ws[0].shape[0], *self.const.shape)
            x = self.conv1(x, ws[0], *noise)
        elif self.architecture == "resnet":
            assert x is not None
            x = x.to(dtype)
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[0], *noise)
            x = shortcut + self.conv1(x, ws[1], *noise, gain=math.sqrt(0.5))
        else:
            assert x is not None
            x = self.conv0(x.to(dtype), ws[0], *noise)
            x = self.conv1(x, ws[1], *noise)
        if image is not None:
            image = upsample2d(image, self.resample_filter)
        if self.has_rgb:
            # Colours are added up in the weights' precision, whatever the features have.
            rgb = self.torgb(x, ws[self.convolutions]).to(self.torgb.weight.dtype)
            image = rgb if image is None else image + rgb
        return x, image


class SynthesisNetwork(nn.Module):
    """ws (N, num_ws, w_dim) → images (N, img_channels, H, W), about [−1, 1].

    `half_dtype`: what the config's `num_fp16_res` highest resolutions compute in; None for the weights' own type.
    """

    half_dtype: torch.dtype | None = None

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolutions = config.resolutions
        self.num_ws = 2 * len(self.resolutions)
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """From the smallest to the whole resolution."""
        return [cast(SynthesisBlock, self.get_submodule(f"b{resolution}")) for resolution in self.resolutions]

    def forward(
        self, ws: Tensor, *, noise_mode: NoiseMode = "const", draw_noise: DrawNoise | None = None
    ) -> Tensor:
        """`draw_noise`: where the noise of "random" comes from; None for PyTorch's own generator."""
        if noise_mode not in get_args(NoiseMode):
            raise ConfigError(f"noise_mode: got {noise_mode!r}, expected random, const or none")
        weights_dtype = self.blocks[0].const.dtype
        per_layer = list(ws.to(weights_dtype).unbind(dim=1))
        x = image = None
        first = 0
        for block in self.blocks:
            # The colouring layer shares its w with the next block's first convolution.
            own = per_layer[first : first + block.convolutions + 1]
            dtype = (block.is_16bit and self.half_dtype) or weights_dtype
            x, image = block(x, image, own, noise_mode, draw_noise, dtype)
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
            float32 (N, img_channels, H, W) in [−1, 1].
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
        if not -2 <= truncation_psi <= 2 or not 0 <= (truncation_cutoff or 0) <= self.num_ws:
            raise ConfigError(
                f"truncation_psi {truncation_psi:g}, truncation_cutoff {truncation_cutoff}: expected -2 to 2, and at "
                f"most the {self.num_ws} layers"
            )
        ws = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws[:, :cutoff] = self.mapping.w_avg.lerp(ws[:, :cutoff], truncation_psi)
        return ws


class DiscriminatorBlock(nn.Module):
    """Halves the resolution."""

    resample_filter: Tensor

    def __init__(self, config: DiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        self.is_16bit = config.is_16bit(resolution)
        channels, out_channels = config.channels(resolution), config.channels(resolution // 2)
        clamp = config.conv_clamp
        self.register_buffer("resample_filter", setup_filter([1, 3, 3, 1]))
        if resolution == config.resolutions[-1] or self.architecture == "skip":
            self.fromrgb = Conv2d(config.img_channels, channels, 1, act="lrelu", clamp=clamp)
        self.conv0 = Conv2d(channels, channels, 3, act="lrelu", clamp=clamp)
        self.conv1 = Conv2d(channels, out_channels, 3, act="lrelu", down=2, clamp=clamp)
        if self.architecture == "resnet":
            self.skip = Conv2d(channels, out_channels, 1, bias=False, down=2)

    def forward(
        self, x: Tensor | None, image: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        if x is not None:
            x = x.to(dtype)
        if image is not None:
            image = image.to(dtype)
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
    """(N, C, h, w), the smallest features → (N, out_features)."""

    def __init__(self, config: DiscriminatorConfig, out_features: int) -> None:
        super().__init__()
        channels, (height, width) = config.channels(4), config.size(4)
        self.mbstd_group = config.mbstd_group
        if config.architecture == "skip":
            self.fromrgb = Conv2d(config.img_channels, channels, 1, act="lrelu", clamp=config.conv_clamp)
        self.conv = Conv2d(channels + 1, channels, 3, act="lrelu", clamp=config.conv_clamp)
        self.fc = FullyConnected(channels * height * width, channels, act="lrelu")
        self.out = FullyConnected(channels, out_features)

    def forward(self, x: Tensor, image: Tensor | None) -> Tensor:
        x = x.to(self.conv.weight.dtype)
        if image is not None:
            x = x + self.fromrgb(image.to(x.dtype))
        x = torch.cat([x, minibatch_deviation(x, self.mbstd_group)], dim=1)
        x = self.conv(x)
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """Images (N, img_channels, H, W) in [−1, 1] → logits (N, 1): above 0 means real.

    `half_dtype` as in `SynthesisNetwork`.
    """

    half_dtype: torch.dtype | None = None

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.resolutions = config.resolutions[:0:-1]
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", DiscriminatorBlock(config, resolution))
        channels = config.channels(4)
        if config.c_dim:
            self.mapping = MappingNetwork(
                z_dim=0, c_dim=config.c_dim, w_dim=channels, layers=config.mapping_layers, track_average=False
            )
        self.b4 = DiscriminatorEpilogue(config, channels if config.c_dim else 1)

    @property
    def blocks(self) -> list[DiscriminatorBlock]:
        """From the whole resolution to the last but one."""
        return [
            cast(DiscriminatorBlock, self.get_submodule(f"b{resolution}")) for resolution in self.resolutions
        ]

    def forward(self, image: Tensor, c: Tensor | None = None) -> Tensor:
        weights_dtype = self.b4.conv.weight.dtype
        x, remaining = None, image
        for block in self.blocks:
            x, remaining = block(x, remaining, (block.is_16bit and self.half_dtype) or weights_dtype)
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


def _times(clamp: float | None, gain: float) -> float | None:
    return None if clamp is None else clamp * gain


def _unit_power(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def _check_shape(name: str, value: Tensor | None, features: int) -> None:
    if value is None or value.ndim != 2 or value.shape[1] != features:
        got = "none" if value is None else str(tuple(value.shape))
        raise ConfigError(f"{name}: got {got}, expected shape (N, {features})")
