"""Configurations: keyword-only dataclasses; presets are functions; the run folder keeps them as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

from shoegen.errors import ConfigError
from shoegen.torch_utils.config import JsonConfig

Architecture = Literal["orig", "skip", "resnet"]
Precision = Literal["float32", "float16", "bfloat16"]
Size = tuple[int, int]  # height, width
MAX_SIDE = 2048


def smallest_size(resolution: int | Size) -> tuple[Size, int]:
    """The size that a network starts from, and how often it is doubled to give `resolution`.

    256 → ((4, 4), 6); (256, 384), which is (height, width), → ((4, 6), 6).

    Raises:
        ConfigError: the sides are not a small size times a power of two.
    """
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    (height, width), doublings = sides, 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, doublings = height // 2, width // 2, doublings + 1
    short, long = sorted((height, width))
    if not doublings or not 4 <= short < 8 or long > 16 or max(sides) > MAX_SIDE:
        got = sides[0] if sides[0] == sides[1] else f"{sides[1]}x{sides[0]} (width x height)"
        raise ConfigError(
            f"resolution: got {got}, expected from 8 to {MAX_SIDE}: a power of two such as 64, 128 or 256, or sides "
            "that share one, such as 96, 192x128 or 384x256 (the short side 4 to 7 times it, the long at most 16)"
        )
    return (height, width), doublings


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(JsonConfig):
    """What both networks have.

    Blocks are named by their nominal resolution r = 4, 8, 16, …, which for powers of two is the side in pixels; at r
    there are min(channel_base // r, channel_max) channels. The `num_fp16_res` highest resolutions may be computed in
    16 bit; results of convolutions are limited to ±`conv_clamp` so that they fit.
    """

    resolution: int | Size  # one number, or (height, width)
    img_channels: int = 3
    c_dim: int = 0
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    num_fp16_res: int = 0
    conv_clamp: float | None = None
    architecture: Architecture

    def __post_init__(self) -> None:
        if not isinstance(self.resolution, int):  # JSON has lists, and squares have one name
            height, width = self.resolution
            if not isinstance(height, int) or not isinstance(width, int):
                raise ConfigError(f"resolution: got {self.resolution!r}, expected a side or (height, width)")
            square = int(height) if height == width else (int(height), int(width))
            object.__setattr__(self, "resolution", square)
        smallest_size(self.resolution)
        if self.architecture not in get_args(Architecture):
            raise ConfigError(f"architecture: got {self.architecture!r}, expected orig, skip or resnet")
        if self.img_channels not in (1, 3, 4):
            raise ConfigError(
                f"img_channels: got {self.img_channels}, expected 1 (grey), 3 (RGB) or 4 (RGBA)"
            )
        if min(self.channel_base // self.resolutions[-1], self.channel_max) < 1 or self.mapping_layers < 1:
            raise ConfigError(
                f"channel_base {self.channel_base}, channel_max {self.channel_max}, mapping_layers "
                f"{self.mapping_layers}: expected at least 1 channel at each resolution, and 1 layer"
            )

    @property
    def image_size(self) -> Size:
        """(height, width) of the pictures."""
        return (self.resolution,) * 2 if isinstance(self.resolution, int) else self.resolution

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(img_channels, height, width)."""
        return (self.img_channels, *self.image_size)

    @property
    def resolutions(self) -> list[int]:
        """The nominal ones, from 4 on."""
        return [4 * 2**i for i in range(smallest_size(self.resolution)[1] + 1)]

    def size(self, resolution: int) -> Size:
        """(height, width) of the features at a nominal resolution."""
        (height, width), _ = smallest_size(self.resolution)
        return height * resolution // 4, width * resolution // 4

    def channels(self, resolution: int) -> int:
        """How many channels the features have at a nominal resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def is_16bit(self, resolution: int) -> bool:
        """Whether the features at a nominal resolution may be computed in 16 bit."""
        return resolution > 4 and resolution in self.resolutions[::-1][: self.num_fp16_res]


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mbstd_group < 1:
            raise ConfigError(f"--mbstd-group: got {self.mbstd_group}, expected at least 1")


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
        if self.interval < 1 or not 0 < self.speed_kimg < math.inf:
            raise ConfigError(
                f"augment: got interval {self.interval} and speed_kimg {self.speed_kimg:g}, expected more than 0"
            )
        if not 0 <= self.p <= 1 or not -1 <= self.target <= 1:
            raise ConfigError(
                f"--augment-p {self.p:g}, --target {self.target:g}: expected a probability, and a target from -1 to 1"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(JsonConfig):
    """A whole training run. Lengths are counted in images or kimg (thousands of images shown)."""

    data: str  # folder or zip of pictures
    fit: str = "strict"  # see `ImageDataset`, as for the next five
    skip_bad: bool = False
    mirror: bool = False
    subset: int | None = None
    classes: str = "auto"
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    kimg: float = 25000.0
    batch: int = 32  # over all processes
    batch_gpu: int | None = (
        None  # images in one pass; the gradients of several passes are added up; None for all
    )
    learning_rate: float = 0.0025
    r1_gamma: float = 1.0
    r1_interval: int = 16
    path_length_weight: float = 2.0
    path_length_decay: float = 0.01
    path_length_interval: int = 4
    path_length_batch_shrink: int = 2
    style_mixing: float = 0.9
    init_from: str | None = None  # a model to start from, see `transfer`
    allow_partial: bool = False  # go on where only some of its tensors fit
    freeze_d: int = 0  # layers of D, from the highest resolution on, that do not learn (arXiv 2002.10964)
    noise: bool = True  # per-pixel noise in the generator's layers
    precision: Precision = "float32"  # of the `num_fp16_res` highest resolutions
    tf32: bool = False  # GPUs may round float32 products to 10 bits
    channels_last: bool = True  # memory format of the networks
    ema_kimg: float = 10.0
    ema_rampup: float | None = 0.05
    seed: int = 0
    snapshot_kimg: float = 4.0  # between two checkpoints
    keep: int = 2  # checkpoints that stay, beside that of the best evaluation
    metrics: str = "auto"  # what an evaluation measures, see `shoegen.metrics.monitor`
    metric_kimg: float | None = None  # between two evaluations; None for every fifth checkpoint
    metric_samples: int = 1000
    weights: str | None = None  # of the networks that metrics see through

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise ConfigError(f"--data: got {self.data!r}, expected a folder or zip file of pictures")
        if not 0 <= self.ema_kimg < math.inf or not 0 <= (self.ema_rampup or 0) < math.inf:
            raise ConfigError(f"--ema-kimg: got {self.ema_kimg:g}, expected at least 0")
        if self.r1_interval < 1 or self.path_length_interval < 1 or self.path_length_batch_shrink < 1:
            raise ConfigError(
                "r1_interval, path_length_interval, path_length_batch_shrink: expected at least 1"
            )
        if not 0 < self.kimg < math.inf:
            raise ConfigError(f"--kimg: got {self.kimg:g}, expected more than 0")
        if not 0 < self.snapshot_kimg < math.inf:
            raise ConfigError(f"--snapshot-kimg: got {self.snapshot_kimg:g}, expected more than 0")
        if self.metric_kimg is not None and not 0 < self.metric_kimg < math.inf:
            raise ConfigError(f"--metric-kimg: got {self.metric_kimg:g}, expected more than 0")
        if self.keep < 1:
            raise ConfigError(f"--keep: got {self.keep}, expected at least 1")
        if self.precision != "float32" and not self.generator.num_fp16_res:
            raise ConfigError(f"--precision {self.precision}: expected num_fp16_res of at least 1 too")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"--lr: got {self.learning_rate:g}, expected a learning rate above 0")
        if not 0 <= self.r1_gamma < math.inf:
            raise ConfigError(f"--gamma: got {self.r1_gamma:g}, expected at least 0")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed: got {self.seed}, expected a whole number from 0 to 2³² − 1")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"--precision: got {self.precision!r}, expected float32, float16 or bfloat16")
        if not 0 <= self.style_mixing <= 1 or self.freeze_d < 0:
            raise ConfigError(
                f"style_mixing {self.style_mixing:g}, --freeze-d {self.freeze_d}: expected a probability, and a "
                "number of layers of at least 0"
            )
        for name in ("resolution", "img_channels", "c_dim"):
            if getattr(self.generator, name) != getattr(self.discriminator, name):
                raise ConfigError(f"{name}: generator and discriminator differ; give both the same")
        self.check_batch(1)

    @property
    def images(self) -> int:
        """How many real images are shown."""
        return math.ceil(self.kimg * 1000)

    log_every: ClassVar[int] = 1000  # images

    @property
    def save_every(self) -> float:
        """In images."""
        return self.snapshot_kimg * 1000

    @property
    def evaluate_every(self) -> float:
        """In images."""
        return (self.metric_kimg or 5 * self.snapshot_kimg) * 1000

    def check_batch(self, processes: int) -> int:
        """How many images one of `processes` takes in one pass.

        Raises:
            ConfigError: the batch cannot be divided so.
        """
        if not isinstance(self.batch, int) or self.batch < 1:
            raise ConfigError(f"--batch: got {self.batch}, expected at least 1")
        group = min(self.discriminator.mbstd_group, self.batch)
        if self.batch % (processes * group):
            fitting = -(-self.batch // (processes * group)) * processes * group
            each = f"the minibatch-deviation group {group}" + (
                f" times {processes} processes" if processes > 1 else ""
            )
            raise ConfigError(f"--batch: got {self.batch}, expected a multiple of {each}, such as {fitting}")
        per_process = self.batch // processes
        batch_gpu = min(self.batch_gpu or per_process, per_process)
        if batch_gpu < 1 or per_process % batch_gpu or batch_gpu % group:
            raise ConfigError(
                f"--batch-gpu: got {self.batch_gpu}, expected a divisor of the {per_process} images of each process "
                f"(--batch {self.batch}, {processes} of them) that is a multiple of the minibatch group {group}"
            )
        return batch_gpu

    def with_classes(self, count: int) -> Self:
        """The same for pictures of `count` classes; 0 for pictures without."""
        return dataclasses.replace(
            self,
            generator=dataclasses.replace(self.generator, c_dim=count),
            discriminator=dataclasses.replace(self.discriminator, c_dim=count),
        )


# ---- presets: (data, resolution, batch over all processes or None for the preset's own, processes) ----


def auto_config(
    data: str, resolution: int | Size, *, batch: int | None = None, processes: int = 1
) -> TrainingConfig:
    """The published `auto`: everything follows from the resolution and the number of processes (one per GPU)."""
    side = nominal_side(resolution)
    if batch is None:
        batch = max(min(processes * min(4096 // side, 32), 64), processes)
        # What the formula gives for powers of two, and other sides and process counts can share too.
        batch -= batch % (processes * min(batch // processes, 4))
    return published_config(
        data,
        resolution,
        batch=batch,
        mbstd_group=min(max(batch // processes, 1), 4),
        width=1 if side >= 512 else 0.5,
        mapping_layers=2,
        learning_rate=0.002 if side >= 1024 else 0.0025,
        r1_gamma=0.0002 * side**2 / max(batch, 1),
        ema_kimg=batch * 10 / 32,
    )


def published_config(
    data: str,
    resolution: int | Size,
    *,
    batch: int,
    mbstd_group: int,
    width: float = 1,
    mapping_layers: int = 8,
    **rest: Any,
) -> TrainingConfig:
    """What all published presets share (arXiv 2006.06676, appendix C)."""
    networks: dict[str, Any] = {
        "resolution": resolution,
        "channel_base": round(width * 32768),
        "num_fp16_res": 4,
        "conv_clamp": 256.0,
    }
    return TrainingConfig(
        data=data,
        generator=GeneratorConfig(**networks, mapping_layers=mapping_layers),
        discriminator=DiscriminatorConfig(**networks, mbstd_group=mbstd_group),
        batch=batch,
        **rest,
    )


def _fixed(*, batch: int, mbstd_group: int, **figures: Any) -> Preset:
    """A preset whose figures do not follow from the resolution; the group shrinks with a smaller batch."""

    def preset(
        data: str, resolution: int | Size, *, batch: int | None = None, processes: int = 1
    ) -> TrainingConfig:
        own = default_batch if batch is None else batch
        group = math.gcd(mbstd_group, max(own // processes, 1))
        return published_config(data, resolution, batch=own, mbstd_group=group, **figures)

    default_batch = batch
    return preset


def cifar_config(
    data: str, resolution: int | Size, *, batch: int | None = None, processes: int = 1
) -> TrainingConfig:
    """The published `cifar`: for tens of thousands of pictures of 32 pixels."""
    config = _fixed(
        batch=64,
        mbstd_group=32,
        mapping_layers=2,
        kimg=100000.0,
        learning_rate=0.0025,
        r1_gamma=0.01,
        ema_kimg=500.0,
        ema_rampup=0.05,
        path_length_weight=0.0,
        style_mixing=0.0,
    )(data, resolution, batch=batch, processes=processes)
    return override(config, d_architecture="orig")


def small_config(
    data: str, resolution: int | Size, *, batch: int | None = None, processes: int = 1
) -> TrainingConfig:
    """`auto` for 200 to 3,000 pictures, of which D knows each by heart soon.

    Mirrored pictures, a stronger R1 penalty, augmentation that adapts twice as fast, and weights averaged over longer.
    Augmentation still starts at 0: with p = 0.2 from the first step on, 500 photographs of shoes on white were drawn as
    their negatives, which `lumaflip` makes look as real.
    """
    config = auto_config(data, resolution, batch=batch, processes=processes)
    return dataclasses.replace(
        config,
        mirror=True,
        kimg=5000.0,
        r1_gamma=config.r1_gamma * 8,
        ema_kimg=config.ema_kimg * 2,
        augment=AugmentConfig(speed_kimg=250.0),
    )


def cpu_config(
    data: str, resolution: int | Size, *, batch: int | None = None, processes: int = 1
) -> TrainingConfig:
    """`auto`, narrowed to what a laptop's CPU trains in hours: at most 128 channels, z and w of 128, batch 16.

    Chosen by looking at the first tens of kimg on synthetic shoes: with `auto`'s gamma the discriminator runs away
    (r_t 0.98), and with noise the outlines are speckled.
    """
    config = auto_config(data, resolution, batch=16 if batch is None else batch, processes=processes)
    config = override(config, channel_base=1024, channel_max=128, num_fp16_res=0, conv_clamp=None)
    return dataclasses.replace(
        config,
        generator=dataclasses.replace(config.generator, z_dim=128, w_dim=128),
        kimg=200.0,
        r1_gamma=0.0003 * nominal_side(resolution) ** 2,
        noise=False,
    )


Preset = Callable[..., TrainingConfig]
PRESETS: dict[str, Preset] = {
    "auto": auto_config,
    "small": small_config,
    "cpu": cpu_config,
    "stylegan2": _fixed(batch=32, mbstd_group=4, learning_rate=0.002, r1_gamma=10.0, ema_rampup=None),
    "paper256": _fixed(batch=64, mbstd_group=8, width=0.5, ema_kimg=20.0, ema_rampup=None),
    "paper512": _fixed(batch=64, mbstd_group=8, r1_gamma=0.5, ema_kimg=20.0, ema_rampup=None),
    "paper1024": _fixed(batch=32, mbstd_group=4, learning_rate=0.002, r1_gamma=2.0, ema_rampup=None),
    "cifar": cifar_config,
}


def override(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The configuration with some fields changed, also those of both networks, by their names; None changes nothing.

    `width`, `mapping_layers` (of the generator), `g_architecture`, `d_architecture` and `mbstd_group` are known too.
    """
    changes = {name: value for name, value in changes.items() if value is not None or name == "conv_clamp"}
    if "width" in changes:
        if not 0 < changes["width"] <= 64:
            raise ConfigError(f"--width: got {changes['width']:g}, expected more than 0 and at most 64")
        changes["channel_base"] = round(changes.pop("width") * 32768)
    own = {
        "generator": {"mapping_layers": "mapping_layers", "g_architecture": "architecture"},
        "discriminator": {"mbstd_group": "mbstd_group", "d_architecture": "architecture"},
    }
    networks = {}
    shared = {each.name for each in dataclasses.fields(NetworkConfig)} - {"mapping_layers", "architecture"}
    for network, names in own.items():
        values = {field: changes[name] for name, field in names.items() if name in changes}
        values |= {name: changes[name] for name in shared & set(changes)}
        networks[network] = dataclasses.replace(getattr(config, network), **values)
    known = shared.union(*own.values())
    rest = {name: value for name, value in changes.items() if name not in known}
    return dataclasses.replace(config, **networks, **rest)


def nominal_side(resolution: int | Size) -> int:
    """Of the square that has as many pixels; what the published formulas call the resolution."""
    smallest_size(resolution)
    return resolution if isinstance(resolution, int) else round(math.sqrt(math.prod(resolution)))
