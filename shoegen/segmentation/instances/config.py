"""What a Mask R-CNN is and how it is trained, as dataclasses that the run folder keeps as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from shoegen.errors import ConfigError
from shoegen.segmentation.config import AUGMENTATIONS, AugmentConfig, NetConfig, RunConfig

ARCHITECTURE = "maskrcnn"
ENGINE_NAMES = ("torchvision", "detectron2")
NORMS = ("auto", "group", "batch", "frozen")
LEVELS = 5  # of the feature pyramid: strides 4, 8, 16, 32, 64
SMALL = 640  # pixels of the longer side, below which anchors are half as large


@dataclass(frozen=True, kw_only=True)
class MaskRCNNConfig(NetConfig):
    """A Mask R-CNN of ResNet-50 and FPN, see `NetConfig` too.

    engine: who implements it, a name in `shoegen.segmentation.instances.engines.ENGINES`.
    resolution: pictures are made as large as fits into it. Engines do so themselves: give them pictures of any size.
    norm: "group": group normalisation everywhere, which learns from scratch with any batch (arXiv 1811.08883, section
    3); "batch": batch normalisation in the backbone; "frozen": the same with the statistics of pretrained weights, for
    which alone it is of use; "auto": frozen with pretrained weights, else group; a training decides.
    rois: regions per picture that the heads learn from. anchors: sides in pixels of the squares that regions are
    looked for around, one for each of the 5 levels of the pyramid (strides 4 to 64), each in the aspects 1:2, 1:1 and
    2:1; None: 16 to 256, and from a longer side of 640 on 32 to 512.
    score: detections below it are left out. detections: at most so many per picture.
    width, blocks: smaller networks for trials: channels of bottlenecks, pyramid and heads as multiples of the paper's,
    and bottlenecks per stage of the backbone, (3, 4, 6, 3) in the paper.
    """

    classes: int = 2
    resolution: int | tuple[int, int] = (384, 256)
    engine: str = "torchvision"
    norm: str = "auto"
    rois: int = 512
    anchors: tuple[int, ...] | None = None
    score: float = 0.05
    detections: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchors is not None:
            object.__setattr__(self, "anchors", tuple(self.anchors))
            if len(self.anchors) != LEVELS or min(self.anchors) < 1 or max(self.anchors) > 16384:
                raise ConfigError(
                    f"--anchors: got {','.join(map(str, self.anchors))}, expected {LEVELS} sides in pixels, such as "
                    "16,32,64,128,256"
                )
        for option, value, known in (("engine", self.engine, ENGINE_NAMES), ("norm", self.norm, NORMS)):
            if value not in known:
                raise ConfigError(f"--{option}: got {value!r}, expected one of {', '.join(known)}")
        if not 1 <= self.rois <= 4096:
            raise ConfigError(f"--rois: got {self.rois}, expected 1 to 4096 regions per picture")
        if not 0 <= self.score < 1 or not 1 <= self.detections <= 1000:
            raise ConfigError(
                f"got score {self.score} and detections {self.detections}; expected 0 to 1, and 1 to 1000 per picture"
            )

    FREE: ClassVar[tuple[str, ...]] = ("classes", "resolution", "rois", "anchors", "score", "detections")

    def settled(self) -> Self:
        """With a norm that is not "auto".

        Raises:
            ConfigError: frozen statistics that nothing has learned, or pretrained weights of another norm.
        """
        if self.norm == "auto":
            return replace(self, norm="frozen" if self.pretrained else "group")
        if self.norm == "frozen" and not self.pretrained:
            raise ConfigError(
                "--norm frozen needs pretrained weights, whose statistics it keeps; use --norm group from scratch"
            )
        return self

    @property
    def anchor_sizes(self) -> tuple[int, ...]:
        """The side of each level's anchors, in pixels of the picture as the network sees it."""
        if self.anchors is not None:
            return self.anchors
        first = 16 if max(self.size) < SMALL else 32
        return tuple(first * 2**level for level in range(LEVELS))

    def fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a picture of `size`, (height, width) too, as the network sees it."""
        height, width = size
        factor = min(self.size[0] / height, self.size[1] / width)
        return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True, kw_only=True)
class InstanceTrainingConfig(RunConfig):
    """A training of Mask R-CNN, see `RunConfig` too.

    data, val: annotations of any format that `read_annotations` knows, or a data set with annotations.json.
    pictures: the folder or zip of the pictures, for annotations that stand alone; val_pictures: those of `val`, None:
    `pictures`.
    """

    LEAST_SHARE: ClassVar[int] = 1

    model: MaskRCNNConfig = field(default_factory=MaskRCNNConfig)
    pictures: str | None = None
    val_pictures: str | None = None
    augment: AugmentConfig = AUGMENTATIONS["street"]
    images: int = 20_000
    batch: int = 2
    learning_rate: float = 2e-4
    val_share: float = 0.1
    log_every: int = 20
    evaluate_every: int = 2_000
    save_every: int = 1_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.norm == "batch" and self.batch < 2:
            raise ConfigError(
                f"batch is {self.batch}, expected at least 2 with --norm batch; change --batch, or use --norm group"
            )
