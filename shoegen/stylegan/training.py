"""Training StyleGAN2-ADA (arXiv 1912.04958, 2006.06676), on one device or on many."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.images import image_grid, write_image
from shoegen.data.loading import BatchReader
from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.config import TrainingConfig, override
from shoegen.stylegan.fitting import explain_memory, largest_pass
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.trainer import KIND, Trainer
from shoegen.stylegan.transfer import TransferReport, read_weights
from shoegen.stylegan.watch import Watch
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.distributed import START_SECONDS, World, join_world
from shoegen.torch_utils.memory import keep_freed_memory, peak_memory_gb
from shoegen.torch_utils.pixels import as_rgb, from_pixels, to_pixels
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.run_folder import RunFolder, check_new_run
from shoegen.torch_utils.signals import StopRequest

MODEL_FILE = "generator.safetensors"
BEST_FILE = "best.safetensors"
REPORT_SECONDS = 10.0
SAMPLES = 32

Evaluate = Callable[[Generator], dict[str, float]]
"""Quality figures of a generator; the first is the one whose least value counts as best."""
Monitor = Callable[[TrainingConfig], Callable[[ImageDataset], Evaluate] | None]
"""Makes, of a configuration and then its data, what evaluates; see `shoegen.metrics.monitor`."""


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
    `generator.safetensors`, whose path the first process returns, and the others None. SIGTERM or Ctrl-C saves and
    returns. Processes that torchrun starts again after a crash go on with the run that it began.

    Args:
        config: what to train on what; presets are in `shoegen.stylegan.config.PRESETS`.
        out: the run folder.
        monitor: makes what measures the averaged generator; the best one so far is kept as `best.safetensors`.
        device: auto, cpu or cuda.
        start_seconds: how long the processes of a training wait for one another at its start.
        auto_batch_gpu: find out how many images one pass can take in this device's memory.
        dry_run: check everything and say what would be done.

    Raises:
        ConfigError, DataError, FileFormatError, OutputError: before the training starts.
        TrainingError: gradients stay NaN or infinite, memory does not suffice, or a process is lost; the last
            checkpoint is from before.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        if world.share(world.is_first and world.restarts > 0 and world.remembers("run begun")):
            return _resume(world, out, {}, monitor, device)
        if world.is_first:
            check_new_run(out)
        config = dataclasses.replace(config, data=os.path.abspath(config.data))  # for a resume from elsewhere
        config.check_batch(world.size)
        prepare = monitor(config) if monitor else None
        place = _pick(device, world)
        _check_precision(config, place)
        data = _open_data(config, world)
        config = config.with_classes(len(data.class_names))
        evaluate = prepare(data) if prepare and world.is_first else None
        if auto_batch_gpu:
            config = dataclasses.replace(config, batch_gpu=world.share(largest_pass(config, place, world)))
        trainer = Trainer(config, place, world, class_counts=_class_counts(data))
        report = _init(trainer)
        if dry_run:
            if world.is_first:
                print(_describe_run(trainer, data))
            return None
        with _run_folder(world, lambda: RunFolder.create(out, config.to_dict(), kind=KIND)) as run:
            if world.is_first:
                world.remember("run begun")
            return _train(trainer, data, run, Saved(evaluate=evaluate), report)


def resume(
    out: str | Path,
    *,
    monitor: Monitor | None = None,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    **changes: Any,
) -> Path | None:
    """Goes on with the run in `out` from its newest checkpoint, on CPU bit for bit as if it had not stopped.

    The number of processes may be another one than before.

    Args:
        changes: fields of the configuration that differ from now on, such as `kimg`; those that change what is learned
            make it another run.
        out, monitor, device, start_seconds: as for `train`.

    Raises: as `train`.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        return _resume(world, out, changes, monitor, device)


