"""`shoegen train-cagan`: a generator that puts another article on a photograph."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import (
    parse_integers,
    parse_size,
    process_options,
    refuse_with_resume,
    resume_options,
)
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.cagan.config import TrainingConfig


@click.command("train-cagan")
@click.option(
    "--data",
    type=click.Path(),
    help="Pairs of photos and the articles on them: a CSV with the columns photo and article, or a folder or zip with "
    "a pairs.csv, with photos/ and articles/, or in DeepFashion's in-shop layout.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Run folder: settings, logs, sheets, checkpoints, and cagan.safetensors.",
)
@click.option("--preset", default="paper", show_default=True, help="paper, modern, small.")
@click.option(
    "--resolution",
    help="Of the pictures: a side, or WIDTHxHEIGHT, multiples of 16.  [default: 128; small 64]",
)
@click.option(
    "--images", type=int, help="How many photos to show in all, a batch in an iteration.  [default: 144000]"
)
@click.option("--batch", type=int, help="Photos per iteration, over all processes.  [default: 16]")
@resume_options
# The networks.
@click.option("--channels", help="Of the generator after each of four halvings.  [default: 64,128,256,512]")
@click.option("--d-channels", help="Of the discriminator.  [default: 64,128,256,512]")
@click.option("--d-norm", help="Of the discriminator: batch, spectral.  [default: batch; modern spectral]")
@click.option(
    "--init-from",
    shell_complete=complete_model,
    help="A cagan.safetensors or run folder to start from; `default` is the shipped one.",
)
# How it learns.
@click.option("--gan-loss", help="log, hinge, square.  [default: log; modern hinge]")
@click.option("--identity", type=float, help="Weight of the mask's mean, gamma_id.  [default: 0.1]")
@click.option("--cycle", type=float, help="Weight of the way back, gamma_cyc.  [default: 1]")
@click.option(
    "--truth-weight",
    "truth",
    type=float,
    help="Weight of the distance to the true picture of the swap, where pairs.csv has it.  [default: 0]",
)
@click.option("--lr-g", type=float, help="Learning rate of the generator.  [default: 0.0002]")
@click.option("--lr-d", type=float, help="Learning rate of the discriminator.  [default: 0.0002]")
@click.option(
    "--decay", type=float, help="Share of the training in which both rates fall to 0.  [default: 0]"
)
@click.option("--ema", type=float, help="Half-life of the averaged generator in images.  [default: 0, none]")
@click.option("--flip", type=float, help="Probability of a mirror image.  [default: 0]")
@click.option("--val", type=click.Path(), help="Other pairs to validate on, instead of a share of the data.")
@click.option("--val-share", type=float, help="Share of the articles held out.  [default: 0.05]")
@click.option(
    "--sheets-at",
    help="Iterations after which to draw a sheet of samples too, such as 1,4000,9000, which is the default.",
)
@click.option("--evaluate-every", type=int, help="Images between two evaluations.  [default: 16000]")
@click.option("--save-every", type=int, help="Images between two checkpoints.  [default: 8000]")
@click.option(
    "--seed", type=int, help="Of the split, the weights, the order, the other articles.  [default: 0]"
)
@click.option("--skip-bad", is_flag=True, help="Leave out pairs that cannot be used.")
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
    """Train a generator that swaps the article on a photograph (conditional analogy GAN).

    \b
    shoegen make-shoes --worn --count 4000 --out worn.zip
    shoegen train-cagan --data worn.zip --out runs/swap
    shoegen train-cagan --data pairs.csv --preset small --resolution 96x128 --out runs/swap
    torchrun --nproc-per-node 8 -m shoegen train-cagan --data worn.zip --preset modern --batch 64 --out runs/swap

    samples/ in the run folder gets sheets: photo, the article worn, the other one, mask, result, the way back, and the
    truth where it is known. SIGTERM saves and ends with exit code 0; --resume goes on.
    """
    from shoegen.cagan import training

    run: dict[str, Any] = {"device": device, "start_seconds": start_seconds}
    if resume:
        refuse_with_resume(ctx, allowed={"images", "data", "val", "device", "start_seconds"})
        given = {"images": options["images"], "data": data, "val": options["val"]}
        changes = {name: value for name, value in given.items() if value is not None}
        for name in {"data", "val"} & set(changes):
            changes[name] = os.path.abspath(changes[name])
        path = training.resume(out, **changes, **run)
    elif data is None:
        raise ConfigError(
            "got no --data; give pairs of photos and articles, or go on with a run with --resume"
        )
    else:
        if options["val"] is not None and options["val_share"] is not None:
            raise ConfigError("--val-share has no effect with --val; leave it out")
        path = training.train(_make_config(data, options), out, dry_run=dry_run, **run)
    if path:
        click.echo(f"model: {path}")


def _make_config(data: str, options: dict[str, Any]) -> TrainingConfig:
    from shoegen.cagan.config import PRESETS, override

    options = dict(options)
    preset, resolution = options.pop("preset"), options.pop("resolution")
    if preset not in PRESETS:
        raise ConfigError(f"--preset: got {preset!r}, expected {', '.join(PRESETS)}")
    for name in ("lr_g", "lr_d"):
        options[name.replace("lr", "learning_rate")] = options.pop(name)
    size = () if resolution is None else (parse_size("--resolution", resolution),)
    for name in ("channels", "d_channels", "sheets_at"):
        if options[name] is not None:
            options[name] = tuple(parse_integers(f"--{name.replace('_', '-')}", options[name]))
    return override(PRESETS[preset](data, *size), **options)
