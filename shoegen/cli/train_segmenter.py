"""`shoegen train-segmenter`: a network that finds the parts of shoes."""

from __future__ import annotations

import click

from shoegen.cli._options import refuse_with_resume


@click.command()
@click.option("--data", help="Folder or zip with images/, masks/ and labels.json.")
@click.option(
    "--out",
    required=True,
    help="Run folder: settings, logs, checkpoints, and the best segmenter.safetensors.",
)
@click.option("--arch", default="unet", show_default=True, help="Architecture.")
@click.option(
    "--resolution", default=128, show_default=True, help="Side of the pictures that the network sees."
)
@click.option("--images", default=60_000, show_default=True, help="How many pictures to show in all.")
@click.option("--batch", default=16, show_default=True, help="Pictures per step.")
@click.option("--lr", default=2e-3, show_default=True, help="Peak of the one-cycle learning rate.")
@click.option(
    "--val-share", default=0.05, show_default=True, help="Share of the data held out for validation."
)
@click.option(
    "--flip", default=0.0, show_default=True, help="Probability of a mirror image; 0 keeps the heel's side."
)
@click.option("--init-from", help="A segmenter.safetensors to start from; `default` is the shipped one.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the split, the weights, the order, the augmentation."
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, which knows its other options.")
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    out: str,
    arch: str,
    resolution: int,
    images: int,
    batch: int,
    lr: float,
    val_share: float,
    flip: float,
    init_from: str | None,
    seed: int,
    skip_bad: bool,
    device: str,
    resume: bool,
) -> None:
    """Train a segmenter on pictures with part maps."""
    from shoegen.errors import ConfigError
    from shoegen.segmentation import training
    from shoegen.segmentation.config import AugmentConfig, SegmenterConfig, TrainingConfig

    if resume:
        refuse_with_resume(ctx, allowed={"device"})
        path = training.resume(out, device=device)
    elif data is None:
        raise ConfigError(
            "got no --data; give a folder or zip with part maps, or go on with a run with --resume"
        )
    else:
        config = TrainingConfig(
            data=data,
            model=SegmenterConfig(architecture=arch, resolution=resolution),
            augment=AugmentConfig(flip=flip),
            images=images,
            batch=batch,
            learning_rate=lr,
            val_share=val_share,
            init_from=init_from,
            seed=seed,
            skip_bad=skip_bad,
        )
        path = training.train(config, out, device=device)
    click.echo(f"best segmenter: {path}")