def _resume(
    world: World, out: str | Path, changes: dict[str, Any], monitor: Monitor | None, device: str
) -> Path | None:
    with _run_folder(world, lambda: RunFolder.resume(out, kind=KIND)) as run:
        # The first process alone reads the checkpoint: the others may not see the folder.
        values, state = world.share((run.config, run.state) if run else None)
        config = override(TrainingConfig.from_dict(values), **changes)
        config.check_batch(world.size)
        prepare = monitor(config) if monitor else None
        place = _pick(device, world)
        _check_precision(config, place)
        data = _open_data(config, world)
        if len(data.class_names) != config.generator.c_dim:
            raise ConfigError(
                f"{config.data} has {len(data.class_names)} classes, the run began with {config.generator.c_dim}; "
                "restore the data set, or start anew with --init-from"
            )
        trainer = Trainer(config, place, world, class_counts=_class_counts(data))
        saved, report = Saved(), None
        if state:
            trainer.load_state_dict(state)
            saved = Saved(best=state.get("best"), evaluated=state.get("evaluated", 0))
            if state.get("data") != _fingerprint(data):
                raise ConfigError(
                    f"{config.data} is not the data set that the run began with ({len(data)} pictures now); restore "
                    "it, or start anew with --init-from"
                )
        else:
            report = _init(trainer)
        if not trainer.images < config.kimg * 1000:
            raise ConfigError(
                f"--kimg {config.kimg:g}: expected more than the {trainer.images / 1000:g} kimg that the run has shown"
            )
        saved.evaluate = prepare(data) if prepare and world.is_first else None
        if run and changes:
            run.keep_config(config.to_dict())
        return _train(trainer, data, run, saved, report)


@dataclass
class Saved:
    """What a run knows of its evaluations.

    evaluate: measures, in the first process. best: metric, value, images. evaluated: images at the last one.
    """

    evaluate: Evaluate | None = None
    best: dict[str, Any] | None = None
    evaluated: int = 0


def _train(
    trainer: Trainer,
    data: ImageDataset,
    run: RunFolder | None,  # of the first process
    saved: Saved,
    transferred: TransferReport | None,
) -> Path | None:
    config, world = trainer.config, trainer.world
    total, snapshot = config.kimg * 1000, config.snapshot_kimg * 1000
    evaluation = (config.metric_kimg or 5 * config.snapshot_kimg) * 1000
    keep_freed_memory()
    watch = Watch(config.augment)
    with (
        LiveProgress(
            "training", config.kimg, unit="kimg", done=trainer.images / 1000, on=world.is_first
        ) as progress,
        _batches(data, trainer) as batches,
        StopRequest() as stop,
    ):
        for line in [
            *_notes(trainer, data),
            *([f"{config.init_from}: {transferred}"] if transferred else []),
        ]:
            progress.message(line)
        if run and trainer.images == 0:
            first = np.stack([data[i] for i in range(min(SAMPLES, len(data)))])
            _write_samples(run, "reals", from_pixels(torch.from_numpy(first)))
        reported, reported_images = time.monotonic(), trainer.images
        snapshots = trainer.images // snapshot
        for images, classes in batches:
            # Learn.
            with explain_memory(trainer):
                trainer.train_step(*_on_device(images, classes, trainer))
            elapsed = time.monotonic() - reported
            stopping, reporting = world.any(stop.asked, elapsed >= REPORT_SECONDS)
            done = trainer.images >= total or stopping
            saving = done or trainer.images // snapshot > snapshots
            due = trainer.images // evaluation > saved.evaluated // evaluation

            # Report.
            if reporting or saving:
                figures = _figures(trainer)
                figures["images_per_second"] = (trainer.images - reported_images) / elapsed
                figures["data_wait"] = batches.waited_seconds / elapsed
                batches.waited_seconds = 0.0
                if run:
                    run.log(trainer.images, figures)
                progress.update(trainer.images / 1000, _describe(figures))
                for line in watch.advice(figures):
                    progress.message(line)

            # Save.
            if saving:
                snapshots = trainer.images // snapshot
                if run and saved.evaluate and (due or done) and not stopping:
                    for line in _evaluate(trainer, run, saved, saved.evaluate, watch):
                        progress.message(line)
                if run:
                    _save(trainer, data, run, saved)
            if reporting or saving:
                reported, reported_images = (
                    time.monotonic(),
                    trainer.images,
                )  # saving does not count as slow training

            # Done?
            if done:
                if stopping:
                    progress.message(f"stopped at {trainer.images / 1000:g} kimg, saved; go on with --resume")
                break
    return run.path / MODEL_FILE if run else None


