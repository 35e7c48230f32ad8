"""One training: its network, optimiser and counters; what all trainings share, and those of semantic segmenters."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.data.images import image_grid, write_image
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError
from shoegen.segmentation.augment import augment
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.data import Batch, SegmentationData
from shoegen.segmentation.losses import SegmentationLoss, class_weights
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.overlay import tint
from shoegen.segmentation.parts import MODEL_FILE, PartSegmenter
from shoegen.segmentation.schedules import learning_rate
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.files import write_json
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.shared_batch import set_draws, share_batch
from shoegen.torch_utils.text import describe_size
from shoegen.torch_utils.training import Learner, set_learning_rate
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


class RunTrainer(Learner):
    """All that changes in a training of a segmenter, whatever the network; see `Learner` too.

    Args:
        config: the run's configuration; its model has as many classes as `labels`.
        labels: what is told apart.
        device: where to train.
        world: the processes that share the batch.

    Attributes:
        net: the network.
        best: of the evaluations: its score under the name `SCORE`, and "images"; None before the first.
        stale: evaluations since then.
    """

    MODEL_FILE, STATEFUL = MODEL_FILE, ("net", "optimizer")
    PLAIN = (*Learner.PLAIN, "best", "stale")
    SCORE: ClassVar[str]  # of evaluations, as `best` calls it
    LOSS: ClassVar[str] = "loss"  # that the steps descend on, as logs call it

    net: Any

    def __init__(
        self, config: Any, labels: LabelMap, device: torch.device, world: World | None = None
    ) -> None:
        assert config.model.classes == len(labels)
        super().__init__(config, device, world)
        self.labels = labels
        network: Any = self.build().to(device)
        self.net = network.to(memory_format=torch.channels_last)  # a third faster on CPU
        share_batch(self.net, self.world)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        advice = "start anew with a lower --lr, perhaps with --init-from the best so far"
        self.updates = [SafeUpdates(self.net, self.optimizer, self.world, advice=advice)]
        self.best: dict[str, float] | None = None
        self.stale = 0

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
        set_learning_rate(self.optimizer, learning_rate(self.config, self.images) if rate is None else rate)
        self.updates[0].apply()
        self.count_step()

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

    # ---- what the loop asks for ----

    def evaluate(self, data: Any, run: RunFolder | None) -> Iterator[str]:
        """Logs the figures of the network as it stands and keeps it if it is the best so far; lines to show."""
        found = self.validate(data)
        best = self.judge(found.score)
        if run is None:
            return
        run.log(self.images, {f"val/{name}": value for name, value in found.figures.items()})
        for name, value in found.details.items():
            write_json(run.path / name, {"images": self.images, **value})
        write_image(run.path / "samples" / f"{self.images:09d}.png", self.draw_samples(data))
        if best:
            self.segmenter().save(run.path / MODEL_FILE)
        assert self.best is not None
        before = (
            "the best so far" if best else f"best {self.best[self.SCORE]:.3f} at {self.best['images']:.0f}"
        )
        yield f"validation at {self.images} images: {found.summary} ({before})"
        yield found.table

    def describe(self, figures: dict[str, float]) -> str:
        """The loss, and its terms where there are any."""
        if self.LOSS not in figures:
            return "loss not finite"
        terms = [
            f"{name.removeprefix('loss_')} {value:.3f}"
            for name, value in figures.items()
            if name.startswith("loss_")
        ]
        return f"loss {figures[self.LOSS]:.3f}" + (f" ({', '.join(terms)})" if terms else "")

    def explain_size(self) -> str:
        return f"with {len(self.rows)} pictures of {describe_size(self.config.model.size)}"

    def kept(self) -> set[int]:
        return {int(self.best["images"])} if self.best else set()

    def end(self) -> str | None:
        return f"{self.stale} evaluations in a row were no better" if self.is_stale else None

    def check_resumable(self) -> None:
        super().check_resumable()
        if self.is_stale:
            raise ConfigError(
                f"the run stopped since {self.stale} evaluations were no better; go on with a higher --patience"
            )

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

    def confusion(self, batches: Iterable[Batch]) -> ConfusionMatrix:
        """On the pictures of all processes, as they are."""
        confusion = ConfusionMatrix(len(self.labels))
        for images, part_maps in batches:
            confusion.update(self.predict(images), part_maps)
        self.world.add(torch.from_numpy(confusion.counts))  # in place
        return confusion

    def validate(self, data: SegmentationData) -> Evaluation:
        confusion = self.confusion(data.validation(len(self.rows)))
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
