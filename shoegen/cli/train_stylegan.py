"""`shoegen train-stylegan`."""

from __future__ import annotations

import click


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
def command(
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
    augment: str,
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
    import dataclasses

    from shoegen.data.datasets import ImageDataset
    from shoegen.errors import ConfigError
    from shoegen.stylegan.config import PRESETS, AugmentConfig, TrainingConfig, check_resolution
    from shoegen.stylegan.training import Trainer, train
    from shoegen.torch_utils.checkpoints import load_checkpoint
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.run_folder import RunFolder

    if kimg <= 0 or snapshot_kimg <= 0:
        raise ConfigError(f"--kimg and --snapshot-kimg: got {kimg} and {snapshot_kimg}, expected more than 0")
    target_device = pick_device(device)

    if resume:
        run = RunFolder.resume(out)
        config = TrainingConfig.from_dict(run.config["training"])
        data_options = run.config["data"]
    else:
        if data is None or resolution is None:
            raise ConfigError("--data and --resolution are needed to start a run; --resume goes on with one")
        check_resolution(resolution)
        augmentation = AugmentConfig(mode=augment, pipe=pipe, p=augment_p, target=target)  # type: ignore[arg-type]
        preset = preset or ("cpu" if target_device.type == "cpu" else "auto")
        config = PRESETS[preset](resolution, batch=batch, augment=augmentation)
        config = dataclasses.replace(
            config,
            learning_rate=config.learning_rate if lr is None else lr,
            r1_gamma=config.r1_gamma if gamma is None else gamma,
            noise=config.noise if noise is None else noise,
            seed=seed,
        )
        data_options = {
            "path": data,
            "resolution": resolution,
            "fit": fit,
            "skip_bad": skip_bad,
            "mirror": mirror,
        }

    pictures = ImageDataset(**data_options)
    for note in pictures.notes:
        click.echo(f"note: {note}", err=True)
    trainer = Trainer(config, target_device)
    if resume:
        if run.state:
            trainer.load_state_dict(run.state)
    else:
        if init_from:
            click.echo(f"{init_from}: {trainer.init_from(load_checkpoint(init_from))}", err=True)
        run = RunFolder.create(out, {"kind": "stylegan", "training": config.to_dict(), "data": data_options})

    with run:
        click.echo(
            f"{len(pictures)} pictures at {config.generator.resolution}×{config.generator.resolution}, batch "
            f"{config.batch}, on {target_device}; from {trainer.images / 1000:.1f} to {kimg:g} kimg",
            err=True,
        )
        if trainer.images >= kimg * 1000:
            raise ConfigError(
                f"--kimg: got {kimg:g}, but the run has shown {trainer.images / 1000:g}; ask for more"
            )
        train(trainer, pictures, run, kimg=kimg, snapshot_kimg=snapshot_kimg)
    click.echo(f"done: {out}/generator.safetensors, samples in {out}/samples")
