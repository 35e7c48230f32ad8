"""Training an encoder, on one device or on many. A resumed run is the uninterrupted one, bit for bit on CPU."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shoegen.inversion.config import TrainingConfig
from shoegen.inversion.data import SampleData
from shoegen.inversion.trainer import EncoderLearner
from shoegen.torch_utils import training
from shoegen.torch_utils.distributed import START_SECONDS, World


class EncoderKind(training.Kind):
    """See `training.Kind`."""

    CONFIG, LEARNER = TrainingConfig, EncoderLearner

    def open(self, config: TrainingConfig, world: World) -> SampleData:
        return SampleData(config)

    def begin(
        self, config: TrainingConfig, data: SampleData, device: torch.device, world: World
    ) -> tuple[EncoderLearner, list[str]]:
        learner = self.learner(config, data, device, world)
        return learner, ["training starts from scratch"]

    def learner(
        self, config: TrainingConfig, data: SampleData, device: torch.device, world: World
    ) -> EncoderLearner:
        return EncoderLearner(config, data.generator, data.basis, device, world)

    def summary(self, learner: Any, data: Any) -> str:
        size = sum(each.numel() for each in learner.net.parameters()) / 1e6
        return f"encoder of {size:.1f} M parameters for {data.contents}, samples drawn as they are needed"


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    dry_run: bool = False,
) -> Path | None:
    """Trains in a new run folder, see `torch_utils.training.train`."""
    if config.data != "default":
        config = replace(config, data=os.path.abspath(config.data))  # for a resume from elsewhere
    return training.train(
        EncoderKind(), config, out, device=device, start_seconds=start_seconds, dry_run=dry_run
    )


def resume(
    out: str | Path, *, device: str = "auto", start_seconds: float = START_SECONDS, **changes: Any
) -> Path | None:
    """Goes on with the run in `out`, see `torch_utils.training.resume`."""
    return training.resume([EncoderKind()], out, device=device, start_seconds=start_seconds, **changes)
