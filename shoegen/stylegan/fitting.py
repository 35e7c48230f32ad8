"""How much of a batch fits into memory at once."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterator

import torch

from shoegen.errors import TrainingError
from shoegen.stylegan.config import TrainingConfig
from shoegen.stylegan.trainer import Trainer
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.memory import free_memory, is_out_of_memory, measure_peak


@contextlib.contextmanager
def explain_memory(trainer: Trainer) -> Iterator[None]:
    """Says how many images a pass could take, where memory ran out."""
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        config, world = trainer.config, trainer.world
        count = len(trainer.passes[0].rows)
        failed = f"out of memory with {count} images in one pass on {trainer.device}"
    # Beyond the handler, which would keep the failed step's tensors alive.
    device = trainer.device
    trainer.__dict__.clear()
    gc.collect()
    try:
        fits = largest_pass(config, device, dataclasses.replace(world, size=1), below=count)
    except TrainingError as error:
        raise TrainingError(f"{failed}; {error}") from None
    raise TrainingError(f"{failed}; use --batch-gpu {fits}, which fits and gives the same gradients")


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
    return world.share(max(fits))
