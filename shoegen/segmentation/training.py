"""Training a segmenter, on one device or on many. Progress is counted in images shown.

A resumed run is the uninterrupted one, bit for bit on CPU.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from shoegen.data.images import write_image
from shoegen.errors import ConfigError
from shoegen.segmentation.config import NetConfig, RunConfig, SegmenterConfig, TrainingConfig, describe_size
from shoegen.segmentation.data import RunData, SegmentationData
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig
from shoegen.segmentation.instances.data import InstanceData
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.instances.pretrained import find_backbone
from shoegen.segmentation.instances.trainer import InstanceTrainer
from shoegen.segmentation.models.pretrained import find_weights
from shoegen.segmentation.parts import MODEL_FILE, PartSegmenter
from shoegen.segmentation.range_test import RangeTest, range_test
from shoegen.segmentation.trainer import RunTrainer, Trainer
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.distributed import START_SECONDS, World, join_world
from shoegen.torch_utils.files import check_writable, write_json
from shoegen.torch_utils.memory import explain_out_of_memory, keep_freed_memory, peak_memory_gb
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.run_folder import RunFolder, check_new_run
from shoegen.torch_utils.signals import StopRequest

SHOW_SECONDS = 10.0


@dataclass(frozen=True)
class _Kind:
    """A kind of training."""

    config: type[RunConfig]
    data: Any
    trainer: type[RunTrainer]
    segmenter: Any


_KINDS = {
    kind.trainer.KIND: kind
    for kind in (
        _Kind(TrainingConfig, SegmentationData, Trainer, PartSegmenter),
        _Kind(InstanceTrainingConfig, InstanceData, InstanceTrainer, InstanceSegmenter),
    )
}


def _kind_of(config: RunConfig) -> _Kind:
    return next(kind for kind in _KINDS.values() if isinstance(config, kind.config))


def train(
    config: RunConfig,
    out: str | Path,
    *,
    pretrained: bool | None = False,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    dry_run: bool = False,
) -> Path | None:
    """Trains a segmenter in a new run folder until `config.images` were shown.

    The first process returns the path of the best one, once there is one; the others None. Best is by mean IoU, and
    for instances by the average precision of masks. SIGTERM or
    Ctrl-C saves and returns. Processes that torchrun starts again after a crash go on with the run that it began.

    Args:
        config: what to train on what: a `TrainingConfig`, or for Mask R-CNN an `InstanceTrainingConfig`; the data's
            labels decide about the number of classes.
        out: the run folder.
        pretrained: begin with ImageNet weights of the encoder: True: they must be had; None: if they can be had.
        device: auto, cpu or cuda.
        start_seconds: how long the processes of a training wait for one another at its start.
        dry_run: check everything and say what would be done.

    Raises:
        ConfigError, DataError, FileFormatError, OutputError: before the training starts.
        TrainingError: gradients stay NaN or infinite, memory does not suffice, or a process is lost.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        if world.share(world.is_first and world.restarts > 0 and world.remembers("run begun")):
            return _resume(world, out, {}, device)
        if world.is_first:
            check_new_run(out)
        config = with_absolute_paths(config)  # for a resume from elsewhere
        trainer, data, notes = _begin(config, world, device, pretrained)
        if dry_run:
            if world.is_first:
                print(_describe_run(trainer, notes))
            return None
        with contextlib.ExitStack() as stack:
            values = trainer.config.to_dict()
            run = (
                stack.enter_context(RunFolder.create(out, values, kind=trainer.KIND))
                if world.is_first
                else None
            )
            if run:
                world.remember("run begun")
            return _train(trainer, data, run, notes)


