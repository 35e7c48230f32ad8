"""`shoegen train-segmenter`: a network that tells apart the parts of pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from shoegen.cli._completion import complete_model
from shoegen.cli._options import (
    parse_numbers,
    parse_size,
    process_options,
    refuse_with_resume,
    refuse_without_effect,
    resume_options,
)
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.segmentation.config import AugmentConfig, RunConfig, TrainingConfig
    from shoegen.segmentation.instances.config import InstanceTrainingConfig


@click.command("train-segmenter")
@click.option(
    "--data",
    type=click.Path(),
    help="Folder or zip with images/, masks/ and labels.json; of maskrcnn annotations of instances, of any format.",
)
@click.option(
    "--pictures",
    type=click.Path(),
    help="Of maskrcnn: folder or zip of the pictures, for annotations that stand alone.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Run folder: settings, logs, checkpoints, and the best segmenter.safetensors.",
)
@click.option(
    "--images", type=int, help="How many pictures to show in all.  [default: 60000; maskrcnn 20000]"
)
@resume_options
@click.option(
    "--lr-find", is_flag=True, help="Only try learning rates: lr_find.png and lr_find.json in --out."
)
# The network.
@click.option(
    "--arch",
    default="unet",
    show_default=True,
    help="unet, segnet, deeplab, fcn (both ResNet-50), densenet; maskrcnn (ResNet-50 and FPN), which tells instances "
    "apart.",
)
@click.option("--engine", help="Of maskrcnn: torchvision, detectron2.  [default: torchvision]")
@click.option(
    "--norm",
    help="Of maskrcnn: group, batch, frozen (with pretrained weights).  [default: frozen with them, else group]",
)
@click.option("--rois", type=int, help="Of maskrcnn: regions per picture to learn from.  [default: 512]")
@click.option(
    "--anchors",
    help="Of maskrcnn: sides of the regions looked for at 5 scales.  [default: 16,32,64,128,256; twice that at large "
    "resolutions]",
)
@click.option("--encoder", help="Of the U-Net, a name of segmentation-models-pytorch, such as resnet34.")
@click.option("--width", type=float, help="Of all others: channels as multiples of the paper's.")
@click.option(
    "--pretrained/--no-pretrained",
    default=None,
    help="Begin with ImageNet weights of the encoder. Default: if they are on disk or can be fetched.",
)
@click.option(
    "--after",
    shell_complete=complete_model,
    help="Learn to be the second network of a cascade: the first one's file, run folder, or `default`.",
)
@click.option(
    "--init-from",
    shell_complete=complete_model,
    help="A segmenter.safetensors to start from; `default` is the shipped one.",
)
@click.option(
    "--resolution",
    help="Of the pictures that the network sees: a side, or WIDTHxHEIGHT.  [default: 128; maskrcnn 256x384]",
)
# How it learns.
@click.option("--batch", type=int, help="Pictures per step, over all processes.  [default: 16; maskrcnn 2]")
@click.option(
    "--loss", default="ce+dice", show_default=True, help="ce, focal, dice, or a sum: focal+0.5*dice."
)
@click.option(
    "--class-weights",
    default="damped",
    show_default=True,
    help="By frequency f: none, damped (f^-1/4), balanced (1/f); or a number for each class: 0.1,1,2.",
)
@click.option(
    "--lr",
    type=float,
    help="Highest learning rate; --lr-find suggests one.  [default: 0.002; maskrcnn 0.0002]",
)
@click.option(
    "--schedule",
    default="onecycle",
    show_default=True,
    help="Of the learning rate: onecycle, cyclical, constant.",
)
@click.option("--cycle", type=int, help="Images of a cycle of cyclical. Default: 8 passes over the data.")
@click.option(
    "--augment",
    type=click.Choice(["studio", "street", "none"]),
    help="Random changes: before plain backgrounds of class 0, in any surroundings, none.  [default: studio; maskrcnn "
    "street]",
)
@click.option("--flip", type=float, help="Probability of a mirror image. Default: studio 0, street 0.5.")
@click.option(
    "--val", type=click.Path(), help="Another folder or zip to validate on, instead of a share of the data."
)
@click.option("--allow-shared", is_flag=True, help="Although pictures of --val are among the data.")
@click.option("--val-pictures", help="Of maskrcnn: the pictures of --val.  [default: those of --pictures]")
@click.option(
    "--val-share",
    type=float,
    help="Share of the data held out for validation.  [default: 0.05; maskrcnn 0.1]",
)
@click.option(
    "--evaluate-every", type=int, help="Images between two evaluations.  [default: 8000; maskrcnn 2000]"
)
@click.option(
    "--save-every", type=int, help="Images between two checkpoints.  [default: 4000; maskrcnn 1000]"
)
@click.option(
    "--patience",
    type=int,
    help="End after so many evaluations without a better mean IoU, or mask AP of maskrcnn.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the split, the weights, the order, the augmentation."
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@process_options
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    out: str,
    resume: bool,
    dry_run: bool,
    lr_find: bool,
    arch: str,
    pretrained: bool | None,
    device: str,
    start_seconds: float,
    **options: Any,
) -> None:
    """Train a segmenter on pictures with part maps.

    \b
    shoegen train-segmenter --data shoes.zip --out runs/parts
    shoegen train-segmenter --data street.zip --arch deeplab --augment street --resolution 256x384 --out runs/street
    shoegen train-segmenter --data via.json --pictures photos.zip --arch maskrcnn --out runs/maskrcnn
    shoegen train-segmenter --data scenes.zip --augment street --after runs/first --out runs/second
    shoegen train-segmenter --data shoes.zip --lr-find --out runs/rates
    torchrun --nproc-per-node 8 -m shoegen train-segmenter --data shoes.zip --batch 64 --out runs/parts

    SIGTERM saves and ends with exit code 0; --resume goes on. What torchrun starts again after a crash goes on by
    itself.
    """
    from shoegen.segmentation import training

    run: dict[str, Any] = {"device": device, "start_seconds": start_seconds}
    if resume:
        later = {"images", "patience", "data", "val", "pictures", "val_pictures"}
        refuse_with_resume(ctx, allowed={*later, "device", "start_seconds"})
        changes = {name: value for name, value in {"data": data, **options}.items() if name in later}
        for name in ("data", "val", "pictures", "val_pictures"):
            changes[name] = changes[name] and os.path.abspath(changes[name])
        given = {name: value for name, value in changes.items() if value is not None}
        path = training.resume(out, **given, **run)
    elif data is None:
        raise ConfigError(
            "got no --data; give a folder or zip with part maps, or go on with a run with --resume"
        )
    else:
        refuse_unused(ctx, "--arch", [arch])
        if options["val"] is None:
            _refuse(
                ctx, ("allow_shared", "val_pictures"), "is about --val, which was not given; leave it out"
            )
        else:
            refuse_without_effect(ctx, ["val_share"], "--val")
        if lr_find:
            refuse_without_effect(ctx, ["patience", "evaluate_every", "save_every"], "--lr-find")
        config = make_config(data, arch, options)
        if lr_find and not dry_run:
            result = training.find_learning_rate(config, out, pretrained=pretrained, **run)
            if int(os.environ.get("RANK", 0)) == 0:
                click.echo(f"{out}/lr_find.png: try --lr {result.suggestion:g}")
            return
        path = training.train(config, out, pretrained=pretrained, dry_run=dry_run, **run)
    if path:
        click.echo(f"best segmenter: {path}")


_OF_SEMANTIC = ("encoder", "loss", "class_weights", "after")
_OF_INSTANCES = ("engine", "norm", "rois", "anchors", "pictures", "val_pictures")


def refuse_unused(ctx: click.Context, option: str, architectures: Sequence[str]) -> None:
    """Refuses networks that there are not, and what is on the command line and none of the networks takes.

    Args:
        option: that which names the networks.

    Raises:
        ConfigError: names the first such option.
    """
    from shoegen.segmentation.instances.config import ARCHITECTURE
    from shoegen.segmentation.models import ARCHITECTURES

    known = [*ARCHITECTURES, ARCHITECTURE]
    for name in architectures:
        if name not in known:
            raise ConfigError(f"{option}: got {name!r}, expected one of {', '.join(known)}")
    got = f"got it with {option} {','.join(architectures)}; leave it out"
    if set(architectures) == {"maskrcnn"}:
        _refuse(ctx, _OF_SEMANTIC, f"is of semantic segmenters, {got}")
    if "maskrcnn" not in architectures:
        _refuse(ctx, _OF_INSTANCES, f"is of --arch maskrcnn, {got}")
    if "unet" not in architectures:
        _refuse(ctx, ("encoder",), f"is of the U-Net, {got}")
    if set(architectures) == {"unet"} and _is_given(ctx, "width"):
        raise ConfigError(f"a U-Net has no --width, {got}, or choose another --encoder")


def make_config(data: str, arch: str, options: dict[str, Any]) -> RunConfig:
    """What a training is asked for.

    Args:
        options: all of the command, by name, None where the network's own default holds; what it does not take is left
            out, see `refuse_unused`.

    Raises:
        ConfigError: a value that cannot be.
    """
    return _instance_config(data, options) if arch == "maskrcnn" else _config(data, arch, options)


def _config(data: str, arch: str, options: dict[str, Any]) -> TrainingConfig:
    """Of a semantic segmenter."""
    from shoegen.segmentation.config import SegmenterConfig, TrainingConfig

    model = SegmenterConfig(
        architecture=arch,
        resolution=parse_size("--resolution", options["resolution"] or "128"),
        **_given(options, "encoder" if arch == "unet" else "width"),
    )
    weights: Any = options["class_weights"]
    if any(each.isdigit() for each in weights):
        weights = tuple(parse_numbers("--class-weights", weights))
    return TrainingConfig(
        data=data,
        model=model,
        augment=_augment(options, "studio"),
        class_weights=weights,
        loss=options["loss"],
        after=options["after"],
        **_of_every_run(options),
    )


def _instance_config(data: str, options: dict[str, Any]) -> InstanceTrainingConfig:
    """Of Mask R-CNN."""
    from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig

    model = _given(options, "engine", "norm", "rois", "width")
    if options["resolution"] is not None:
        model["resolution"] = parse_size("--resolution", options["resolution"])
    if options["anchors"] is not None:
        model["anchors"] = _parse_anchors(options["anchors"])
    return InstanceTrainingConfig(
        data=data,
        model=MaskRCNNConfig(**model),
        augment=_augment(options, "street"),
        **_given(options, "pictures", "val_pictures"),
        **_of_every_run(options),
    )


def _refuse(ctx: click.Context, names: tuple[str, ...], why: str) -> None:
    given = [name for name in names if _is_given(ctx, name)]
    if given:
        raise ConfigError(f"--{given[0].replace('_', '-')} {why}")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those that are not left to their defaults."""
    return {name: options[name] for name in names if options[name] is not None}


def _of_every_run(options: dict[str, Any]) -> dict[str, Any]:
    names = ("images", "batch", "val", "val_share", "evaluate_every", "save_every", "patience")
    rate = {} if options["lr"] is None else {"learning_rate": options["lr"]}
    always = ("init_from", "schedule", "cycle", "allow_shared", "seed", "skip_bad")
    return {**_given(options, *names), **rate, **{name: options[name] for name in always}}


def _augment(options: dict[str, Any], default: str) -> AugmentConfig:
    from shoegen.segmentation.config import AUGMENTATIONS

    changes = AUGMENTATIONS[options["augment"] or default]
    if options["after"] is not None:  # the first network tells where the shoe is, and how large
        changes = dataclasses.replace(changes, scale=min(changes.scale, 0.08), shift=min(changes.shift, 0.02))
    return changes if options["flip"] is None else dataclasses.replace(changes, flip=options["flip"])


def _parse_anchors(text: str) -> tuple[int, ...]:
    sides = parse_numbers("--anchors", text)
    if not all(side == int(side) for side in sides):
        raise ConfigError(
            f"--anchors: got {text!r}, expected whole numbers of pixels such as 16,32,64,128,256"
        )
    return tuple(map(int, sides))
