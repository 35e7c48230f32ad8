"""`shoegen train-stylegan`."""

from __future__ import annotations

from typing import Any, Literal

import click

from shoegen.cli._options import refuse_with_resume


@click.command("train-stylegan")
@click.option("--data", help="Folder or zip of pictures.")
@click.option("--resolution", type=int, help="Side of the training pictures: a power of two.")
@click.option("--kimg", type=float, required=True, help="Thousands of pictures to show, all in all.")
@click.option("--out", required=True, type=click.Path(), help="Run folder.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, exactly where its last checkpoint is."
)
@click.option(
    "--init-from", type=click.Path(), help="Start from the weights of another run's checkpoint (.pt)."
)
@click.option(
    "--preset", type=click.Choice(["auto", "cpu"]), help="Default: cpu (at most 128 channels) without a GPU."
)
@click.option("--batch", type=int, help="Pictures per step.")
@click.option("--gamma", type=float, help="Weight of the R1 penalty.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--augment", type=click.Choice(["ada", "fixed", "none"]), default="ada", show_default=True)
@click.option(
    "--augment-p", type=float, default=0.0, show_default=True, help="Where ada starts; what fixed keeps."
)
@click.option("--pipe", default="bgc", show_default=True, help="Augmentations: blit, geom, color, bg, bgc, …")
@click.option("--target", type=float, default=0.6, show_default=True, help="The r_t that ada aims at.")
@click.option(
    "--noise/--no-noise",
    default=None,
    help="Noise in the generator's layers, for detail that differs by chance. Default: the preset's.",
)
@click.option("--mirror", is_flag=True, help="Show mirrored pictures too.")
@click.option(
    "--fit",
    type=click.Choice(["strict", "crop", "pad"]),
    default="strict",
    show_default=True,
    help="What to do with pictures that are not square.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--snapshot-kimg", type=float, default=4.0, show_default=True, help="Kimg between checkpoints.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    resolution: int | None,
    kimg: float,
    out: str,
    resume: bool,
    init_from: str | None,
    preset: str | None,
    batch: int | None,
    gamma: float | None,
    lr: float | None,
    augment: Literal["ada", "fixed", "none"],
    augment_p: float,
    pipe: str,
    target: float,
    noise: bool | None,
    mirror: bool,
    fit: str,
    skip_bad: bool,
    snapshot_kimg: float,
    seed: int,
    device: str,
) -> None:
    """Train StyleGAN2-ADA on a small set of pictures.

    \b
    shoegen train-stylegan --data shoes.zip --resolution 64 --kimg 100 --out runs/shoes
    shoegen train-stylegan --resume --kimg 200 --out runs/shoes
    """
    from shoegen.errors import ConfigError
    from shoegen.stylegan import training

    if resume:
        refuse_with_resume(ctx, allowed={"kimg", "snapshot_kimg", "device"})
        path = training.resume(out, kimg=kimg, snapshot_kimg=snapshot_kimg, device=device)
    elif data is None or resolution is None:
        raise ConfigError("--data and --resolution are needed to start a run; --resume goes on with one")
    else:
        import dataclasses

        from shoegen.stylegan.config import PRESETS, AugmentConfig
        from shoegen.torch_utils.devices import pick_device

        preset = preset or ("cpu" if pick_device(device).type == "cpu" else "auto")
        augmentation = AugmentConfig(mode=augment, pipe=pipe, p=augment_p, target=target)
        config = PRESETS[preset](data, resolution, batch=batch, augment=augmentation)
        overrides: dict[str, Any] = {"learning_rate": lr, "r1_gamma": gamma, "noise": noise}
        config = dataclasses.replace(
            config,
            fit=fit,
            skip_bad=skip_bad,
            mirror=mirror,
            seed=seed,
            init_from=init_from,
            **{name: value for name, value in overrides.items() if value is not None},
        )
        path = training.train(config, out, kimg=kimg, snapshot_kimg=snapshot_kimg, device=device)
    click.echo(f"generator: {path}")