def resume(
    out: str | Path, *, device: str = "auto", start_seconds: float = START_SECONDS, **changes: Any
) -> Path | None:
    """Goes on with the run in `out` from its newest checkpoint; what its config.json says, holds.

    The number of processes may be another one than before.

    Args:
        changes: fields of the configuration that differ from now on, such as `images` and `patience`.
        out, device, start_seconds: as for `train`.

    Raises: as `train`, and FileFormatError where the checkpoint is damaged or of another network.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        return _resume(world, out, changes, device)


def _resume(world: World, out: str | Path, changes: dict[str, Any], device: str) -> Path | None:
    with contextlib.ExitStack() as stack:
        name = _kind_of_run(out)
        run = stack.enter_context(RunFolder.resume(out, kind=name)) if world.is_first else None
        # The first process alone reads the checkpoint: the others may not see the folder.
        name, values, state = world.share((name, run.config, run.state) if run else None)
        kind = _KINDS[name]
        unknown = set(changes) - {each.name for each in fields(kind.config)}
        if unknown:
            raise ConfigError(
                f"--resume: this run has no {', '.join(f'--{each}' for each in sorted(unknown))}"
            )
        config = replace(kind.config.from_dict(values), **changes)
        if state is None:
            trainer, data, notes = _begin(config, world, device, config.model.pretrained)
        else:
            data = kind.data(config, world)
            if state.get("data") != data.fingerprint:
                raise ConfigError(
                    f"{config.data} is not the data set that the run began with ({len(data.train)} pictures to learn "
                    f"from of {len(data.labels)} classes now); restore it, or start anew with --init-from"
                )
            trainer = kind.trainer.of(config, data, pick_device(device), world)
            trainer.load_state_dict(state)
            notes = _notes(trainer, data)
        if trainer.images > config.images:
            raise ConfigError(
                f"--images {config.images}: expected at least the {trainer.images} that the run has shown"
            )
        if trainer.is_stale:
            raise ConfigError(
                f"the run stopped since {trainer.stale} evaluations were no better; go on with a higher --patience"
            )
        if run and changes:
            run.keep_config(trainer.config.to_dict())
        return _train(trainer, data, run, notes, owed=bool(state and state.get("owed")))


def _kind_of_run(out: str | Path) -> str:
    """Of the run in a folder; where it cannot be told, any: `RunFolder.resume` says what is wrong."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kind = json.loads((Path(out) / "config.json").read_bytes())["kind"]
        if kind in _KINDS:
            return kind
    return Trainer.KIND


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """With paths that hold anywhere."""
    given = {
        name: getattr(config, name, None)
        for name in ("data", "val", "pictures", "val_pictures", "after", "init_from")
    }
    paths = {name: path for name, path in given.items() if path and path != "default"}
    return replace(config, **{name: os.path.abspath(path) for name, path in paths.items()})


def find_learning_rate(
    config: RunConfig,
    out: str | Path,
    *,
    pretrained: bool | None = False,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
) -> RangeTest:
    """A learning-rate range test: its figures and plot go to the folder `out`, as lr_find.json and lr_find.png.

    Args and Raises: as for `train`.
    """
    out = Path(out)
    with join_world(device, start_seconds=start_seconds) as world:
        if world.is_first:
            check_writable(out / "lr_find.json")
        trainer, data, notes = _begin(config, world, device, pretrained)
        keep_freed_memory()
        with (
            LiveProgress("learning-rate range test", 1, unit="test", on=world.is_first) as progress,
            data.batches(trainer.rows, 0) as batches,
            _explain_memory(trainer),
        ):
            for note in notes:
                progress.message(note)
            result = range_test(trainer, batches, progress.update)
        if world.is_first:
            write_json(out / "lr_find.json", result.to_dict())
            write_image(out / "lr_find.png", result.plot())
        return result


# ---- how a run begins ----


@dataclass(frozen=True)
class _Start:
    """What the weights of a new run begin as; what it is said about them."""

    model: NetConfig
    encoder: dict[str, torch.Tensor] | None = None
    segmenter: Any = None
    note: str = "training starts from scratch"


def _begin(
    config: RunConfig, world: World, device: str, pretrained: bool | None
) -> tuple[RunTrainer, RunData[Any], list[str]]:
    """A trainer at its start, its data, and what a user should know of them."""
    kind, place = _kind_of(config), pick_device(device)
    config.check_batch(world.size)
    data = kind.data(config, world)
    config = replace(config, model=replace(config.model, classes=len(data.labels)))
    if config.schedule == "cyclical" and config.cycle is None:
        config = replace(config, cycle=max(8 * len(data.train), 2 * config.batch))
    start = world.share(_choose_start(config, pretrained) if world.is_first else None)
    config = replace(config, model=start.model)
    trainer = kind.trainer.of(config, data, place, world)
    note = start.note
    if start.encoder is not None:
        trainer.net.encoder.load_state_dict(start.encoder, strict=False)
    if start.segmenter is not None:
        note = f"{config.init_from}: {trainer.init_from(start.segmenter)}"
    return trainer, data, [*_notes(trainer, data), note]


