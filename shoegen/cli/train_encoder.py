"""`shoegen train-encoder`: a network that gives photographs their first latent."""

from __future__ import annotations

from typing import Any

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import parse_integers, process_options, refuse_with_resume, resume_options


@click.command("train-encoder")
@click.option(
    "--model",
    "data",
    shell_complete=complete_model,
    help="The generator to invert: its file, or a run folder.  [default: default]",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Run folder: settings, logs, sheets, checkpoints, and encoder.safetensors.",
)
@click.option("--images", type=int, help="How many samples to show in all.  [default: 120000]")
@click.option("--batch", type=int, help="Samples per step, over all processes.  [default: 16]")
@resume_options
@click.option("--channels", help="At full resolution and after each halving.  [default: 32,64,96,128,160]")
@click.option("--lr", "learning_rate", type=float, help="Learning rate.  [default: 0.002]")
@click.option("--latent", type=float, help="Weight of the latent's distance.  [default: 1]")
@click.option("--image", type=float, help="Weight of the picture's distance.  [default: 1]")
@click.option(
    "--perceptual",
    type=float,
    help="Weight of the distance of the shipped segmenter's features, which takes twice as long.  [default: 0]",
)
@click.option("--ema", type=float, help="Half-life of the averaged encoder in images.  [default: 2000]")
@click.option("--evaluate-every", type=int, help="Images between two evaluations.  [default: 16000]")
@click.option("--save-every", type=int, help="Images between two checkpoints.  [default: 8000]")
@click.option("--seed", type=int, help="Of the weights and the samples.  [default: 0]")
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
    """Train an encoder on a generator's own samples, for `shoegen project`.

    \b
    shoegen train-encoder --model default --out runs/encoder
    shoegen train-encoder --model runs/sneakers --images 200000 --out runs/encoder
    shoegen project photo.jpg --model runs/sneakers --encoder runs/encoder --out found/

    No photographs are needed: samples are drawn while it trains, and their latents are known. SIGTERM saves and ends
    with exit code 0; --resume goes on.
    """
    from shoegen.inversion import training
    from shoegen.inversion.config import TrainingConfig, override

    run: dict[str, Any] = {"device": device, "start_seconds": start_seconds}
    if resume:
        refuse_with_resume(ctx, allowed={"images", "device", "start_seconds"})
        changes = {"images": options["images"]} if options["images"] is not None else {}
        path = training.resume(out, **changes, **run)
    else:
        if options["channels"] is not None:
            options["channels"] = tuple(parse_integers("--channels", options["channels"]))
        path = training.train(override(TrainingConfig(), data=data, **options), out, dry_run=dry_run, **run)
    if path:
        click.echo(f"model: {path}")
