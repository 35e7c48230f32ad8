"""How much of a batch fits into memory at once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import torch

from shoegen.errors import TrainingError
from shoegen.stylegan.config import TrainingConfig
from shoegen.stylegan.trainer import Trainer
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.memory import free_memory, is_out_of_memory, measure_peak, release_freed_memory


@contextlib.contextmanager
def explain_memory(trainer: Trainer) -> Iterator[None]:
    """Says how many images a pass could take, where memory ran out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        count = len(trainer.passes[0].rows)
        traceback.clear_frames(error.__traceback__)  # which hold the failed step's tensors
        config, device, world = trainer.config, trainer.device, trainer.world
        trainer.__dict__.clear()
        release_freed_memory()
        raise TrainingError(
            f"out of memory with {count} images in one pass on {device}; {_advice(config, device, world, below=count)}"
        ) from error


def _advice(config: TrainingConfig, device: torch.device, world: World, *, below: int) -> str:
    """What to do, found by another process: this one's memory may be in pieces, and its libraries out of order."""
    question = {
        "config": config.to_dict(),
        "device": str(device),
        "processes": (world.size, world.local_size),
        "below": below,
    }
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "shoegen.stylegan.fitting"],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        answer = ""
    return (
        answer
        or "use a smaller --batch-gpu, which gives the same gradients, or lower --resolution or --width"
    )


def _answer(question: dict[str, Any]) -> str:
    config = TrainingConfig.from_dict(question["config"])
    size, local_size = question["processes"]
    world = World(size=size, local_size=local_size)
    try:
        fits = largest_pass(config, torch.device(question["device"]), world, below=question["below"])
    except TrainingError as error:
        return str(error)
    return f"use --batch-gpu {fits}, which fits and gives the same gradients"


def largest_pass(
    config: TrainingConfig, device: torch.device, world: World, *, below: int | None = None
) -> int:
    """How many images one pass can take in the free memory of a device, from a trial of the smallest pass.

    Raises:
        TrainingError: not even the smallest.
    """
    group = min(config.discriminator.mbstd_group, config.batch)
    per_process = config.batch // world.size
    counts = [
        count
        for count in range(group, per_process + 1, group)
        if per_process % count == 0 and (below is None or count < below)
    ]
    if not counts:
        raise TrainingError(
            "a smaller pass is not possible; lower --resolution or --width, or use more processes"
        )
    free = free_memory(device) / (world.local_size if device.type == "cpu" else 1)
    trial = dataclasses.replace(config, batch=group, batch_gpu=None, init_from=None)
    try:
        with measure_peak(device) as peak:
            trainer = Trainer(trial, device)
            c = torch.zeros(group, config.generator.c_dim, device=device) if config.generator.c_dim else None
            trainer.train_step(torch.zeros(group, *config.generator.image_shape, device=device), c)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"not even {group} images in one pass fit; lower --resolution or --width"
        ) from None
    networks = (trainer.generator, trainer.discriminator)
    weights = sum(each.numel() * each.element_size() for network in networks for each in network.parameters())
    fixed = 5 * weights  # with their gradients, Adam's two means, and the average
    per_image = max(peak.bytes - fixed, 0) / group
    fits = [count for count in counts if fixed + count * per_image < 0.85 * free]
    if not fits:
        raise TrainingError(
            f"{group} images in one pass need {(fixed + group * per_image) / 1e9:.1f} GB, free are {free / 1e9:.1f}; "
            "lower --resolution or --width"
        )
    return max(fits)


if __name__ == "__main__":
    print(_answer(json.load(sys.stdin)))
