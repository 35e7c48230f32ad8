"""One training: its network, optimiser and counters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoegen.data.labels import LabelMap
from shoegen.errors import FileFormatError
from shoegen.segmentation.augment import augment
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.losses import SegmentationLoss, class_weights
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.processes import set_draws, share_batch
from shoegen.segmentation.schedules import learning_rate
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import BatchDraws
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.statistics import RunningMeans
from shoegen.torch_utils.updates import SafeUpdates

KIND = "segmenter"


class Trainer:
    """All that changes in training; `train_step` shows the mathematics.

    Every random number follows from (seed, step, what for, row of the batch): the same however many processes share
    the batch, and after any interruption.

    Args:
        config: the run's configuration; its model has as many classes as `labels`.
        labels: what is told apart.
        frequencies: (classes,), shares of the pixels, for the class weights.
        device: where to train.
        world: the processes that share the batch.

    Attributes:
        rows: of the batch, which this process gets.
        images, steps: shown and taken so far.
        best: of the evaluations: {"mean_iou", "images"}, or None before the first.
        stale: evaluations since then.

    Raises:
        ConfigError: class weights of another number of classes, a batch that the processes cannot share.
    """

    def __init__(
        self,
        config: TrainingConfig,
        labels: LabelMap,
        frequencies: Tensor,
        device: torch.device,
        world: World | None = None,
    ) -> None:
        assert config.model.classes == len(labels)
        self.config, self.labels, self.device, self.world = config, labels, device, world or World()
        share = config.check_batch(self.world.size)
        self.rows = list(range(self.world.rank * share, (self.world.rank + 1) * share))
        torch.manual_seed(config.seed)
        network: Any = build_segmenter(config.model).to(device)
        self.net = network.to(memory_format=torch.channels_last)  # a third faster on CPU
        share_batch(self.net, self.world)
        weights = class_weights(config.class_weights, frequencies)
        self.loss = SegmentationLoss(config.loss, weights, self.world).to(device)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        advice = "start anew with a lower --lr, perhaps with --init-from the best so far"
        self.updates = SafeUpdates(self.net, self.optimizer, self.world, advice=advice)
        self.means = RunningMeans()
        self.images = self.steps = self.stale = 0
        self.best: dict[str, float] | None = None

    def train_step(self, images: Tensor, labels: Tensor, rate: float | None = None) -> Tensor:
        """One batch: augment, predict, descend.

        Args:
            images: (n, 3, H, W) in [−1, 1], this process's rows of the batch.
            labels: (n, H, W) int64.
            rate: the learning rate; None: the schedule's.

        Returns:
            The loss of the whole batch, before the step.
        """
        images, labels = augment(images, labels, self.config.augment, self._draws("augment", images.dtype))
        set_draws(self.net, self._draws("dropout", images.dtype))
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.net(images.contiguous(memory_format=torch.channels_last))  # n, classes, H, W
        loss = self.loss(logits, labels)
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.images) if rate is None else rate
        self.updates.apply()
        self.means.add("loss", loss)
        self.images += self.config.batch
        self.steps += 1
        return loss.detach()

    def _draws(self, what_for: str, dtype: torch.dtype) -> BatchDraws:
        key = (self.config.seed, self.steps, what_for)
        return BatchDraws(key, self.rows, self.config.batch, self.device, dtype)

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) uint8 → (N, H, W) uint8."""
        self.net.eval()
        pixels = from_pixels(torch.from_numpy(images).to(self.device))
        logits = self.net(pixels.contiguous(memory_format=torch.channels_last))
        return logits.argmax(1).to(torch.uint8).cpu().numpy()

    def evaluate(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> ConfusionMatrix:
        """On the pictures of all processes, as they are."""
        confusion = ConfusionMatrix(len(self.labels))
        for images, part_maps in batches:
            confusion.update(self.predict(images), part_maps)
        self.world.add(torch.from_numpy(confusion.counts))  # in place
        return confusion

    def judge(self, mean_iou: float) -> bool:
        """Whether an evaluation is the best so far."""
        if self.best is None or mean_iou > self.best["mean_iou"]:
            self.best, self.stale = {"mean_iou": mean_iou, "images": self.images}, 0
            return True
        self.stale += 1
        return False

    @property
    def is_stale(self) -> bool:
        """Whether the evaluations have not become better for so long that the run should end."""
        return self.config.patience is not None and self.stale >= self.config.patience

    def segmenter(self) -> PartSegmenter:
        """A copy of the network as it stands."""
        net = build_segmenter(self.config.model)
        net.load_state_dict(self.net.state_dict())
        return PartSegmenter(net, self.config.model, self.labels)

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, save the data."""
        return {
            "kind": KIND,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("images", "steps", "best", "stale")},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            FileFormatError: the state of another kind of training or of another network.
        """
        if state.get("kind") != KIND:
            raise FileFormatError(f"got the state of a {state.get('kind')!r} training, expected {KIND!r}")
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name in ("images", "steps", "best", "stale"):
                setattr(self, name, state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(
                "the checkpoint is of another network; start a new run with another --out"
            ) from error

    def init_from(self, start: PartSegmenter) -> str:
        """Takes the weights of another segmenter; says which start anew, since they are of other classes."""
        own, others = self.net.state_dict(), start.net.state_dict()
        fits = {
            name: value for name, value in others.items() if name in own and own[name].shape == value.shape
        }
        new = [name for name in own if name not in fits]
        self.net.load_state_dict({**own, **fits})
        return f"{len(fits)} of {len(own)} tensors" + (f"; {', '.join(new)} start anew" if new else "")
