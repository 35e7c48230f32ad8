"""What a segmenter is and how it is trained, as dataclasses that the run folder keeps as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(JsonConfig):
    """A network.

    architecture: a name in `shoegen.segmentation.models.ARCHITECTURES`.
    classes: how many labels it tells apart.
    resolution: side in pixels of the squares it was trained on; pictures are brought to it before they are
    segmented. encoder, decoder_channels: of the U-Net, deepest stage first; one stage for each halving of
    the picture.
    """

    architecture: str = "unet"
    classes: int = 7
    resolution: int = 128
    encoder: str = "tu-regnetx_002"
    decoder_channels: tuple[int, ...] = (96, 48, 32, 24, 12)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder_channels", tuple(self.decoder_channels))  # JSON has lists only
        if self.classes < 2:
            raise ConfigError(
                f"classes is {self.classes}, expected at least 2; give a labels file with more names"
            )
        if self.resolution < 32:
            raise ConfigError(
                f"resolution is {self.resolution}, expected at least 32; choose a larger --resolution"
            )
        if not 3 <= len(self.decoder_channels) <= 5:
            raise ConfigError(f"decoder_channels has {len(self.decoder_channels)} stages, expected 3 to 5")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(JsonConfig):
    """Ranges of the random changes that `augment` makes; probabilities are per picture. See `augment`."""

    flip: float = 0.0  # off: the heel stays at its end
    rotation: float = 6.0  # degrees, standard deviation
    scale: float = 0.2  # of log2, standard deviation
    aspect: float = 0.08  # of log2, standard deviation
    shift: float = 0.05  # of the picture's side, standard deviation
    background: float = 0.5  # probability of another background
    patches: float = 0.25  # probability of blobs of another colour on the shoe
    color: float = 0.8  # probability of other brightness, contrast, gamma, hue, saturation
    blur: float = 0.3  # probability
    low_resolution: float = 0.4  # probability of passing through `smallest` … `largest` pixels
    smallest: int = 24
    largest: int = 80
    noise: float = 0.4  # probability
    cutout: float = 0.15  # probability


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(JsonConfig):
    """A training run. Progress is counted in images shown.

    data: folder or zip with part maps; the model's classes are its labels. images: how many to show.
    batch: images per step. init_from: a segmenter.safetensors to start from, "default" for the shipped one.
    learning_rate: the peak of the one-cycle schedule. val_share: share of the data held out for validation.
    dice: weight of the Dice loss beside cross-entropy. weight_damping: class weights are frequency^−damping.
    evaluate_every, save_every, log_every: in images.
    """

    data: str
    model: SegmenterConfig = field(default_factory=SegmenterConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    images: int = 60_000
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    dice: float = 1.0
    weight_damping: float = 0.25
    val_share: float = 0.05
    seed: int = 0
    skip_bad: bool = False
    init_from: str | None = None
    log_every: int = 800
    evaluate_every: int = 8_000
    save_every: int = 4_000

    def __post_init__(self) -> None:
        for name in ("log_every", "evaluate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.images < 1:
            raise ConfigError(f"images is {self.images}, expected at least 1; change --images")
        if self.batch < 2:
            raise ConfigError(
                f"batch is {self.batch}, expected at least 2 (batch normalisation needs two); change --batch"
            )
        if not 0 < self.val_share < 1:
            raise ConfigError(f"val_share is {self.val_share}, expected between 0 and 1; change --val-share")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}, expected more than 0; change --lr")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}, expected 0 to 2³² − 1; change --seed")
