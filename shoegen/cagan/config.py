"""What a conditional analogy GAN is and how it is trained, as dataclasses that the run folder keeps as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig, LoopConfig
from shoegen.torch_utils.text import describe_size

Size = tuple[int, int]

LEVELS = 4  # times that the networks halve a picture
MULTIPLE = 2**LEVELS
MAX_SIDE = 2048
MAX_CHANNELS = 4096
GAN_LOSSES = ("log", "hinge", "square")
D_NORMS = ("batch", "spectral")


@dataclass(frozen=True, kw_only=True)
class CaganConfig(JsonConfig):
    """The generator.

    resolution: (height, width) in pixels, or the side of squares, that four halvings divide. channels: after each
    halving; the decoder mirrors them. features: the decoder sees the encoder's features too and not the down-scaled
    pictures alone. attention: after how many halvings the photo's features look at those of the article to wear, which
    is also carried to where they look; () for none. head: channels of one more layer at full resolution, 0 for none.
    """

    resolution: int | Size = 128
    channels: tuple[int, ...] = (64, 128, 256, 512)
    features: bool = False
    attention: tuple[int, ...] = ()
    head: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only
        if not isinstance(self.resolution, int):
            height, width = self.resolution
            object.__setattr__(self, "resolution", height if height == width else (height, width))
        if any(not 2 * MULTIPLE <= side <= MAX_SIDE or side % MULTIPLE for side in self.size):
            raise ConfigError(
                f"resolution is {describe_size(self.size)}, expected multiples of {MULTIPLE} from {2 * MULTIPLE} to "
                f"{MAX_SIDE}; change --resolution"
            )
        _check_channels(self.channels)
        if sorted(set(self.attention)) != sorted(self.attention) or not {*self.attention} <= {2, 3, 4}:
            raise ConfigError(f"attention is {self.attention}, expected some of 2, 3, 4 halvings")
        if self.head < 0:
            raise ConfigError(f"head is {self.head}, expected 0 or more channels")

    @property
    def size(self) -> Size:
        """(height, width)."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(JsonConfig):
    """The discriminator. channels: after each halving. norm: "batch" or "spectral"."""

    channels: tuple[int, ...] = (64, 128, 256, 512)
    norm: str = "batch"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        _check_channels(self.channels)
        if self.norm not in D_NORMS:
            raise ConfigError(f"--d-norm: got {self.norm!r}, expected {' or '.join(D_NORMS)}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LoopConfig):
    """A training, see `LoopConfig` too. Progress is counted in images shown; an iteration is one batch.

    data: pairs, see `shoegen.cagan.data`. val: others to validate on; None: those of a share of the articles,
    `val_share`, are held out.
    learning_rate_g, learning_rate_d, betas: of Adam. decay: share of the training, at its end, over which both rates
    fall to 0.
    gan_loss: see `shoegen.cagan.loss`. identity: γ_id, weight of the mask's mean. cycle: γ_cyc, of the way back. truth:
    of the distance to the true picture of the swap, where the data has it; at 0
    only evaluations look at it.
    ema: half-life of the averaged generator in images; 0: none.
    flip: probability of a mirror image of photo and articles.
    sheets_at: iterations after which a sheet of samples is drawn, evaluations aside.
    skip_bad: leave out pairs that cannot be used. init_from: a model to start from, "default" for the shipped one.
    """

    LEAST_SHARE: ClassVar[int] = 1

    model: CaganConfig = field(default_factory=CaganConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    images: int = 144_000
    learning_rate_g: float = 2e-4
    learning_rate_d: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0
    gan_loss: str = "log"
    identity: float = 0.1
    cycle: float = 1.0
    truth: float = 0.0
    ema: float = 0.0
    flip: float = 0.0
    val: str | None = None
    val_share: float = 0.05
    sheets_at: tuple[int, ...] = ()
    skip_bad: bool = False
    init_from: str | None = None
    evaluate_every: int = 16_000
    save_every: int = 8_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("betas", "sheets_at"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, option in (("learning_rate_g", "--lr-g"), ("learning_rate_d", "--lr-d")):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0; change {option}")
        for name, option in (
            ("identity", "--identity"),
            ("cycle", "--cycle"),
            ("truth", "--truth-weight"),
            ("ema", "--ema"),
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{option}: got {getattr(self, name)}, expected 0 or more")
        for name in ("flip", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name}: got {getattr(self, name)}, expected 0 to 1")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas: got {self.betas}, expected two numbers from 0 to below 1")
        if self.gan_loss not in GAN_LOSSES:
            raise ConfigError(f"--gan-loss: got {self.gan_loss!r}, expected {', '.join(GAN_LOSSES)}")
        if not 0 < self.val_share < 1:
            raise ConfigError(f"val_share is {self.val_share}, expected between 0 and 1; change --val-share")
        if any(each < 1 for each in self.sheets_at):
            raise ConfigError(f"--sheets-at: got {self.sheets_at}, expected iterations from 1 on")


# ---- presets: (data, resolution) ----


def paper_config(data: str, resolution: int | Size = 128) -> TrainingConfig:
    """As published, for the 9,000 iterations whose results are quoted; the batch of 16 is ours."""
    return TrainingConfig(data=data, model=CaganConfig(resolution=resolution), sheets_at=(1, 4000, 9000))


def modern_config(data: str, resolution: int | Size = 128) -> TrainingConfig:
    """Spectral norm and hinge loss instead of batch norm and logarithms, attention on the article, averaged weights."""
    config = paper_config(data, resolution)
    return override(
        config,
        d_norm="spectral",
        features=True,
        attention=(4, 3),
        head=32,
        gan_loss="hinge",
        betas=(0.5, 0.99),
        ema=2_000,
    )


def small_config(data: str, resolution: int | Size = 64) -> TrainingConfig:
    """`modern`, narrowed to what two CPU cores train: at 64 pixels in minutes to an hour.

    With attention at finer levels (3, 2) the first thousands of pictures taught less.
    """
    config = override(
        modern_config(data, resolution),
        channels=(32, 64, 128, 192),
        head=16,
        d_channels=(32, 64, 128, 128),
    )
    return dataclasses.replace(config, learning_rate_g=4e-4, learning_rate_d=4e-4, decay=0.5)


PRESETS: dict[str, Callable[..., TrainingConfig]] = {
    "paper": paper_config,
    "modern": modern_config,
    "small": small_config,
}


def override(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The configuration with some fields changed; of the generator's `resolution`, `channels`, `features`, `attention`,
    `head`, of the discriminator's `d_channels`, `d_norm`. None changes nothing."""
    given = {name: value for name, value in changes.items() if value is not None}
    own = {each.name for each in dataclasses.fields(CaganConfig)}
    model = {name: given.pop(name) for name in own & set(given)}
    critic = {name: given.pop(f"d_{name}") for name in ("channels", "norm") if f"d_{name}" in given}
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **model),
        discriminator=dataclasses.replace(config.discriminator, **critic),
        **given,
    )


def _check_channels(channels: tuple[int, ...]) -> None:
    if len(channels) != LEVELS or not all(1 <= each <= MAX_CHANNELS for each in channels):
        raise ConfigError(
            f"channels is {channels}, expected {LEVELS} numbers from 1 to {MAX_CHANNELS}, such as 64, 128, 256, 512"
        )
