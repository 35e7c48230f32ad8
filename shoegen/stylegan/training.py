"""Training StyleGAN2-ADA (arXiv 1912.04958, 2006.06676), on one device or on many.

The loop is that of all trainings, `shoegen.torch_utils.training`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.loading import BatchReader, batches_of
from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.config import TrainingConfig, override
from shoegen.stylegan.fitting import largest_pass
from shoegen.stylegan.trainer import Evaluate, Trainer
from shoegen.stylegan.transfer import read_weights
from shoegen.torch_utils import training
from shoegen.torch_utils.distributed import START_SECONDS, World

Monitor = Callable[[TrainingConfig], Callable[[ImageDataset], Evaluate] | None]
"""Makes, of a configuration and then its data, what evaluates; see `shoegen.metrics.monitor`."""


class TrainingData:
    """The pictures of a run, and their classes."""

    def __init__(self, config: TrainingConfig, world: World) -> None:
        height, width = config.generator.image_size
        self._config = config
        self.dataset = ImageDataset(
            config.data,
            resolution=(height, width),
            channels=config.generator.img_channels,
            fit=config.fit,
            skip_bad=config.skip_bad,
            mirror=config.mirror,
            subset=config.subset,
            subset_seed=config.seed,
            classes=config.classes,
            cache_bytes=4 * 2**30 // world.local_size,
        )
        self.notes = self.dataset.notes
        classes = [self.dataset.class_of(i) for i in range(len(self.dataset))]
        self.class_counts = [classes.count(i) for i in range(len(self.dataset.class_names))]
        self.contents = f"{len(self.dataset)} pictures"
        if self.dataset.class_names:
            self.contents += f" of {len(self.dataset.class_names)} classes"
        content = [self.dataset.content_hash, self.dataset.mirror, self.dataset.class_names]
        stored = (
            classes[: len(self.dataset.names)] if self.dataset.class_names else None
        )  # not the mirror images
        self.fingerprint = hashlib.sha256(json.dumps([*content, stored]).encode()).hexdigest()

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[BatchReader]:
        """Some rows of endless batches, the pictures in a new order at each pass, from where the run stands."""
        stream = infinite_indices(len(self.dataset), self._config.seed, shown)
        shares = ([batch[row] for row in rows] for batch in batches_of(stream, self._config.batch))
        with BatchReader(self.dataset, shares) as reader:
            yield reader


class _StyleGAN(training.Kind):
    """See `train` for the arguments."""

    CONFIG, LEARNER = TrainingConfig, Trainer

    def __init__(self, monitor: Monitor | None, *, auto_batch_gpu: bool = False) -> None:
        self._monitor, self._auto_batch_gpu = monitor, auto_batch_gpu

    def open(self, config: TrainingConfig, world: World) -> TrainingData:
        self._prepare = self._monitor(config) if self._monitor else None  # it may find fault with the options
        return TrainingData(config, world)

    def learner(
        self, config: TrainingConfig, data: TrainingData, device: torch.device, world: World
    ) -> Trainer:
        _check_precision(config, device)
        evaluate = self._prepare(data.dataset) if self._prepare and world.is_first else None
        return Trainer(config, device, world, class_counts=data.class_counts, evaluate=evaluate)

    def begin(
        self, config: TrainingConfig, data: TrainingData, device: torch.device, world: World
    ) -> tuple[Trainer, list[str]]:
        _check_precision(config, device)
        config = config.with_classes(len(data.class_counts))
        if self._auto_batch_gpu:
            config = dataclasses.replace(config, batch_gpu=world.share(largest_pass(config, device, world)))
        trainer = self.learner(config, data, device, world)
        return trainer, _start_from(config.init_from, trainer)

    def change(self, config: TrainingConfig, changes: dict[str, Any]) -> TrainingConfig:
        return override(config, **changes)

    def summary(self, learner: Trainer, data: TrainingData) -> str:
        config = learner.config
        networks = {"generator": learner.generator, "discriminator": learner.discriminator}
        sizes = [
            f"{name} of {sum(each.numel() for each in network.parameters()) / 1e6:.1f} million parameters"
            for name, network in networks.items()
        ]
        count = len(learner.passes[0].rows)
        passes = f" in passes of {count}" if count < config.batch // learner.world.size else ""
        height, width = config.generator.image_size
        return f"{', '.join(sizes)}; {data.contents} at {width}x{height} px{passes}"


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    monitor: Monitor | None = None,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    auto_batch_gpu: bool = False,
    dry_run: bool = False,
) -> Path | None:
    """Trains a generator in a new run folder until `config.kimg` thousands of real images have been shown.

    Every `config.snapshot_kimg`, and at the end, the folder gets a checkpoint, a sample grid and
    `generator.safetensors`, whose path the first process returns, and the others None.

    Args:
        config: what to train on what; presets are in `shoegen.stylegan.config.PRESETS`.
        monitor: makes what measures the averaged generator; the best one so far is kept as `best.safetensors`.
        auto_batch_gpu: find out how many images one pass can take in this device's memory.
        out, device, start_seconds, dry_run: see `shoegen.torch_utils.training.train`, also for what is raised.
    """
    return training.train(
        _StyleGAN(monitor, auto_batch_gpu=auto_batch_gpu),
        dataclasses.replace(config, data=os.path.abspath(config.data)),  # for a resume from elsewhere
        out,
        device=device,
        start_seconds=start_seconds,
        dry_run=dry_run,
    )


def resume(
    out: str | Path,
    *,
    monitor: Monitor | None = None,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    **changes: Any,
) -> Path | None:
    """Goes on with the run in `out`, see `shoegen.torch_utils.training.resume`.

    Args:
        changes: fields of the configuration that differ from now on, such as `kimg`; those that change what is learned
            make it another run. None changes nothing.
        monitor: as for `train`.
    """
    return training.resume([_StyleGAN(monitor)], out, device=device, start_seconds=start_seconds, **changes)


def _check_precision(config: TrainingConfig, device: torch.device) -> None:
    """Refuses what a device lacks, and sets how it multiplies."""
    if device.type == "cpu" and config.precision == "float16":
        raise ConfigError("--precision float16: CPUs lack it; use bfloat16 or float32, or a GPU")
    if device.type == "cpu" and config.tf32:
        raise ConfigError("--tf32: CPUs lack it; leave it out")
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = config.tf32


def _start_from(path: str | None, trainer: Trainer) -> list[str]:
    """Takes the weights of another model, if one is given; what of them."""
    if path is None:
        return []
    if not path:
        raise ConfigError("--init-from: got an empty path, expected a model")
    state = trainer.world.share(read_weights(path) if trainer.world.is_first else None)
    try:
        return [f"{path}: {trainer.init_from(state, allow_partial=trainer.config.allow_partial)}"]
    except FileFormatError as error:
        raise FileFormatError(f"--init-from {path}: {error}") from error