def _choose_start(config: RunConfig, pretrained: bool | None) -> _Start:
    if config.init_from is not None:
        segmenter = _kind_of(config).segmenter.load(config.init_from)
        wanted, there = config.model.to_dict(), segmenter.config.to_dict()
        free = {name: getattr(config.model, name) for name in config.model.FREE}
        open_ = {name for name in wanted if wanted[name] == "auto"}
        differs = [
            name
            for name in wanted
            if name not in {"pretrained", *free, *open_} and wanted[name] != there[name]
        ]
        differs.sort(
            key={each.name for each in fields(NetConfig)}.__contains__
        )  # what only this kind has comes first
        if differs:
            raise ConfigError(
                f"--init-from {config.init_from} is of another network: its {differs[0]} is {there[differs[0]]}, got "
                f"{wanted[differs[0]]}; train the same one, or leave it out"
            )
        return _Start(replace(segmenter.config, **free), segmenter=segmenter)
    model = replace(config.model, pretrained=False)
    if pretrained is False:
        return _Start(model.settled())
    found = _find_weights(model)
    if not isinstance(found, str):
        model = replace(model, pretrained=True).settled()
        return _Start(model, found[0], note=f"the encoder starts from {found[1]}")
    if pretrained:
        raise ConfigError(f"--pretrained: no ImageNet weights for the encoder: {found}; leave it out")
    note = f"no ImageNet weights for the encoder: {found}; training starts from scratch"
    return _Start(model.settled(), note=note)


def _find_weights(model: NetConfig) -> tuple[dict[str, torch.Tensor], str] | str:
    if isinstance(model, MaskRCNNConfig):
        return find_backbone(model)
    assert isinstance(model, SegmenterConfig)
    return find_weights(model)


def _notes(trainer: RunTrainer, data: RunData[Any]) -> list[str]:
    config, world = trainer.config, trainer.world
    processes = f", {world.size} processes" if world.size > 1 else ""
    millions = sum(each.numel() for each in trainer.net.parameters()) / 1e6
    return [
        *(f"note: {note}" for note in data.notes),
        f"{trainer.name} of {millions:.1f} million parameters, {len(data.labels)} classes; "
        f"{len(data.train)} pictures to learn from and {len(data.val)} to validate on at "
        f"{describe_size(config.model.size)}, "
        f"batch {config.batch}, on {trainer.device}{processes}",
    ]


def _describe_run(trainer: RunTrainer, notes: list[str]) -> str:
    """What `--dry-run` prints."""
    steps = math.ceil(trainer.config.images / trainer.config.batch)
    last = f"{trainer.config.images} images would be {steps} steps; nothing was written"
    return "\n".join([json.dumps(trainer.config.to_dict(), indent=2), *notes, last])


# ---- the run ----


def _train(
    trainer: RunTrainer,
    data: RunData[Any],
    run: RunFolder | None,  # of the first process
    notes: list[str],
    *,
    owed: bool = False,  # the run was stopped where an evaluation was due
) -> Path | None:
    config, world = trainer.config, trainer.world
    keep_freed_memory()
    with (
        LiveProgress(
            "training", config.images, unit="images", done=trainer.images, on=world.is_first
        ) as progress,
        data.batches(trainer.rows, trainer.images) as batches,
        StopRequest() as stop,
    ):
        for note in notes:
            progress.message(note)
        if owed:  # a stop came before it
            for line in _evaluate(trainer, data, run):
                progress.message(line)
            _save(trainer, data, run)
        done = trainer.images >= config.images or trainer.is_stale
        shown = reported = time.monotonic()
        reported_images, waited = trainer.images, 0.0
        while not done:
            # Learn.
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            with _explain_memory(trainer):
                trainer.learn(batch)
            (stopping,) = world.any(stop.asked)
            done = trainer.images >= config.images or stopping

            # Report.
            if done or _due(config.log_every, trainer):
                elapsed = time.monotonic() - reported
                figures = _figures(trainer)
                figures["images_per_second"] = (trainer.images - reported_images) / elapsed
                figures["data_wait"] = waited / elapsed
                if run:
                    run.log(trainer.images, figures)
                progress.update(trainer.images, _describe(figures, trainer))
                shown = reported = time.monotonic()
                reported_images, waited = trainer.images, 0.0
            elif time.monotonic() - shown >= SHOW_SECONDS:
                shown = time.monotonic()
                progress.update(trainer.images, _describe_loss(trainer.means.peek(), trainer))

            # Evaluate.
            evaluating = trainer.images >= config.images or _due(config.evaluate_every, trainer)
            if evaluating and not stopping:
                for line in _evaluate(trainer, data, run):
                    progress.message(line)
                if trainer.is_stale:
                    done = True
                    progress.message(f"stopped: {trainer.stale} evaluations in a row were no better")

            # Save.
            if done or evaluating or _due(config.save_every, trainer):
                _save(trainer, data, run, owed=evaluating and stopping)
            if stopping:
                progress.message(f"stopped at {trainer.images} images, saved; go on with --resume")
    best = run.path / MODEL_FILE if run else None
    return best if best and best.exists() else None


