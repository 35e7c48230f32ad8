"""`shoegen train-segmenter`: a network that tells apart the parts of pictures."""

from __future__ import annotations

import os
from typing import Any

import click

from shoegen.cli._options import parse_numbers, parse_size, refuse_with_resume


@click.command("train-segmenter")
@click.option("--data", help="Folder or zip with images/, masks/ and labels.json.")
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Run folder: settings, logs, checkpoints, and the best segmenter.safetensors.",
)
@click.option("--images", type=int, help="How many pictures to show in all.  [default: 60000]")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, exactly where its last checkpoint is."
)
@click.option("--dry-run", is_flag=True, help="Check everything, print the configuration, and write nothing.")
@click.option(
    "--lr-find", is_flag=True, help="Only try learning rates: lr_find.png and lr_find.json in --out."
)
# The network.
@click.option(
    "--arch", default="unet", show_default=True, help="unet, segnet, deeplab, fcn (both ResNet-50), densenet."
)
@click.option("--encoder", help="Of the U-Net, a name of segmentation-models-pytorch, such as resnet34.")
@click.option("--width", type=float, help="Of all others: channels as multiples of the paper's.")
@click.option(
    "--pretrained/--no-pretrained",
    default=None,
    help="Begin with ImageNet weights of the encoder. Default: if they are on disk or can be fetched.",
)
@click.option("--init-from", help="A segmenter.safetensors to start from; `default` is the shipped one.")
@click.option(
    "--resolution",
    default="128",
    show_default=True,
    help="Of the pictures that the network sees: a side, or WIDTHxHEIGHT such as 256x384.",
)
# How it learns.
@click.option("--batch", default=16, show_default=True, help="Pictures per step, over all processes.")
@click.option(
    "--loss", default="ce+dice", show_default=True, help="ce, focal, dice, or a sum: focal+0.5*dice."
)
@click.option(
    "--class-weights",
    default="damped",
    show_default=True,
    help="By frequency f: none, damped (f^-1/4), balanced (1/f); or a number for each class: 0.1,1,2.",
)
@click.option("--lr", default=2e-3, show_default=True, help="Highest learning rate; --lr-find suggests one.")
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
    default="studio",
    show_default=True,
    help="Random changes: before plain backgrounds of class 0, in any surroundings, none.",
)
@click.option("--flip", type=float, help="Probability of a mirror image. Default: studio 0, street 0.5.")
@click.option("--val", help="Another folder or zip to validate on, instead of a share of the data.")
@click.option("--allow-shared", is_flag=True, help="Although pictures of --val are among the data.")
@click.option(
    "--val-share", default=0.05, show_default=True, help="Share of the data held out for validation."
)
@click.option("--evaluate-every", default=8_000, show_default=True, help="Images between two evaluations.")
@click.option("--save-every", default=4_000, show_default=True, help="Images between two checkpoints.")
@click.option("--patience", type=int, help="End after so many evaluations without a better mean IoU.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the split, the weights, the order, the augmentation."
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--start-seconds",
    default=120.0,
    show_default=True,
    help="How long several processes wait for one another at the start.",
)
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    out: str,
    images: int | None,
    resume: bool,
    dry_run: bool,
    lr_find: bool,
    arch: str,
    encoder: str | None,
    width: float | None,
    pretrained: bool | None,
    resolution: str,
    lr: float,
    class_weights: str,
    augment: str,
    flip: float | None,
    patience: int | None,
    device: str,
    start_seconds: float,
    **same_names: Any,
) -> None:
    """Train a segmenter on pictures with part maps.

    \b
    shoegen train-segmenter --data shoes.zip --out runs/parts
    shoegen train-segmenter --data street.zip --arch deeplab --augment street --resolution 256x384 --out runs/street
    shoegen train-segmenter --data shoes.zip --lr-find --out runs/rates
    torchrun --nproc-per-node 8 -m shoegen train-segmenter --data shoes.zip --batch 64 --out runs/parts

    SIGTERM saves and ends with exit code 0; --resume goes on. What torchrun starts again after a crash goes on by
    itself.
    """
    from shoegen.errors import ConfigError
    from shoegen.segmentation import training

    run: dict[str, Any] = {"device": device, "start_seconds": start_seconds}
    later: dict[str, Any] = {
        name: value for name, value in {"images": images, "patience": patience}.items() if value is not None
    }
    if resume:
        refuse_with_resume(ctx, allowed={"images", "patience", "data", "val", "device", "start_seconds"})
        if data is not None:
            later["data"] = os.path.abspath(data)
        if same_names["val"] is not None:
            later["val"] = os.path.abspath(same_names["val"])
        path = training.resume(out, **later, **run)
    elif data is None:
        raise ConfigError(
            "got no --data; give a folder or zip with part maps, or go on with a run with --resume"
        )
    else:
        import dataclasses

        from shoegen.segmentation.config import AUGMENTATIONS, SegmenterConfig, TrainingConfig

        if encoder is not None and arch != "unet":
            raise ConfigError(f"--encoder is of the U-Net, got it with --arch {arch}; leave it out")
        given: dict[str, Any] = {"encoder": encoder, "width": width}
        model = SegmenterConfig(
            architecture=arch,
            resolution=parse_size("--resolution", resolution),
            **{name: value for name, value in given.items() if value is not None},
        )
        changes = AUGMENTATIONS[augment]
        weights: Any = class_weights
        if any(each.isdigit() for each in class_weights):
            weights = tuple(parse_numbers("--class-weights", class_weights))
        config = TrainingConfig(
            data=data,
            model=model,
            augment=changes if flip is None else dataclasses.replace(changes, flip=flip),
            learning_rate=lr,
            class_weights=weights,
            **later,
            **same_names,
        )
        if lr_find and not dry_run:
            result = training.find_learning_rate(config, out, pretrained=pretrained, **run)
            if int(os.environ.get("RANK", 0)) == 0:
                click.echo(f"{out}/lr_find.png: try --lr {result.suggestion:g}")
            return
        path = training.train(config, out, pretrained=pretrained, dry_run=dry_run, **run)
    if path:
        click.echo(f"best segmenter: {path}")
