"""What a SPADE is and how it is trained, as dataclasses that the run folder keeps as JSON; presets are functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig, LoopConfig

Size = tuple[int, int]  # height, width
Norm = Literal["batch", "instance", "group", "none"]
PerceptualNet = Literal["auto", "vgg19", "segmenter", "none"]
MAX_CLASSES = 255  # the value 255 of a part map is `shoegen.data.labels.IGNORED`
MAX_SIDE = 2048
MAX_CHANNELS = 4096
MAX_D_LAYERS = 8  # beyond, a patch is larger than any picture
UPSAMPLINGS = {"normal": 5, "more": 6, "most": 7}
"""How often the generator doubles its features, by the published names."""


@dataclass(frozen=True, kw_only=True)
class SpadeConfig(JsonConfig):
    """The generator and the style encoder.

    classes: labels of a part map. edges: boundaries of instances are one more channel of what is painted.
    resolution: side of the pictures, or (height, width); a multiple of 32, 64 or 128, by `upsampling`.
    channels: of the generator's last features; `max_channels` limits those of all layers, None: 16 times `channels`, as
    published.
    hidden: channels between a part map and the modulation that follows from it, 128 in the paper.
    modulation_kernel: pixels, 3 as published, of the convolution from there to scale and shift; 1 is half the work and
    loses little (arXiv 2012.04644 finds that hardly more than the class of a pixel matters).
    norm: what the modulation acts on; "batch" is the published one, over all processes' pictures.
    z_dim: length of the style; None: no style, the generator begins with the part map itself, as published too.
    shared_skip: the way around a block's convolutions begins with what the first of them sees, instead of with a
    modulation of its own as published; a fifth less work.
    styled: the style enters every modulation, not only the beginning: colours then follow it more closely.
    encoder_channels, encoder_norm: of the style encoder; "instance" is the published one, which loses the mean of each
    feature and with it much of the colour.
    """

    classes: int = 7
    edges: bool = False
    resolution: int | Size = 256
    channels: int = 64
    max_channels: int | None = None
    upsampling: Literal["normal", "more", "most"] = "normal"
    hidden: int = 128
    modulation_kernel: int = 3
    norm: Norm = "batch"
    shared_skip: bool = False
    z_dim: int | None = 256
    styled: bool = False
    encoder_channels: int = 64
    encoder_norm: Norm = "instance"

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= MAX_CLASSES:
            raise ConfigError(
                f"classes is {self.classes}, expected 1 to {MAX_CLASSES}; give a labels file of as many names"
            )
        if self.upsampling not in UPSAMPLINGS:
            raise ConfigError(f"--upsampling: got {self.upsampling!r}, expected {_or(UPSAMPLINGS)}")
        for option, value in (("--norm", self.norm), ("--encoder-norm", self.encoder_norm)):
            if value not in get_args(Norm):
                raise ConfigError(f"{option}: got {value!r}, expected {_or(get_args(Norm))}")
        if not isinstance(self.resolution, int):  # JSON has lists, and squares have one name
            height, width = self.resolution
            object.__setattr__(self, "resolution", height if height == width else (height, width))
        step = 2**self.doublings
        if any(not step <= side <= MAX_SIDE or side % step for side in self.size):
            raise ConfigError(
                f"--resolution: got {self.size[1]}x{self.size[0]} (width x height), expected multiples of {step} up to "
                f"{MAX_SIDE} where --upsampling is {self.upsampling}"
            )
        if self.norm == "instance" and self.start_size == (1, 1):
            raise ConfigError(
                f"--norm instance: the first features would be a single place; expected a resolution above {step}, or "
                "another --norm"
            )
        for name in ("channels", "max_channels", "hidden", "z_dim", "encoder_channels"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_CHANNELS:
                least = "at least 1" if value < 1 else f"at most {MAX_CHANNELS}"
                raise ConfigError(f"{name} is {value}, expected {least}; change --{name.replace('_', '-')}")
        if self.modulation_kernel not in (1, 3):
            raise ConfigError(f"--modulation-kernel: got {self.modulation_kernel}, expected 1 or 3")
        if self.channels < 2 and self.upsampling == "most":
            raise ConfigError(
                "channels is 1, expected at least 2 where --upsampling is most; change --channels"
            )
        if self.styled and self.z_dim is None:
            raise ConfigError("styled modulation needs a style; give --z-dim, or leave styled off")

    @property
    def size(self) -> Size:
        """(height, width) of the pictures."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    @property
    def doublings(self) -> int:
        """How often the first features are doubled to give the picture."""
        return UPSAMPLINGS[self.upsampling]

    @property
    def start_size(self) -> Size:
        """(height, width) of the first features."""
        return self.size[0] // 2**self.doublings, self.size[1] // 2**self.doublings

    @property
    def semantic_channels(self) -> int:
        """Channels of a part map as the networks see it: one for each class, one for edges."""
        return self.classes + self.edges

    @property
    def encoder_side(self) -> int:
        """Side of the squares that the style encoder scales pictures to: a power of two, at most 256."""
        return 2 ** max(min(math.floor(math.log2(max(self.size))), 8), 5)

    def width(self, multiple: float) -> int:
        """Channels of a layer that the paper gives as a multiple of `channels`."""
        return min(int(multiple * self.channels), self.max_channels or 16 * self.channels)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(JsonConfig):
    """Patch discriminators of `layers` layers, one on the pictures and one on each further halving of them."""

    channels: int = 64
    layers: int = 4
    scales: int = 2

    def __post_init__(self) -> None:
        for name, option, most in (
            ("channels", "--d-channels", MAX_CHANNELS),
            ("layers", "--d-layers", MAX_D_LAYERS),
            ("scales", "--scales", MAX_D_LAYERS),
        ):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{option}: got {getattr(self, name)}, expected 1 to {most}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LoopConfig):
    """A whole training run, see `LoopConfig` too.

    data, val: pictures with part maps, see `shoegen.spade.data`; val None: the share `val_share` of the data is held
    out; allow_shared: validate even on pictures that are among those to learn from.
    maps, labels: of `data`: the part maps where they lie apart from the pictures, and the labels file of their classes.
    instances: of `data`: numbers of the things in it, whose boundaries are painted too; for a model with edges.
    fit: how pictures of another shape come to the model's, see `shoegen.data.images.fit_image`.
    learning_rate_g (of the generator and the encoder), learning_rate_d: constant over the first half of the run, then
    falling to 0 linearly. beta1, beta2: of Adam.
    feature_matching, perceptual, kl: weights of the losses; the adversarial one has 1. perceptual_net: "vgg19",
    "segmenter", "none", or "auto" for VGG19 where its weights are on disk, else the segmenter.
    ema: images after which a step counts for half in the averaged networks; 0: no average.
    flip: mirror pictures at random. init_from: a painter to start from, "default" for the shipped one.
    skip_bad: leave out pictures that cannot be used.
    """

    LEAST_SHARE: ClassVar[int] = 1  # the batch norms of all processes are one

    model: SpadeConfig = field(default_factory=SpadeConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    images: int = 1_000_000
    batch: int = 32
    learning_rate_g: float = 1e-4
    learning_rate_d: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.9
    feature_matching: float = 10.0
    perceptual: float = 10.0
    kl: float = 0.05
    perceptual_net: PerceptualNet = "auto"
    ema: float = 10_000.0
    flip: bool = False
    maps: str | None = None
    labels: str | None = None
    instances: str | None = None
    fit: str = "strict"
    val: str | None = None
    val_share: float = 0.05
    allow_shared: bool = False
    skip_bad: bool = False
    init_from: str | None = None
    evaluate_every: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch < 2 and self.model.norm == "batch":
            raise ConfigError(
                "--batch: got 1, expected at least 2 with --norm batch; or take --norm instance"
            )
        for option, value in (("--lr-g", self.learning_rate_g), ("--lr-d", self.learning_rate_d)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{option}: got {value:g}, expected a learning rate above 0")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise ConfigError(
                f"Adam's betas are {self.beta1:g} and {self.beta2:g}, expected from 0 to below 1"
            )
        for name in ("feature_matching", "perceptual", "kl", "ema"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(
                    f"--{name.replace('_', '-')}: got {getattr(self, name):g}, expected at least 0"
                )
        most = (max(self.model.size) - 1).bit_length()
        if self.discriminator.scales > most:  # instance norm needs more than a single place
            raise ConfigError(
                f"--scales: got {self.discriminator.scales}, expected at most {most}: the last one would see a single "
                "pixel"
            )
        if self.perceptual_net not in get_args(PerceptualNet):
            raise ConfigError(
                f"--perceptual-net: got {self.perceptual_net!r}, expected {_or(get_args(PerceptualNet))}"
            )
        if not 0 < self.val_share < 1:
            raise ConfigError(f"val_share is {self.val_share}, expected between 0 and 1; change --val-share")


def paper256_config(data: str, *, classes: int = 7, resolution: int | Size = 256) -> TrainingConfig:
    """The published figures for 256 px (arXiv 1903.07291, section 4); 50 epochs of 20,000 pictures."""
    return TrainingConfig(data=data, model=SpadeConfig(classes=classes, resolution=resolution))


def small_config(data: str, *, classes: int = 7, resolution: int | Size = 128) -> TrainingConfig:
    """`paper256`, narrowed to what two CPU cores train in hours, with a style that decides about colours.

    Generator and encoder have 3.5 million parameters together: 7 MB in 16 bit.
    """
    return override(
        paper256_config(data, classes=classes, resolution=resolution),
        channels=16,
        max_channels=192,
        hidden=48,
        modulation_kernel=1,
        shared_skip=True,
        z_dim=64,
        styled=True,
        encoder_channels=16,
        encoder_norm="group",
        d_channels=16,
        images=300_000,
        batch=8,
        kl=0.01,  # at 0.05 what a style costs is more than what its hue gains
        learning_rate_g=4e-4,
        learning_rate_d=4e-4,
        ema=2_000.0,
    )


Preset = Callable[..., TrainingConfig]
PRESETS: dict[str, Preset] = {"paper256": paper256_config, "small": small_config}


def override(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The configuration with some fields changed, also those of the networks, by their names; None changes nothing.

    Those of the discriminator are `d_channels`, `d_layers` and `scales`.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    own = {each.name for each in dataclasses.fields(SpadeConfig)}
    of_model = {name: changes.pop(name) for name in own & set(changes)}
    names = {"d_channels": "channels", "d_layers": "layers", "scales": "scales"}
    of_discriminator = {field: changes.pop(name) for name, field in names.items() if name in changes}
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **of_model),
        discriminator=dataclasses.replace(config.discriminator, **of_discriminator),
        **changes,
    )


def _or(names: Any) -> str:
    *rest, last = names
    return f"{', '.join(rest)} or {last}"