# ---- the parts of a run ----


@contextlib.contextmanager
def _run_folder(world: World, make: Callable[[], RunFolder]) -> Iterator[RunFolder | None]:
    """The first process's run folder; the others have none."""
    if world.is_first:
        with make() as run:
            yield run
    else:
        yield None


def _pick(device: str, world: World) -> torch.device:
    place = pick_device(device)
    if world.size > 1 and place.type == "cuda":
        place = torch.device("cuda", world.local_rank)
    return place


def _check_precision(config: TrainingConfig, device: torch.device) -> None:
    """Refuses what a device lacks, and sets how it multiplies."""
    if device.type == "cpu" and config.precision == "float16":
        raise ConfigError("--precision float16: CPUs lack it; use bfloat16 or float32, or a GPU")
    if device.type == "cpu" and config.tf32:
        raise ConfigError("--tf32: CPUs lack it; leave it out")
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = config.tf32


def _open_data(config: TrainingConfig, world: World) -> ImageDataset:
    height, width = config.generator.image_size
    return ImageDataset(
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


def _class_counts(data: ImageDataset) -> list[int]:
    classes = [data.class_of(i) or 0 for i in range(len(data))] if data.class_names else []
    return np.bincount(classes, minlength=len(data.class_names)).tolist() if classes else []


def _fingerprint(data: ImageDataset) -> str:
    """Whether it is the data set that a run began with."""
    classes = [data.class_of(i) for i in range(len(data.names))] if data.class_names else None
    text = json.dumps([data.content_hash, data.mirror, data.class_names, classes])
    return hashlib.sha256(text.encode()).hexdigest()


def _init(trainer: Trainer) -> TransferReport | None:
    path = trainer.config.init_from
    if path is None:
        return None
    if not path:
        raise ConfigError("--init-from: got an empty path, expected a model")
    state = trainer.world.share(read_weights(path) if trainer.world.is_first else None)
    try:
        return trainer.init_from(state, allow_partial=trainer.config.allow_partial)
    except FileFormatError as error:
        raise FileFormatError(f"--init-from {path}: {error}") from error


@contextlib.contextmanager
def _batches(data: ImageDataset, trainer: Trainer) -> Iterator[BatchReader]:
    """This process's share of endless batches, from where the run stands."""
    config = trainer.config
    stream = infinite_indices(len(data), config.seed, trainer.images)
    rows = [row for each in trainer.passes for row in each.rows]

    def shares() -> Iterator[list[int]]:
        while True:
            batch = [next(stream) for _ in range(config.batch)]
            yield [batch[row] for row in rows]

    with BatchReader(data, shares()) as reader:
        yield reader


def _on_device(
    images: np.ndarray, classes: np.ndarray | None, trainer: Trainer
) -> tuple[Tensor, Tensor | None]:
    real = from_pixels(torch.from_numpy(images).to(trainer.device))
    if classes is None:
        return real, None
    c = F.one_hot(torch.from_numpy(classes), trainer.config.generator.c_dim)
    return real, c.float().to(trainer.device)


def _notes(trainer: Trainer, data: ImageDataset) -> list[str]:
    config, world = trainer.config, trainer.world
    count = len(trainer.passes[0].rows)
    passes = f" in passes of {count}" if count < config.batch // world.size else ""
    processes = f", {world.size} processes" if world.size > 1 else ""
    height, width = config.generator.image_size
    classes = f" of {len(data.class_names)} classes" if data.class_names else ""
    return [
        *(f"note: {note}" for note in data.notes),
        f"{len(data)} pictures{classes} at {width}x{height} px, batch {config.batch}{passes}, on {trainer.device}"
        f"{processes}",
    ]


def _describe_run(trainer: Trainer, data: ImageDataset) -> str:
    """What `--dry-run` prints."""
    config = trainer.config
    counts = {
        name: sum(each.numel() for each in network.parameters())
        for name, network in [("generator", trainer.generator), ("discriminator", trainer.discriminator)]
    }
    return "\n".join(
        [
            json.dumps(config.to_dict(), indent=2),
            *_notes(trainer, data),
            *(f"{name}: {count / 1e6:.1f} million parameters" for name, count in counts.items()),
            f"{config.kimg:g} kimg would be {math.ceil(config.kimg * 1000 / config.batch)} steps; nothing was written",
        ]
    )


def _figures(trainer: Trainer) -> dict[str, float]:
    """What happened since the last report, over all processes."""
    world = trainer.world
    own = trainer.means.take()
    sums = world.add(torch.tensor(list(own.values()), dtype=torch.float64)) / world.size
    figures = {name: value for name, value in zip(own, sums.tolist(), strict=True) if math.isfinite(value)}
    figures["augment_p"] = trainer.augment_control.p
    figures["nonfinite_updates"] = float(sum(trainer.nonfinite.values()))
    figures["peak_memory_gb"] = peak_memory_gb(trainer.device)
    return figures


def _describe(figures: dict[str, float]) -> str:
    def value(name: str, form: str) -> str:
        return format(figures[name], form) if name in figures else "not finite"

    bad = f"  {figures['nonfinite_updates']:.0f} updates not finite" if figures["nonfinite_updates"] else ""
    return (
        f"{figures['images_per_second']:.1f} images/s  data {figures['data_wait']:.0%}  "
        f"{figures['peak_memory_gb']:.1f} GB  G {value('loss_g', '.3f')}  D {value('loss_d', '.3f')}  "
        f"r_t {value('r_t', '+.2f')}  p {figures['augment_p']:.3f}{bad}"
    )


def _evaluate(
    trainer: Trainer, run: RunFolder, saved: Saved, evaluate: Evaluate, watch: Watch
) -> Iterator[str]:
    """Logs the figures of the averaged generator and keeps it if it is the best so far; lines to show."""
    figures = evaluate(trainer.generator_ema)
    saved.evaluated = trainer.images
    run.log(trainer.images, figures)
    yield "  ".join(f"{name} {value:.5g}" for name, value in figures.items())
    yield from watch.advice(figures)
    metric, value = next(iter(figures.items()))
    if saved.best is None or saved.best["metric"] != metric or value < saved.best["value"]:
        saved.best = {"metric": metric, "value": value, "images": trainer.images}
        _save_generator(trainer, run.path / BEST_FILE, {"best": saved.best})


def _save(trainer: Trainer, data: ImageDataset, run: RunFolder, saved: Saved) -> None:
    config = trainer.config.generator
    z = torch.randn(SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0)).to(trainer.device)
    c = F.one_hot(torch.arange(SAMPLES) % config.c_dim, config.c_dim).to(z) if config.c_dim else None
    with torch.no_grad():
        images = [
            trainer.generator_ema(z[i : i + 8], None if c is None else c[i : i + 8])
            for i in range(0, SAMPLES, 8)
        ]
    _write_samples(run, f"{trainer.images:09d}", torch.cat(images))
    _save_generator(trainer, run.path / MODEL_FILE, {})
    state = {
        "data": _fingerprint(data),
        "best": saved.best,
        "evaluated": saved.evaluated,
        **trainer.state_dict(),
    }
    # Last: once it is there, so is the rest.
    best = {saved.best["images"]} if saved.best else set()
    run.save_checkpoint(trainer.images, state, keep=trainer.config.keep, protect=best)


def _save_generator(trainer: Trainer, path: Path, notes: dict[str, Any]) -> None:
    notes = {"kimg": trainer.images / 1000, "training": trainer.config.to_dict(), **notes}
    trainer.generator_ema.save(path, notes=notes)


def _write_samples(run: RunFolder, name: str, images: Tensor) -> None:
    write_image(run.path / "samples" / f"{name}.png", image_grid(to_pixels(as_rgb(images)), columns=8))
