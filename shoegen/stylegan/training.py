"""Training StyleGAN2-ADA (arXiv 1912.04958, 2006.06676), on one device or on many."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
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
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.signals import StopRequest

MODEL_FILE = "generator.safetensors"
BEST_FILE = "best.safetensors"
REPORT_SECONDS = 10.0
SAMPLES = 32

Evaluate = Callable[[Generator], dict[str, float]]
"""Quality figures of a generator; the first is the one whose least value counts as best."""
Monitor = Callable[[ImageDataset], Evaluate]


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    snapshot_kimg: float = 4.0,
    keep: int = 2,
    metric_kimg: float | None = None,
    monitor: Monitor | None = None,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    auto_batch_gpu: bool = False,
    dry_run: bool = False,
) -> Path | None:
    """Trains a generator in a new run folder until `config.kimg` thousands of real images have been shown.

    Every `snapshot_kimg`, and at the end, the folder gets a checkpoint, a sample grid (`samples/000012.png`:
    thousands of images) and `generator.safetensors`, whose path is returned. SIGTERM or Ctrl-C saves and returns.

    Args:
        config: what to train on what; presets are in `shoegen.stylegan.config.PRESETS`.
        out: the run folder.
        snapshot_kimg: thousands of images between two snapshots.
        keep: how many checkpoints stay, beside that of the best evaluation.
        metric_kimg: thousands of images between two evaluations; None for every fifth snapshot.
        monitor: makes what measures the averaged generator; the best one so far is kept as `best.safetensors`.
        device: auto, cpu or cuda.
        start_seconds: how long the processes of a training wait for one another at its start.
        auto_batch_gpu: find out how many images one pass can take in this device's memory.
        dry_run: check everything and say what would be done; returns None.

    Raises:
        ConfigError, DataError, FileFormatError, OutputError: before the training starts.
        TrainingError: gradients stay NaN or infinite, memory does not suffice, or a process is lost; the last
            checkpoint is from before.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        config.check_batch(world.size)
        plan = _Plan(snapshot_kimg, keep, metric_kimg)
        plan.check(config.kimg)
        place = _pick(device, world)
        _check_precision(config, place)
        data = _open_data(config, world)
        config = config.with_classes(len(data.class_names))
        plan.evaluate = monitor(data) if monitor and world.is_first else None
        if auto_batch_gpu:
            config = dataclasses.replace(config, batch_gpu=world.share(largest_pass(config, place, world)))
        trainer = Trainer(config, place, world)
        report = _init(trainer)
        if dry_run:
            if world.is_first:
                print(_describe_run(trainer, data))
            return None
        with _run_folder(world, lambda: RunFolder.create(out, config.to_dict(), kind=KIND)) as run:
            return _train(trainer, data, run, Path(out), plan, report)


def resume(
    out: str | Path,
    *,
    kimg: float | None = None,
    batch_gpu: int | None = None,
    snapshot_kimg: float = 4.0,
    keep: int = 2,
    metric_kimg: float | None = None,
    monitor: Monitor | None = None,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
) -> Path:
    """Goes on with the run in `out` from its newest checkpoint, on CPU bit for bit as if it had not stopped.

    The number of processes may be another one than before.

    Args:
        kimg: to train longer, or less long, than the run's configuration says.
        batch_gpu: images in one pass, if not as before; the gradients stay the same.
        out, snapshot_kimg, keep, metric_kimg, monitor, device, start_seconds: as for `train`.

    Raises: as `train`.
    """
    with (
        join_world(device, start_seconds=start_seconds) as world,
        _run_folder(world, lambda: RunFolder.resume(out, kind=KIND)) as run,
    ):
        # The first process alone reads the checkpoint: the others may not see the folder.
        values, state = world.share((run.config, run.state) if run else None)
        config = override(TrainingConfig.from_dict(values), kimg=kimg, batch_gpu=batch_gpu)
        config.check_batch(world.size)
        place = _pick(device, world)
        _check_precision(config, place)
        data = _open_data(config, world)
        if len(data.class_names) != config.generator.c_dim:
            raise ConfigError(
                f"{config.data} has {len(data.class_names)} classes, the run began with {config.generator.c_dim}; "
                "restore the data set, or start anew with --init-from"
            )
        trainer = Trainer(config, place, world)
        report, plan = None, _Plan(snapshot_kimg, keep, metric_kimg)
        if state:
            trainer.load_state_dict(state)
            if state.get("pictures") != len(data):
                raise ConfigError(
                    f"{config.data} has {len(data)} pictures, the run began with {state.get('pictures')}; restore the "
                    "data set, or start anew with --init-from"
                )
            plan.best = state["best"]
        else:
            report = _init(trainer)
        plan.check(config.kimg, shown=trainer.images / 1000)
        plan.evaluate = monitor(data) if monitor and world.is_first else None
        return _train(trainer, data, run, Path(out), plan, report)