def _save(trainer: RunTrainer, data: RunData[Any], run: RunFolder | None, *, owed: bool = False) -> None:
    if run:
        protect = {int(trainer.best["images"])} if trainer.best else set()
        state = {"data": data.fingerprint, "owed": owed, **trainer.state_dict()}
        run.save_checkpoint(trainer.images, state, protect=protect)


def _due(every: int, trainer: RunTrainer) -> bool:
    """Whether the last step passed a multiple of `every` images."""
    return trainer.images // every > (trainer.images - trainer.config.batch) // every


def _figures(trainer: RunTrainer) -> dict[str, float]:
    """What happened since the last report."""
    figures = {name: value for name, value in trainer.means.take().items() if math.isfinite(value)}
    figures["learning_rate"] = trainer.optimizer.param_groups[0]["lr"]
    figures["nonfinite_updates"] = float(sum(trainer.updates.nonfinite.values()))
    figures["peak_memory_gb"] = peak_memory_gb(trainer.device)
    return figures


def _describe(figures: dict[str, float], trainer: RunTrainer) -> str:
    bad = f"  {figures['nonfinite_updates']:.0f} gradients not finite" if figures["nonfinite_updates"] else ""
    return (
        f"{figures['images_per_second']:.2g} images/s  data {figures['data_wait']:.0%}  "
        f"{figures['peak_memory_gb']:.1f} GB  {_describe_loss(figures, trainer)}  rate "
        f"{figures['learning_rate']:.2g}{bad}"
    )


def _describe_loss(figures: dict[str, float], trainer: RunTrainer) -> str:
    """The loss, and its terms where there are any."""
    if trainer.LOSS not in figures:
        return "loss not finite"
    terms = [
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in figures.items()
        if name.startswith("loss_")
    ]
    return f"loss {figures[trainer.LOSS]:.3f}" + (f" ({', '.join(terms)})" if terms else "")


def _evaluate(trainer: RunTrainer, data: RunData[Any], run: RunFolder | None) -> Iterator[str]:
    """Logs the figures of the network as it stands and keeps it if it is the best so far; lines to show."""
    with _explain_memory(trainer):
        found = trainer.validate(data)
    best = trainer.judge(found.score)
    if run is None:
        return
    run.log(trainer.images, {f"val/{name}": value for name, value in found.figures.items()})
    for name, value in found.details.items():
        write_json(run.path / name, {"images": trainer.images, **value})
    write_image(run.path / "samples" / f"{trainer.images:09d}.png", trainer.draw_samples(data))
    if best:
        trainer.segmenter().save(run.path / MODEL_FILE)
    assert trainer.best is not None
    before = (
        "the best so far"
        if best
        else f"best {trainer.best[trainer.SCORE]:.3f} at {trainer.best['images']:.0f}"
    )
    yield f"validation at {trainer.images} images: {found.summary} ({before})"
    yield found.table


def _explain_memory(trainer: RunTrainer) -> contextlib.AbstractContextManager[None]:
    return explain_out_of_memory(
        f"with {len(trainer.rows)} pictures of {describe_size(trainer.config.model.size)} on {trainer.device}; use a "
        "smaller --batch or --resolution, or more processes"
    )
