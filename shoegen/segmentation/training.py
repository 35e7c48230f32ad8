"""Training a segmenter. Progress is counted in images shown.

A resumed run is the uninterrupted one, bit for bit on CPU.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError, TrainingError
from shoegen.segmentation.augment import augment
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.losses import SegmentationLoss, class_weights
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.memory import keep_freed_memory
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.run_folder import RunFolder

MODEL_FILE = "segmenter.safetensors"


def train(config: TrainingConfig, out: str | Path, *, device: str = "auto") -> Path:
    """Trains a segmenter in a new run folder, returns the path of the best one.

    Raises:
        ConfigError, DataError, OutputError: before the training starts.
        TrainingError: the loss is not finite.
    """
    data = open_data(config)
    config = replace(config, model=replace(config.model, classes=len(_labels(data))))
    trainer = Trainer(config, data, device)
    with RunFolder.create(out, config.to_dict(), kind="segmenter") as run:
        return _train(trainer, run)


def resume(out: str | Path, *, device: str = "auto") -> Path:
    """Goes on with the run in `out` from its newest checkpoint; what its config.json says, holds.

    Raises: as `train`, and FileFormatError where the checkpoint is damaged or of another network.
    """
    with RunFolder.resume(out, kind="segmenter") as run:
        config = TrainingConfig.from_dict(run.config)
        if run.state is None:
            trainer = Trainer(config, open_data(config), device)
        else:
            config = replace(config, init_from=None)  # that file may be gone by now
            trainer = Trainer(config, open_data(config), device)
            trainer.load_state_dict(run.state)
        return _train(trainer, run)


def open_data(config: TrainingConfig) -> ImageDataset:
    """The run's data at the model's resolution."""
    data = ImageDataset(
        config.data, resolution=config.model.resolution, fit="pad", part_maps=True, skip_bad=config.skip_bad
    )
    if len(data) < config.batch + 1:
        raise DataError(f"{config.data} has {len(data)} pictures, expected more than --batch {config.batch}")
    return data


class Trainer:
    """All that changes in training: network, optimiser, schedule, and how many images were shown."""

    def __init__(self, config: TrainingConfig, data: ImageDataset, device: str = "auto"):
        self.config, self.data, self.labels = config, data, _labels(data)
        if config.model.classes != len(self.labels):
            raise ConfigError(
                f"{config.data} has {len(self.labels)} classes, the run {config.model.classes}; "
                "start a new run with another --out"
            )
        self.device = pick_device(device)
        torch.manual_seed(config.seed)
        # NHWC convolutions are a third faster on CPU.
        network = _new_network(config, self.labels)
        self.net = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        order = np.random.default_rng(config.seed).permutation(len(data))
        held_out = min(max(1, round(config.val_share * len(data))), len(data) - config.batch)
        self.val_indices, self.train_indices = order[:held_out], order[held_out:]

        weights = class_weights(self._frequencies(), config.weight_damping)
        self.loss = SegmentationLoss(weights, config.dice).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        steps = math.ceil(config.images / config.batch)
        # One step more than is taken: the scheduler looks one ahead.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.learning_rate, total_steps=steps + 1, pct_start=0.1
        )
        self.chance = torch.Generator(self.device)
        self.images = 0
        self.best = -1.0

    def train_step(self, indices: np.ndarray) -> float:
        """One batch: augment, predict, descend. Returns the loss."""
        images, part_maps = self._load(indices)
        # Seeded anew for each step, so that a resumed run needs no generator's state.
        self.chance.manual_seed(
            int(np.random.SeedSequence([self.config.seed, self.images]).generate_state(1)[0])
        )
        images, part_maps = augment(images, part_maps, self.config.augment, self.chance)
        logits = self.net(images.contiguous(memory_format=torch.channels_last))  # N, classes, H, W
        loss = self.loss(logits, part_maps)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.images += len(images)
        return loss.item()

    @torch.inference_mode()
    def evaluate(self) -> ConfusionMatrix:
        """On the pictures held out, as they are."""
        confusion = ConfusionMatrix(len(self.labels))
        self.net.eval()
        for start in range(0, len(self.val_indices), self.config.batch):
            images, part_maps = self._load(self.val_indices[start : start + self.config.batch])
            predicted = self.net(images.contiguous(memory_format=torch.channels_last)).argmax(1)
            confusion.update(predicted.cpu().numpy(), part_maps.cpu().numpy())
        self.net.train()
        return confusion

    def batches(self) -> Iterator[np.ndarray]:
        """Indices of the training pictures, shuffled anew in each epoch, from where `images` stands."""
        order = infinite_indices(len(self.train_indices), self.config.seed, self.images)
        while True:
            yield self.train_indices[list(itertools.islice(order, self.config.batch))]

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises FileFormatError where the state is that of another network."""
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.best, self.images = state["best"], state["images"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(
                "the checkpoint is of another network; start a new run with another --out"
            ) from error

    def segmenter(self) -> PartSegmenter:
        """A copy of the network as it stands."""
        net = build_segmenter(self.config.model)
        net.load_state_dict(self.net.state_dict())
        return PartSegmenter(net, self.config.model, self.labels)

    def _load(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 (N, 3, H, W) in [−1, 1] and int64 (N, H, W)."""
        images = torch.from_numpy(np.stack([self.data[int(i)] for i in indices]))
        part_maps = torch.from_numpy(np.stack([self.data.part_map(int(i)) for i in indices]))
        return from_pixels(images.to(self.device)), part_maps.to(self.device).long()

    def _frequencies(self) -> torch.Tensor:
        """(classes,) shares of the pixels of the training pictures."""
        counts = np.zeros(len(self.labels))
        for i in self.train_indices:
            counts += np.bincount(self.data.part_map(int(i)).ravel(), minlength=len(counts))
        return torch.from_numpy(counts / counts.sum()).float()


def _train(trainer: Trainer, run: RunFolder) -> Path:
    keep_freed_memory()
    config = trainer.config
    best_path = run.path / MODEL_FILE
    losses: list[float] = []
    started, first = time.monotonic(), trainer.images
    batches = trainer.batches()
    with LiveProgress("training", config.images, unit="images", done=trainer.images) as progress:
        for note in trainer.data.notes:
            progress.message(f"note: {note}")
        while trainer.images < config.images:
            # Step
            losses.append(trainer.train_step(next(batches)))
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"the loss became {losses[-1]} after {trainer.images} images; go on from the last "
                    f"checkpoint with --resume, or start anew with a --lr below {config.learning_rate:g}"
                )
            done = trainer.images >= config.images

            # Report
            if done or _due(config.log_every, trainer):
                speed = (trainer.images - first) / (time.monotonic() - started)
                rate = float(trainer.schedule.get_last_lr()[0])
                loss = sum(losses) / len(losses)
                losses.clear()
                run.log(trainer.images, {"loss": loss, "learning_rate": rate, "images_per_second": speed})
                progress.update(trainer.images, f"loss {loss:.3f}  {speed:.1f} images/s")

            # Evaluate
            if done or _due(config.evaluate_every, trainer):
                confusion = trainer.evaluate()
                run.log(trainer.images, {f"val/{k}": v for k, v in confusion.figures(trainer.labels).items()})
                progress.message(_validation_line(trainer, confusion))
                if confusion.mean_iou > trainer.best:
                    trainer.best = confusion.mean_iou
                    trainer.segmenter().save(best_path)

            # Save
            if done or _due(config.save_every, trainer):
                run.save_checkpoint(trainer.images, trainer.state_dict())
    return best_path


def _due(every: int, trainer: Trainer) -> bool:
    """Whether the last step passed a multiple of `every` images."""
    return trainer.images // every > (trainer.images - trainer.config.batch) // every


def _validation_line(trainer: Trainer, confusion: ConfusionMatrix) -> str:
    pairs = zip(trainer.labels.names, confusion.iou, strict=True)
    classes = "  ".join(f"{name} {iou:.3f}" for name, iou in pairs)
    return (
        f"{trainer.images} images: pixel accuracy {confusion.pixel_accuracy:.3f}, "
        f"mean IoU {confusion.mean_iou:.3f} ({classes})"
    )


def _labels(data: ImageDataset) -> LabelMap:
    assert data.labels is not None  # part maps were asked for
    return data.labels


def _new_network(config: TrainingConfig, labels: LabelMap) -> nn.Module:
    if config.init_from is None:
        return build_segmenter(config.model)
    start = PartSegmenter.load(config.init_from)
    same_network = replace(start.config, resolution=config.model.resolution) == config.model
    if not same_network or start.labels.names != labels.names:
        raise ConfigError(
            f"--init-from {config.init_from} is of another architecture or has other labels; leave it out"
        )
    return start.net.train().requires_grad_(True)
