"""Training a SPADE, on one device or on many; the loop is that of all trainings, `shoegen.torch_utils.training`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shoegen.errors import ConfigError
from shoegen.spade.config import TrainingConfig
from shoegen.spade.data import SpadeData
from shoegen.spade.painting import Painter
from shoegen.spade.perceptual import find_vgg, vgg_file
from shoegen.spade.trainer import MEASURED, Trainer
from shoegen.torch_utils import training
from shoegen.torch_utils.distributed import START_SECONDS, World


class _Kind(training.Kind):
    CONFIG, LEARNER = TrainingConfig, Trainer

    def open(self, config: TrainingConfig, world: World) -> SpadeData:
        return SpadeData(config, world)

    def learner(self, config: TrainingConfig, data: SpadeData, device: torch.device, world: World) -> Trainer:
        return Trainer(config, data.labels, device, world, examples=data.read(data.train[:MEASURED]))

    def begin(
        self, config: TrainingConfig, data: SpadeData, device: torch.device, world: World
    ) -> tuple[Trainer, list[str]]:
        missing = ""
        if config.perceptual_net == "auto":  # a resumed run compares in the same network, wherever it is
            settled = world.share("segmenter" if find_vgg() is None else "vgg19")
            config = replace(config, perceptual_net=settled)
            missing = f" (no {vgg_file()} on disk)" if settled == "segmenter" and config.perceptual else ""
        if config.init_from is None:
            config = replace(config, model=replace(config.model, classes=len(data.labels)))
            trainer = self.learner(config, data, device, world)
            return trainer, [trainer.note + missing]
        start = Painter.load(config.init_from)
        if start.labels.names != data.labels.names:
            raise ConfigError(
                f"--init-from {config.init_from} paints {', '.join(start.labels.names)}, the data have "
                f"{', '.join(data.labels.names)}; they must be the same"
            )
        trainer = self.learner(config, data, device, world)
        return trainer, [trainer.note + missing, f"{config.init_from}: {trainer.init_from(start)}"]

    def summary(self, learner: Trainer, data: SpadeData) -> str:
        height, width = learner.config.model.size
        millions = {
            name: sum(each.numel() for each in network.parameters()) / 1e6
            for name, network in [*learner.networks.items(), ("discriminator", learner.discriminator)]
        }
        sizes = ", ".join(f"{name} {count:.1f}" for name, count in millions.items())
        return (
            f"SPADE, millions of parameters: {sizes}; {len(data.labels)} classes; {len(data.train)} pictures to learn "
            f"from and {len(data.val)} to validate on at {width}x{height} px"
        )


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    dry_run: bool = False,
) -> Path | None:
    """Trains a SPADE in a new run folder until `config.images` were shown.

    The folder's spade.safetensors, whose path the first process returns, is the newest, best.safetensors the one whose
    paintings came nearest to the held-out pictures.

    Args:
        config: what to train on what; the data's labels decide about the number of classes, and `init_from` about the
            whole model.
        out, device, start_seconds, dry_run: see `shoegen.torch_utils.training.train`, also for what is raised.
    """
    paths = {
        name: getattr(config, name) for name in ("data", "maps", "labels", "instances", "val", "init_from")
    }
    given = {
        name: os.path.abspath(path) for name, path in paths.items() if path is not None and path != "default"
    }
    config = replace(config, **given)  # for a resume from elsewhere
    if config.init_from is not None:
        config = replace(config, model=Painter.load(config.init_from).config)
    return training.train(
        _Kind(),
        config,
        out,
        device=device,
        start_seconds=start_seconds,
        dry_run=dry_run,
    )


def resume(
    out: str | Path, *, device: str = "auto", start_seconds: float = START_SECONDS, **changes: Any
) -> Path | None:
    """Goes on with the run in `out`, see `shoegen.torch_utils.training.resume`.

    Args:
        changes: fields of the configuration that differ from now on, such as `images`; the learning rates then follow
            the new number.
    """
    return training.resume([_Kind()], out, device=device, start_seconds=start_seconds, **changes)
