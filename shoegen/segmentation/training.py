"""Training a segmenter, on one device or on many; the loop is that of all trainings, `shoegen.torch_utils.training`."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from shoegen.data.images import write_image
from shoegen.data.run_data import RunData
from shoegen.errors import ConfigError
from shoegen.segmentation.config import NetConfig, RunConfig, SegmenterConfig, TrainingConfig
from shoegen.segmentation.data import SegmentationData
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig
from shoegen.segmentation.instances.data import InstanceData
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.instances.pretrained import find_backbone
from shoegen.segmentation.instances.trainer import InstanceTrainer
from shoegen.segmentation.models.pretrained import find_weights
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.range_test import RangeTest, range_test
from shoegen.segmentation.trainer import RunTrainer, Trainer
from shoegen.torch_utils import training
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.distributed import START_SECONDS, World, join_world
from shoegen.torch_utils.files import check_writable, write_json
from shoegen.torch_utils.memory import keep_freed_memory
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.text import describe_size


@dataclass(frozen=True)
class _Start:
    """What the weights of a new run begin as; what it is said about them."""

    model: NetConfig
    encoder: dict[str, torch.Tensor] | None = None
    segmenter: Any = None
    note: str = "training starts from scratch"


class _Kind(training.Kind):
    """A kind of segmenter.

    Args:
        pretrained: begin with ImageNet weights of the encoder: True: they must be had; None: if they can be had;
            "as kept": as the configuration says.
    """

    DATA: Any
    SEGMENTER: Any

    def __init__(self, pretrained: bool | str | None = "as kept") -> None:
        self._pretrained = pretrained

    def open(self, config: RunConfig, world: World) -> RunData[Any]:
        return self.DATA(config, world)

    def learner(
        self, config: RunConfig, data: RunData[Any], device: torch.device, world: World
    ) -> RunTrainer:
        return self.LEARNER.of(config, data, device, world)  # type: ignore[attr-defined]

    def begin(
        self, config: RunConfig, data: RunData[Any], device: torch.device, world: World
    ) -> tuple[RunTrainer, list[str]]:
        pretrained = config.model.pretrained if self._pretrained == "as kept" else self._pretrained
        config = replace(config, model=replace(config.model, classes=len(data.labels)))
        if config.schedule == "cyclical" and config.cycle is None:
            config = replace(config, cycle=max(8 * len(data.train), 2 * config.batch))
        start = world.share(self._choose_start(config, pretrained) if world.is_first else None)
        trainer = self.learner(replace(config, model=start.model), data, device, world)
        note = start.note
        if start.encoder is not None:
            trainer.net.encoder.load_state_dict(start.encoder, strict=False)
        if start.segmenter is not None:
            note = f"{config.init_from}: {trainer.init_from(start.segmenter)}"
        return trainer, [note]

    def summary(self, learner: RunTrainer, data: RunData[Any]) -> str:
        millions = sum(each.numel() for each in learner.net.parameters()) / 1e6
        return (
            f"{learner.name} of {millions:.1f} million parameters, {len(data.labels)} classes; "
            f"{len(data.train)} pictures to learn from and {len(data.val)} to validate on at "
            f"{describe_size(learner.config.model.size)}"
        )

    def _choose_start(self, config: RunConfig, pretrained: bool | str | None) -> _Start:
        if config.init_from is not None:
            segmenter = self.SEGMENTER.load(config.init_from)
            wanted, there = config.model.to_dict(), segmenter.config.to_dict()
            free = {name: getattr(config.model, name) for name in config.model.FREE}
            open_ = {name for name in wanted if wanted[name] == "auto"}
            differs = [
                name
                for name in wanted
                if name not in {"pretrained", *free, *open_} and wanted[name] != there[name]
            ]
            # What only this kind has comes first.
            differs.sort(key={each.name for each in fields(NetConfig)}.__contains__)
            if differs:
                raise ConfigError(
                    f"--init-from {config.init_from} is of another network: its {differs[0]} is {there[differs[0]]}, "
                    f"got {wanted[differs[0]]}; train the same one, or leave it out"
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


class _Semantic(_Kind):
    CONFIG, DATA, LEARNER, SEGMENTER = TrainingConfig, SegmentationData, Trainer, PartSegmenter


class _Instances(_Kind):
    CONFIG, DATA, LEARNER, SEGMENTER = (
        InstanceTrainingConfig,
        InstanceData,
        InstanceTrainer,
        InstanceSegmenter,
    )


_KINDS = (_Semantic, _Instances)


def _kind_of(config: RunConfig, pretrained: bool | None) -> _Kind:
    return next(kind for kind in _KINDS if isinstance(config, kind.CONFIG))(pretrained)


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
    for instances by the average precision of masks.

    Args:
        config: what to train on what: a `TrainingConfig`, or for Mask R-CNN an `InstanceTrainingConfig`; the data's
            labels decide about the number of classes.
        pretrained: begin with ImageNet weights of the encoder: True: they must be had; None: if they can be had.
        out, device, start_seconds, dry_run: see `shoegen.torch_utils.training.train`, also for what is raised.
    """
    return training.train(
        _kind_of(config, pretrained),
        with_absolute_paths(config),  # for a resume from elsewhere
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
        changes: fields of the configuration that differ from now on, such as `images` and `patience`.
    """
    kinds = [kind() for kind in _KINDS]
    return training.resume(kinds, out, device=device, start_seconds=start_seconds, **changes)


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
        kind = _kind_of(config, pretrained)
        config.check_batch(world.size)
        data = kind.open(config, world)
        trainer, notes = kind.begin(config, data, pick_device(device), world)
        keep_freed_memory()
        with (
            LiveProgress("learning-rate range test", 1, unit="test", on=world.is_first) as progress,
            data.batches(trainer.rows, 0) as batches,
            trainer.explain_memory(),
        ):
            for note in [*kind.notes(trainer, data), *notes]:
                progress.message(note)
            result = range_test(trainer, batches, progress.update)
        if world.is_first:
            write_json(out / "lr_find.json", result.to_dict())
            write_image(out / "lr_find.png", result.plot())
        return result
