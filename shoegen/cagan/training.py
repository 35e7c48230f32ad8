"""Training, on one device or on many. A resumed run is the uninterrupted one, bit for bit on CPU."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shoegen.cagan.config import TrainingConfig
from shoegen.cagan.data import CaganData
from shoegen.cagan.swapping import Swapper
from shoegen.cagan.trainer import CaganLearner, count_parameters
from shoegen.torch_utils import training
from shoegen.torch_utils.distributed import START_SECONDS, World
from shoegen.torch_utils.text import describe_size


class CaganKind(training.Kind):
    """See `training.Kind`."""

    CONFIG, LEARNER = TrainingConfig, CaganLearner

    def open(self, config: TrainingConfig, world: World) -> CaganData:
        return CaganData(config, world)

    def begin(
        self, config: TrainingConfig, data: CaganData, device: torch.device, world: World
    ) -> tuple[CaganLearner, list[str]]:
        start = None
        if config.init_from is not None:  # the others may not see the file
            start = world.share(Swapper.load(config.init_from) if world.is_first else None)
        learner = CaganLearner(config, device, world)
        if start is None:
            return learner, ["training starts from scratch"]
        learner.init_from(start)
        return learner, [f"training starts from the generator {config.init_from}"]

    def learner(
        self, config: TrainingConfig, data: CaganData, device: torch.device, world: World
    ) -> CaganLearner:
        return CaganLearner(config, device, world)

    def summary(self, learner: Any, data: Any) -> str:
        sizes = [count_parameters(net) / 1e6 for net in (learner.generator, learner.discriminator)]
        truths = sum(1 for i in data.train if data.pairs.pairs[i].truth) if learner.config.truth else 0
        return (
            f"generator {sizes[0]:.1f} M, discriminator {sizes[1]:.1f} M parameters, {len(data.train)} photos to learn "
            f"from{f', {truths} with the truth,' if truths else ''} and {len(data.val)} to validate on at "
            f"{describe_size(learner.config.model.size)}"
        )


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    dry_run: bool = False,
) -> Path | None:
    """Trains in a new run folder, see `torch_utils.training.train`."""
    given = {name: getattr(config, name) for name in ("data", "val", "init_from")}
    paths = {name: os.path.abspath(path) for name, path in given.items() if path and path != "default"}
    config = replace(config, **paths)  # for a resume from elsewhere
    return training.train(
        CaganKind(), config, out, device=device, start_seconds=start_seconds, dry_run=dry_run
    )


def resume(
    out: str | Path, *, device: str = "auto", start_seconds: float = START_SECONDS, **changes: Any
) -> Path | None:
    """Goes on with the run in `out`, see `torch_utils.training.resume`."""
    return training.resume([CaganKind()], out, device=device, start_seconds=start_seconds, **changes)
