"""Configurations: keyword-only dataclasses; presets are functions; the run folder keeps them as JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig

Architecture = Literal["orig", "skip", "resnet"]


def check_resolution(resolution: int) -> int:
    """Raises ConfigError unless `resolution` is a power of two from 8 to 1024."""
    if resolution < 8 or resolution > 1024 or resolution & (resolution - 1):
        raise ConfigError(f"resolution: got {resolution}, expected a power of two from 8 to 1024")
    return resolution


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(JsonConfig):
    """What both networks have. Channels at resolution r: min(channel_base // r, channel_max)."""

    resolution: int
    c_dim: int = 0
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        if self.architecture not in get_args(Architecture):
            raise ConfigError(f"architecture: got {self.architecture!r}, expected orig, skip or resnet")

    def channels(self, resolution: int) -> int:
        """How many channels the features have at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(NetworkConfig):
    """z (N, z_dim) and class c (N, c_dim) → w (N, w_dim) → images."""

    z_dim: int = 512
    w_dim: int = 512
    architecture: Architecture = "skip"


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(NetworkConfig):
    """`mapping_layers` concerns conditional training only; `mbstd_group`: images whose deviation D sees."""

    architecture: Architecture = "resnet"
    mbstd_group: int = 4


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(JsonConfig):
    """Adaptive augmentation (arXiv 2006.06676): p moves so that r_t stays at `target`."""

    mode: Literal["ada", "fixed", "none"] = "ada"
    pipe: str = "bgc"
    p: float = 0.0  # where ada starts, and what fixed keeps
    target: float = 0.6
    interval: int = 4  # batches between adjustments
    speed_kimg: float = 500.0  # images that take p from 0 to 1

    def __post_init__(self) -> None:
        if self.mode not in ("ada", "fixed", "none"):
            raise ConfigError(f"augment: got {self.mode!r}, expected ada, fixed or none")
        if not 0 <= self.p <= 1 or not -1 <= self.target <= 1:
            raise ConfigError(
                f"--augment-p {self.p:g}, --target {self.target:g}: expected a probability, and a target from -1 to 1"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(JsonConfig):
    """A whole training run. Lengths are counted in images or kimg (thousands of images shown)."""

    data: str  # folder or zip of pictures
    fit: str = "strict"  # see `ImageDataset`, as for the next two
    skip_bad: bool = False
    mirror: bool = False
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch: int = 32
    learning_rate: float = 0.0025
    r1_gamma: float = 1.0
    r1_interval: int = 16
    path_length_weight: float = 2.0
    path_length_decay: float = 0.01
    path_length_interval: int = 4
    path_length_batch_shrink: int = 2
    style_mixing: float = 0.9
    init_from: str | None = None  # a checkpoint of another run, see `Trainer.init_from`
    noise: bool = True  # per-pixel noise in the generator's layers
    ema_kimg: float = 10.0
    ema_rampup: float | None = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf or not 0 <= self.r1_gamma < math.inf:
            raise ConfigError(
                f"--lr {self.learning_rate:g}, --gamma {self.r1_gamma:g}: expected a learning rate above 0 and a "
                "gamma of at least 0"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed: got {self.seed}, expected a whole number from 0 to 2³² − 1")
        if self.generator.c_dim or self.discriminator.c_dim:
            raise ConfigError("c_dim: conditional networks can be used, but not trained yet; leave it at 0")
        group = self.discriminator.mbstd_group
        if self.batch < 1 or self.batch % min(group, self.batch):
            raise ConfigError(f"batch: got {self.batch}, expected a multiple of the mbstd group {group}")
        if self.generator.resolution != self.discriminator.resolution:
            raise ConfigError("resolution: generator and discriminator differ; give both the same")


def auto_config(
    data: str, resolution: int, *, batch: int | None = None, augment: AugmentConfig | None = None
) -> TrainingConfig:
    """The published `auto` preset for one device: everything follows from the resolution."""
    check_resolution(resolution)
    if batch is not None and batch < 1:
        raise ConfigError(f"--batch: got {batch}, expected at least 1")
    if batch is None:
        batch = max(min(4096 // resolution, 32), 1)
    channel_base = 32768 if resolution >= 512 else 16384
    return TrainingConfig(
        data=data,
        generator=GeneratorConfig(resolution=resolution, mapping_layers=2, channel_base=channel_base),
        discriminator=DiscriminatorConfig(
            resolution=resolution, channel_base=channel_base, mbstd_group=min(batch, 4)
        ),
        augment=augment or AugmentConfig(),
        batch=batch,
        learning_rate=0.002 if resolution >= 1024 else 0.0025,
        r1_gamma=0.0002 * resolution**2 / batch,
        ema_kimg=batch * 10 / 32,
    )


def cpu_config(
    data: str, resolution: int, *, batch: int | None = None, augment: AugmentConfig | None = None
) -> TrainingConfig:
    """`auto`, narrowed to what a laptop's CPU trains in hours: at most 128 channels, z and w of 128, batch 16.

    Chosen by looking at the first tens of kimg on synthetic shoes: with `auto`'s gamma the discriminator runs away
    (r_t 0.98), and with noise the outlines are speckled.
    """
    config = auto_config(data, resolution, batch=16 if batch is None else batch, augment=augment)
    return dataclasses.replace(
        config,
        r1_gamma=0.0003 * resolution**2,
        noise=False,
        generator=dataclasses.replace(
            config.generator, z_dim=128, w_dim=128, channel_base=1024, channel_max=128
        ),
        discriminator=dataclasses.replace(config.discriminator, channel_base=1024, channel_max=128),
    )


PRESETS = {"auto": auto_config, "cpu": cpu_config}
