"""`shoegen train-spade`: a network that paints part maps."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import (
    parse_size,
    process_options,
    refuse_with_resume,
    refuse_without_effect,
    resume_options,
)
from shoegen.errors import ConfigError
from shoegen.spade.config import PRESETS, UPSAMPLINGS, override  # no torch

if TYPE_CHECKING:
    from shoegen.spade.config import TrainingConfig

NORMS = click.Choice(["batch", "instance", "group", "none"])
OF_MODEL = (
    "resolution", "upsampling", "channels", "max_channels", "hidden", "modulation_kernel", "shared_skip", "norm",
    "style", "z_dim", "styled", "encoder_channels", "encoder_norm",
)  # fmt: skip
OF_STYLE = ("z_dim", "styled", "encoder_channels", "encoder_norm", "kl")


@click.command("train-spade")
@click.option(
    "--data",
    type=click.Path(),
    help="Folder or zip with images/, masks/ and labels.json; with --maps of the pictures alone.",
)
@click.option(
    "--maps",
    type=click.Path(),
    help="Folder or zip of the part maps, named like the pictures, as `shoegen segment --out` writes them: PNGs of "
    "class indices, or in the classes' colours.",
)
@click.option("--labels", help="Labels file of the part maps.  [default: the labels.json beside them]")
@click.option(
    "--instances",
    help="Folder or zip of PNGs named like the pictures, a value for each thing in them: their edges are painted too.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Run folder: settings, logs, checkpoints, samples, spade.safetensors and the best.safetensors.",
)
@click.option("--images", type=int, help="How many pictures to show in all. Default: the preset's.")
@resume_options
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="small",
    show_default=True,
    help="small: for CPU cores, at 128 px; paper256: as published.",
)
@click.option(
    "--init-from",
    shell_complete=complete_model,
    help="A spade.safetensors to start from; `default` is the shipped one.",
)
# The pictures.
@click.option(
    "--fit",
    type=click.Choice(["strict", "crop", "pad"]),
    default="strict",
    show_default=True,
    help="What to do with pictures of another shape than --resolution.",
)
@click.option("--flip", is_flag=True, help="Mirror pictures at random.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read or have no part map.")
@click.option(
    "--val", type=click.Path(), help="Another folder or zip to validate on, instead of a share of the data."
)
@click.option("--allow-shared", is_flag=True, help="Although pictures of --val are among the data.")
@click.option("--val-share", type=float, help="Share of the data held out for validation.  [default: 0.05]")
# The networks.
@click.option(
    "--resolution", help="Of the pictures: a side such as 256, or WIDTHxHEIGHT. Default: the preset's."
)
@click.option(
    "--upsampling",
    type=click.Choice(list(UPSAMPLINGS)),
    help="How often features are doubled: normal 5 times, more 6, most 7. Default: normal.",
)
@click.option("--channels", type=int, help="Of the generator's last features.")
@click.option("--max-channels", type=int, help="Of any of its features.")
@click.option("--hidden", type=int, help="Channels between a part map and a modulation.")
@click.option(
    "--modulation-kernel", type=int, help="Pixels of the convolution that gives a modulation: 3 or 1."
)
@click.option(
    "--shared-skip/--own-skip",
    default=None,
    help="Whether the way around a block has no modulation of its own, which is a fifth less work.",
)
@click.option("--norm", type=NORMS, help="Of the generator. Default: batch, over all processes.")
@click.option(
    "--style/--no-style", default=True, help="Learn styles too, or part maps alone.", show_default=True
)
@click.option("--z-dim", type=int, help="Numbers of a style.")
@click.option(
    "--styled/--plain", default=None, help="Whether the style enters every modulation, or the start alone."
)
@click.option("--encoder-channels", type=int, help="Of the style encoder's first features.")
@click.option("--encoder-norm", type=NORMS, help="Of the style encoder.")
@click.option("--d-channels", type=int, help="Of the discriminators' first features.")
@click.option("--d-layers", type=int, help="Of each discriminator.")
@click.option("--scales", type=int, help="Discriminators, each on half the size of the one before.")
# How they learn.
@click.option("--batch", type=int, help="Pictures per step, over all processes.")
@click.option("--lr-g", type=float, help="Learning rate of generator and style encoder.")
@click.option("--lr-d", type=float, help="Learning rate of the discriminators.")
@click.option(
    "--feature-matching", type=float, help="Weight of the distance in the discriminators' features."
)
@click.option("--perceptual", type=float, help="Weight of the distance in another network's features.")
@click.option(
    "--perceptual-net",
    type=click.Choice(["auto", "vgg19", "segmenter", "none"]),
    help="That network. Default: auto, VGG19 where its weights are, else the shipped segmenter.",
)
@click.option(
    "--kl",
    type=float,
    help="Weight of how far styles are from normally distributed.  [default: 0.05; small 0.01]",
)
@click.option("--ema", type=float, help="Half-life in pictures of the averaged networks.")
@click.option("--log-every", type=int, help="Pictures between two lines of the log.")
@click.option("--evaluate-every", type=int, help="Pictures between two evaluations.")
@click.option("--save-every", type=int, help="Pictures between two checkpoints.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the split, the weights, the order, the styles."
)
@process_options
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    out: str,
    resume: bool,
    dry_run: bool,
    device: str,
    start_seconds: float,
    **options: Any,
) -> None:
    """Train a SPADE on pictures with part maps: it paints part maps, in the style of a picture or a random one.

    \b
    shoegen train-spade --data shoes.zip --out runs/spade
    shoegen segment photos/ --out maps/ && shoegen train-spade --data photos/ --maps maps/ --fit pad --out runs/spade
    shoegen train-spade --data shoes.zip --preset paper256 --resolution 384x256 --upsampling more --out runs/spade
    torchrun --nproc-per-node 8 -m shoegen train-spade --data shoes.zip --preset paper256 --out runs/spade

    SIGTERM saves and ends with exit code 0; --resume goes on. What torchrun starts again after a crash goes on by
    itself.
    """
    from shoegen.spade import training

    run: dict[str, Any] = {"device": device, "start_seconds": start_seconds}
    if resume:
        later = ("data", "maps", "labels", "instances", "val", "images")
        refuse_with_resume(ctx, allowed={*later, "device", "start_seconds"})
        changes = {name: value for name, value in {"data": data, **options}.items() if name in later}
        given = {name: value for name, value in changes.items() if value is not None}
        paths = {name: os.path.abspath(path) for name, path in given.items() if name != "images"}
        path = training.resume(out, **{**given, **paths}, **run)
    elif data is None:
        raise ConfigError(
            "got no --data; give a folder or zip of pictures with part maps, or go on with a run with --resume"
        )
    else:
        _refuse_unused(ctx, options)
        path = training.train(make_config(data, options), out, dry_run=dry_run, **run)
    if path:
        click.echo(f"painter: {path}")


def _refuse_unused(ctx: click.Context, options: dict[str, Any]) -> None:
    if options["init_from"] is not None:
        refuse_without_effect(ctx, OF_MODEL, "--init-from")
    if not options["style"]:
        refuse_without_effect(ctx, OF_STYLE, "--no-style")
    if options["perceptual_net"] == "none":
        refuse_without_effect(ctx, ["perceptual"], "--perceptual-net none")
    if options["val"] is not None:
        refuse_without_effect(ctx, ["val_share"], "--val")
    elif options["allow_shared"]:
        raise ConfigError("--allow-shared is about --val, which was not given; leave it out")


def make_config(data: str, options: dict[str, Any]) -> TrainingConfig:
    """What a training is asked for.

    Args:
        options: all of the command, by name, None where the preset's default holds.

    Raises:
        ConfigError: a value that cannot be.
    """
    others = ("preset", "style", "resolution", "lr_g", "lr_d")
    changes = {name: value for name, value in options.items() if name not in others}
    changes |= {"learning_rate_g": options["lr_g"], "learning_rate_d": options["lr_d"]}
    changes["edges"] = options["instances"] is not None
    if options["resolution"] is not None:
        changes["resolution"] = parse_size("--resolution", options["resolution"])
    config = override(PRESETS[options["preset"]](data), **changes)
    if not options["style"]:
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, z_dim=None, styled=False)
        )
    return config