@dataclass
class _Plan:
    """When to save and to evaluate, and the best evaluation so far."""

    snapshot_kimg: float
    keep: int
    metric_kimg: float | None
    evaluate: Evaluate | None = None
    best: dict[str, Any] | None = None  # metric, value, images

    def check(self, kimg: float, *, shown: float = 0) -> None:
        if not shown < kimg < math.inf or not self.snapshot_kimg > 0:
            raise ConfigError(
                f"--kimg {kimg:g}, --snapshot-kimg {self.snapshot_kimg:g}: expected more than the {shown:g} kimg that "
                "the run has shown, and snapshots more than 0 apart"
            )
        if self.keep < 1 or (self.metric_kimg is not None and not self.metric_kimg > 0):
            raise ConfigError(
                f"--keep {self.keep}, --metric-kimg {self.metric_kimg}: expected at least 1 checkpoint, and "
                "evaluations more than 0 apart"
            )


def _train(
    trainer: Trainer,
    data: ImageDataset,
    run: RunFolder | None,  # of the first process
    out: Path,
    plan: _Plan,
    transferred: TransferReport | None,
) -> Path:
    config, world = trainer.config, trainer.world
    total, snapshot = config.kimg * 1000, plan.snapshot_kimg * 1000
    evaluation = (plan.metric_kimg or 5 * plan.snapshot_kimg) * 1000
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
        snapshots, evaluations = trainer.images // snapshot, trainer.images // evaluation
        for images, classes in batches:
            # Learn.
            with explain_memory(trainer):
                trainer.train_step(*_on_device(images, classes, trainer))
            elapsed = time.monotonic() - reported
            stopping, reporting = world.any(stop.asked, elapsed >= REPORT_SECONDS)
            done = trainer.images >= total or stopping
            saving = done or trainer.images // snapshot > snapshots
            evaluating = plan.evaluate and saving and (done or trainer.images // evaluation > evaluations)

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
                if run and evaluating and not stopping:
                    for line in _evaluate(trainer, data, run, plan, watch):
                        progress.message(line)
                    evaluations = trainer.images // evaluation
                if run:
                    _save(trainer, data, run, plan)
            if reporting or saving:
                reported, reported_images = time.monotonic(), trainer.images  # saving does not count as slow training

            # Done?
            if done:
                if stopping:
                    progress.message(f"stopped at {trainer.images / 1000:g} kimg, saved; go on with --resume")
                break
    return out / MODEL_FILE


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


def _init(trainer: Trainer) -> TransferReport | None:
    path = trainer.config.init_from
    if not path:
        return None
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
    trainer: Trainer, data: ImageDataset, run: RunFolder, plan: _Plan, watch: Watch
) -> Iterator[str]:
    """Logs the figures of the averaged generator and keeps it if it is the best so far; lines to show."""
    assert plan.evaluate is not None
    figures = plan.evaluate(trainer.generator_ema)
    if not figures:
        return
    run.log(trainer.images, figures)
    yield "  ".join(f"{name} {value:.5g}" for name, value in figures.items())
    yield from watch.advice(figures)
    metric, value = next(iter(figures.items()))
    if plan.best is None or value < plan.best["value"]:
        plan.best = {"metric": metric, "value": value, "images": trainer.images}
        _save_generator(trainer, run.path / BEST_FILE, {"best": plan.best})


def _save(trainer: Trainer, data: ImageDataset, run: RunFolder, plan: _Plan) -> None:
    config = trainer.config.generator
    z = torch.randn(SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0)).to(trainer.device)
    c = F.one_hot(torch.arange(SAMPLES) % config.c_dim, config.c_dim).to(z) if config.c_dim else None
    with torch.no_grad():
        images = [
            trainer.generator_ema(z[i : i + 8], None if c is None else c[i : i + 8])
            for i in range(0, SAMPLES, 8)
        ]
    _write_samples(run, f"{trainer.images // 1000:06d}", torch.cat(images))
    _save_generator(trainer, run.path / MODEL_FILE, {})
    state = {"pictures": len(data), "best": plan.best, **trainer.state_dict()}
    # Last: once it is there, so is the rest.
    best = {plan.best["images"]} if plan.best else set()
    run.save_checkpoint(trainer.images, state, keep=plan.keep, protect=best)


def _save_generator(trainer: Trainer, path: Path, notes: dict[str, Any]) -> None:
    notes = {"kimg": trainer.images / 1000, "training": trainer.config.to_dict(), **notes}
    trainer.generator_ema.save(path, notes=notes)


def _write_samples(run: RunFolder, name: str, images: Tensor) -> None:
    write_image(run.path / "samples" / f"{name}.png", image_grid(to_pixels(as_rgb(images)), columns=8))
