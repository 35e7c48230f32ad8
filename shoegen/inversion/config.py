"""What an encoder is and how it is trained, as dataclasses that the run folder keeps as JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig, LoopConfig

MAX_CHANNELS = 2048
LEVELS = 5  # at most, times that a picture is halved


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(JsonConfig):
    """The network. resolution: (height, width) that it sees pictures at. img_channels, num_ws, w_dim: of its generator.
    channels: at full resolution and after each halving. hidden: features before the latent."""

    resolution: tuple[int, int]
    num_ws: int
    w_dim: int
    img_channels: int = 3
    channels: tuple[int, ...] = (32, 64, 96, 128, 160)
    hidden: int = 256

    def __post_init__(self) -> None:
        for name in ("resolution", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only
        halvings = len(self.channels) - 1
        if not 1 <= halvings <= LEVELS or not all(1 <= each <= MAX_CHANNELS for each in self.channels):
            raise ConfigError(
                f"channels is {self.channels}, expected 2 to {LEVELS + 1} numbers from 1 to {MAX_CHANNELS}, such as "
                "32, 64, 96, 128, 160; change --channels"
            )
        if len(self.resolution) != 2 or not all(2**halvings <= side <= 4096 for side in self.resolution):
            raise ConfigError(
                f"resolution is {self.resolution}, expected sides from {2**halvings}, which {halvings} halvings take"
            )
        if min(self.num_ws, self.w_dim, self.hidden, self.img_channels) < 1:
            raise ConfigError(
                f"num_ws {self.num_ws}, w_dim {self.w_dim}, hidden {self.hidden}, img_channels "
                f"{self.img_channels}: expected at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LoopConfig):
    """A training, see `LoopConfig` too; `data` is the generator whose samples are learned from.

    channels, hidden: as in `EncoderConfig`. psi: truncation of the samples, drawn between the two for each. mixed:
    share of the samples whose later layers have another w than the first.
    learning_rate: of Adam. decay: share of the training, at its end, over which it falls to 0.
    latent: weight of the distance to the sample's latent, in sigmas. image: to its picture. perceptual: to its features
    in the shipped segmenter. compared: share of a batch whose pictures are drawn for the latter two.
    noise: standard deviation of what is added to the pictures that the encoder sees, in [−1, 1]; shift: pixels by which
    they are moved at most, since no photograph is placed exactly.
    ema: half-life of the averaged encoder in images, which files have.
    """

    LEAST_SHARE: ClassVar[int] = 1

    data: str = "default"
    channels: tuple[int, ...] = (32, 64, 96, 128, 160)
    hidden: int = 256
    images: int = 120_000
    learning_rate: float = 2e-3
    decay: float = 0.5
    psi: tuple[float, float] = (0.5, 1.0)
    mixed: float = 0.3
    latent: float = 1.0
    image: float = 1.0
    perceptual: float = 0.0
    compared: float = 0.25
    noise: float = 0.03
    shift: int = 1
    ema: float = 2_000.0
    evaluate_every: int = 16_000
    save_every: int = 8_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("channels", "psi"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"--lr: got {self.learning_rate:g}, expected more than 0")
        if len(self.psi) != 2 or not 0 <= self.psi[0] <= self.psi[1] <= 2:
            raise ConfigError(f"psi: got {self.psi}, expected two numbers from 0 to 2, the lower first")
        for name in ("mixed", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected 0 to 1")
        if not 0 < self.compared <= 1:
            raise ConfigError(f"compared: got {self.compared}, expected more than 0 and at most 1")
        for name in ("latent", "image", "perceptual", "noise", "ema", "shift"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if not self.latent + self.image + self.perceptual:
            raise ConfigError("latent, image and perceptual are all 0; give one of them some weight")


def override(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The configuration with some fields changed; None changes nothing."""
    return dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )
