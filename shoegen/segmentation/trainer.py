"""One training: its network, optimiser and counters; what all trainings share, and those of semantic segmenters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.data.images import image_grid
from shoegen.data.labels import LabelMap
from shoegen.errors import FileFormatError
from shoegen.segmentation.augment import augment
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.data import Batch, SegmentationData
from shoegen.segmentation.losses import SegmentationLoss, class_weights
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.overlay import tint
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.processes import set_draws, share_batch
from shoegen.segmentation.schedules import learning_rate
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import BatchDraws
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.statistics import RunningMeans
from shoegen.torch_utils.updates import SafeUpdates

KIND = "segmenter"
SAMPLES = 8


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    score: the higher the better. figures: for the log. summary, table: to show. details: what else is kept, as JSON
    by file name.
    """

    score: float
    figures: dict[str, float]
    summary: str
    table: str
    details: dict[str, Any] = field(default_factory=dict)


class RunTrainer(ABC):
    """All that changes in a training, whatever the network.

    Every random number follows from (seed, step, what for, row of the batch), so that it is the same after any
    interruption.

    Args:
        config: the run's configuration; its model has as many classes as `labels`.
        labels: what is told apart.
        device: where to train.
        world: the processes that share the batch.

    Attributes:
        net: the network.
        rows: of the batch, which this process gets.
        images, steps: shown and taken so far.
        best: of the evaluations: its score under the name `SCORE`, and "images"; None before the first.
        stale: evaluations since then.
        means: of the losses since the last report.

    Raises:
        ConfigError: a batch that the processes cannot share.
    """

    KIND: ClassVar[str]  # of run folders and checkpoints
    SCORE: ClassVar[str]  # of evaluations, as `best` calls it
    LOSS: ClassVar[str] = "loss"  # that the steps descend on, as logs call it

    net: Any

    def __init__(
        self, config: Any, labels: LabelMap, device: torch.device, world: World | None = None
    ) -> None:
        assert config.model.classes == len(labels)
        self.config, self.labels, self.device, self.world = config, labels, device, world or World()
        share = config.check_batch(self.world.size)
        self.rows = list(range(self.world.rank * share, (self.world.rank + 1) * share))
        torch.manual_seed(config.seed)
        network: Any = self.build().to(device)
        self.net = network.to(memory_format=torch.channels_last)  # a third faster on CPU
        share_batch(self.net, self.world)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        advice = "start anew with a lower --lr, perhaps with --init-from the best so far"
        self.updates = SafeUpdates(self.net, self.optimizer, self.world, advice=advice)
        self.means = RunningMeans()
        self.images = self.steps = self.stale = 0
        self.best: dict[str, float] | None = None

    @classmethod
    @abstractmethod
    def of(cls, config: Any, data: Any, device: torch.device, world: World) -> Self:
        """The trainer of a run at its start."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the network, to show."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A new network with random weights."""

    @abstractmethod
    def learn(self, batch: Any, rate: float | None = None) -> Tensor:
        """One step on this process's rows of a batch, as the data give it; the loss before it.

        Args:
            batch: of the run's data.
            rate: the learning rate; None: the schedule's.
        """

    @abstractmethod
    def validate(self, data: Any) -> Evaluation:
        """The network as it stands on the pictures held out, over all processes."""

    @abstractmethod
    def draw_samples(self, data: Any) -> np.ndarray:
        """(H, W, 3) uint8: pictures held out, each with what is true and what is found."""

    @abstractmethod
    def segmenter(self) -> Any:
        """A copy of the network as it stands, with `save`."""

    def descend(self, loss: Tensor, rate: float | None) -> None:
        """Takes the step, and counts it."""
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.images) if rate is None else rate
        self.updates.apply()
        self.images += self.config.batch
        self.steps += 1

    def draws(self, what_for: str, dtype: torch.dtype, rows: list[int] | None = None) -> BatchDraws:
        """Random numbers of this step, for this process's rows or some."""
        key = (self.config.seed, self.steps, what_for)
        rows = self.rows if rows is None else rows
        return BatchDraws(key, rows, self.config.batch, self.device, dtype)

    def judge(self, score: float) -> bool:
        """Whether an evaluation is the best so far; of equal ones the latest is, which has learned the longest."""
        best = -math.inf if self.best is None else self.best[self.SCORE]
        self.stale = 0 if score > best else self.stale + 1
        if self.best is not None and not score >= best:  # an AP stays 0 for long; NaN is no score
            return False
        self.best = {self.SCORE: -math.inf if math.isnan(score) else score, "images": self.images}
        return True

    @property
    def is_stale(self) -> bool:
        """Whether the evaluations have not become better for so long that the run should end."""
        return self.config.patience is not None and self.stale >= self.config.patience

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, save the data."""
        return {
            "kind": self.KIND,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("images", "steps", "best", "stale")},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            FileFormatError: the state of another kind of training or of another network.
        """
        if state.get("kind") != self.KIND:
            raise FileFormatError(
                f"got the state of a {state.get('kind')!r} training, expected {self.KIND!r}"
            )
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name in ("images", "steps", "best", "stale"):
                setattr(self, name, state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(
                "the checkpoint is of another network; start a new run with another --out"
            ) from error

    def init_from(self, start: Any) -> str:
        """Takes the weights of another segmenter; says which start anew, since they are of other classes."""
        own, others = self.net.state_dict(), start.net.state_dict()
        fits = {
            name: value for name, value in others.items() if name in own and own[name].shape == value.shape
        }
        new = [name for name in own if name not in fits]
        self.net.load_state_dict({**own, **fits})
        return f"{len(fits)} of {len(own)} tensors" + (f"; {', '.join(new)} start anew" if new else "")


class Trainer(RunTrainer):
    """Of a semantic segmenter; `train_step` shows the mathematics. See `RunTrainer` too.

    The same steps however many processes share the batch.

    Args:
        config, labels, device, world: as there.
        frequencies: (classes,), shares of the pixels, for the class weights.

    Raises:
        ConfigError: class weights of another number of classes, a batch that the processes cannot share.
    """

    KIND, SCORE = KIND, "mean_iou"

    def __init__(
        self,
        config: TrainingConfig,
        labels: LabelMap,
        frequencies: Tensor,
        device: torch.device,
        world: World | None = None,
    ) -> None:
        super().__init__(config, labels, device, world)
        weights = class_weights(config.class_weights, frequencies)
        self.loss = SegmentationLoss(config.loss, weights, self.world).to(device)

    @classmethod
    def of(cls, config: TrainingConfig, data: SegmentationData, device: torch.device, world: World) -> Self:
        return cls(config, data.labels, data.frequencies(), device, world)

    @property
    def name(self) -> str:
        return self.config.model.architecture

    def build(self) -> nn.Module:
        return build_segmenter(self.config.model)

    def learn(self, batch: Batch, rate: float | None = None) -> Tensor:
        images, part_maps = (torch.from_numpy(each).to(self.device) for each in batch)
        return self.train_step(from_pixels(images), part_maps.long(), rate)

    def train_step(self, images: Tensor, labels: Tensor, rate: float | None = None) -> Tensor:
        """One batch: augment, predict, descend.

        Args:
            images: (n, 3, H, W) in [−1, 1], this process's rows of the batch.
            labels: (n, H, W) int64.
            rate: the learning rate; None: the schedule's.

        Returns:
            The loss of the whole batch, before the step.
        """
        images, labels = augment(images, labels, self.config.augment, self.draws("augment", images.dtype))
        set_draws(self.net, self.draws("dropout", images.dtype))
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.net(images.contiguous(memory_format=torch.channels_last))  # n, classes, H, W
        loss = self.loss(logits, labels)
        self.means.add(self.LOSS, loss)
        self.descend(loss, rate)
        return loss.detach()

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) uint8 → (N, H, W) uint8."""
        self.net.eval()
        pixels = from_pixels(torch.from_numpy(images).to(self.device))
        logits = self.net(pixels.contiguous(memory_format=torch.channels_last))
        return logits.argmax(1).to(torch.uint8).cpu().numpy()

    def evaluate(self, batches: Iterable[Batch]) -> ConfusionMatrix:
        """On the pictures of all processes, as they are."""
        confusion = ConfusionMatrix(len(self.labels))
        for images, part_maps in batches:
            confusion.update(self.predict(images), part_maps)
        self.world.add(torch.from_numpy(confusion.counts))  # in place
        return confusion

    def validate(self, data: SegmentationData) -> Evaluation:
        confusion = self.evaluate(data.validation(len(self.rows)))
        return Evaluation(
            score=confusion.mean_iou,
            figures=confusion.figures(self.labels),
            summary=(
                f"pixel accuracy {confusion.pixel_accuracy:.3f}, mean IoU {confusion.mean_iou:.3f}, mean Dice "
                f"{confusion.mean_dice:.3f}"
            ),
            table=confusion.table(self.labels),
            details={
                "confusion.json": {"classes": list(self.labels.names), "counts": confusion.counts.tolist()}
            },
        )

    def draw_samples(self, data: SegmentationData) -> np.ndarray:
        images, part_maps = data.samples(SAMPLES)
        tiles: list[np.ndarray] = []
        for image, true, predicted in zip(images.transpose(0, 2, 3, 1), part_maps, self.predict(images)):
            tiles += [image, tint(image, true, self.labels), tint(image, predicted, self.labels)]
        return image_grid(tiles, columns=6)

    def segmenter(self) -> PartSegmenter:
        net = build_segmenter(self.config.model)
        net.load_state_dict(self.net.state_dict())
        return PartSegmenter(net, self.config.model, self.labels)
