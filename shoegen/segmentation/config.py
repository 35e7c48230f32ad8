"""What a segmenter is and how it is trained, as dataclasses that the run folder keeps as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig, LoopConfig
from shoegen.torch_utils.text import describe_size

MAX_SIDE = 16384  # pixels
MAX_CLASSES = 255  # the value 255 of a part map is `IGNORED`
LOSSES = ("ce", "focal", "dice")
SCHEDULES = ("onecycle", "cyclical", "constant")
CLASS_WEIGHTS = ("none", "damped", "balanced")


@dataclass(frozen=True, kw_only=True)
class NetConfig(JsonConfig):
    """What every network has.

    classes: how many labels it tells apart, the background among them. resolution: (height, width) in pixels of the
    pictures it was trained on, or the side of squares; pictures are scaled to fit into it before they are segmented.
    width, blocks: channels as multiples of the paper's, and layers per stage; None: the paper's. pretrained: the
    encoder began with weights of ImageNet, whose normalisation of pictures goes with them.
    """

    classes: int = 7
    resolution: int | tuple[int, int] = 128
    width: float = 1.0
    blocks: tuple[int, ...] | None = None
    pretrained: bool = False

    def __post_init__(self) -> None:
        if self.blocks is not None:
            object.__setattr__(self, "blocks", tuple(self.blocks))  # JSON has lists only
        if not 2 <= self.classes <= MAX_CLASSES:
            raise ConfigError(
                f"classes is {self.classes}, expected 2 to {MAX_CLASSES}; give a labels file of as many names"
            )
        if not isinstance(self.resolution, int):
            height, width = self.resolution
            object.__setattr__(self, "resolution", height if height == width else (height, width))
        if min(self.size) < 32:
            raise ConfigError(
                f"resolution is {describe_size(self.size)}, expected at least 32; choose a larger --resolution"
            )
        if max(self.size) > MAX_SIDE:
            raise ConfigError(
                f"resolution is {describe_size(self.size)}, expected at most {MAX_SIDE}; choose a smaller --resolution"
            )
        if not 0 < self.width < math.inf:
            raise ConfigError(f"width is {self.width}, expected more than 0; change --width")

    FREE: ClassVar[tuple[str, ...]] = ("classes", "resolution")
    """What may differ from a network that a training starts from."""

    def settled(self) -> Self:
        """With what is left open decided, once it is known whether there are pretrained weights."""
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures it was trained on."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    def stages(self, of_paper: tuple[int, ...]) -> tuple[int, ...]:
        """Layers per stage.

        Raises:
            ConfigError: `blocks` has another number of stages than the architecture, or an empty one.
        """
        blocks = of_paper if self.blocks is None else self.blocks
        if len(blocks) != len(of_paper) or min(blocks) < 1:
            raise ConfigError(
                f"blocks is {blocks}, expected {len(of_paper)} numbers of at least 1, such as {of_paper}"
            )
        return blocks


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(NetConfig):
    """A semantic segmenter, see `NetConfig` too.

    architecture: a name in `shoegen.segmentation.models.ARCHITECTURES`. encoder, decoder_channels: of the U-Net,
    deepest stage first; one stage for each halving of the picture. width and blocks are of all others. focused: it was
    trained to be the second network of a cascade.
    """

    FREE: ClassVar[tuple[str, ...]] = (*NetConfig.FREE, "focused")

    architecture: str = "unet"
    encoder: str = "tu-regnetx_002"
    decoder_channels: tuple[int, ...] = (96, 48, 32, 24, 12)
    focused: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "decoder_channels", tuple(self.decoder_channels))
        if not 3 <= len(self.decoder_channels) <= 5:
            raise ConfigError(f"decoder_channels has {len(self.decoder_channels)} stages, expected 3 to 5")
        if self.architecture == "unet" and (self.width != 1 or self.blocks is not None):
            raise ConfigError("a U-Net has no --width; choose another --encoder, or another --arch")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(JsonConfig):
    """Ranges of the random changes that `augment` makes; probabilities are per picture. See `augment`.

    The values given here are those for pictures before a plain background, see `AUGMENTATIONS`.
    """

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


_NOTHING = AugmentConfig(
    rotation=0, scale=0, aspect=0, shift=0, background=0, patches=0, color=0, blur=0, low_resolution=0, noise=0,
    cutout=0,
)  # fmt: skip
AUGMENTATIONS = {
    "studio": AugmentConfig(),
    # The scene behind people is real and belongs to them; they walk both ways, and come near and far.
    "street": AugmentConfig(
        flip=0.5, rotation=8.0, scale=0.35, shift=0.1, background=0, patches=0, color=0.6, blur=0.15,
        low_resolution=0.15, smallest=64, largest=256, noise=0.2, cutout=0.2,
    ),
    "none": _NOTHING,
}  # fmt: skip
"""By kind of pictures: "studio" before a plain background of class 0, "street" in any surroundings."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(LoopConfig):
    """What every training run of a segmenter has, see `LoopConfig` too.

    data: its labels are the model's classes.
    val: other data to validate on; None: a share of the data, `val_share`, is held out. allow_shared: do so
    even if pictures of it are among those to learn from.
    init_from: a segmenter to start from, "default" for the shipped one.
    learning_rate: the highest of the schedule. schedule, cycle: see `schedules.learning_rate`; cycle in images, None
    for 8 passes over the data.
    patience: after so many evaluations without a better score the run ends; None: never.
    """

    model: NetConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    images: int = 60_000
    learning_rate: float = 2e-3
    schedule: str = "onecycle"
    cycle: int | None = None
    weight_decay: float = 1e-2
    val: str | None = None
    val_share: float = 0.05
    allow_shared: bool = False
    patience: int | None = None
    skip_bad: bool = False
    init_from: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.val_share < 1:
            raise ConfigError(f"val_share is {self.val_share}, expected between 0 and 1; change --val-share")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}, expected more than 0; change --lr")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"--schedule: got {self.schedule!r}, expected one of {', '.join(SCHEDULES)}")
        if self.cycle is not None and (self.schedule != "cyclical" or self.cycle < 2 * self.batch):
            raise ConfigError(
                f"--cycle: got {self.cycle} with --schedule {self.schedule}, expected at least two batches of images, "
                "and --schedule cyclical"
            )
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"--patience: got {self.patience}, expected at least 1 evaluation")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """A training of a semantic segmenter, see `RunConfig` too.

    data, val: folders or zips with part maps. after: the first network of a cascade, "default" for the shipped one; the
    model learns to be its second.
    loss: see `parse_loss`. class_weights: of cross-entropy and focal loss, by class frequency: "none", "damped"
    (frequency^−¼), "balanced" (1 / frequency), or a number for each class.
    """

    model: SegmenterConfig = field(default_factory=SegmenterConfig)
    loss: str = "ce+dice"
    class_weights: str | tuple[float, ...] = "damped"
    after: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.focused != (self.after is not None):
            object.__setattr__(self, "model", replace(self.model, focused=self.after is not None))
        parse_loss(self.loss)
        self._check_class_weights()

    def _check_class_weights(self) -> None:
        if isinstance(self.class_weights, str):
            if self.class_weights not in CLASS_WEIGHTS:
                raise ConfigError(
                    f"--class-weights: got {self.class_weights!r}, expected {', '.join(CLASS_WEIGHTS)}, or a number "
                    "for each class such as 0.1,1,2"
                )
            return
        object.__setattr__(self, "class_weights", tuple(self.class_weights))
        if not all(0 <= weight < math.inf for weight in self.class_weights) or not any(self.class_weights):
            raise ConfigError(
                f"--class-weights: got {self.class_weights}, expected numbers from 0 on, not all 0"
            )


def parse_loss(text: str) -> dict[str, float]:
    """ "ce+0.5*dice" → {"ce": 1.0, "dice": 0.5}.

    Raises:
        ConfigError: not a sum of `LOSSES`, each at most once, with weights above 0.
    """
    terms: dict[str, float] = {}
    for term in text.replace(" ", "").split("+"):
        weight, _, name = term.rpartition("*")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            value = math.nan
        if name not in LOSSES or name in terms or not 0 < value < math.inf:
            raise ConfigError(
                f"--loss: got {text!r}, expected {', '.join(LOSSES)} or a sum such as ce+dice or focal+0.5*dice"
            )
        terms[name] = value
    return terms
