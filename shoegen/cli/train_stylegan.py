"""`shoegen train-stylegan`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Literal

import click

from shoegen.cli._options import parse_size, process_options, refuse_with_resume, resume_options
from shoegen.errors import ConfigError
from shoegen.stylegan.config import PRESETS, TrainingConfig, override  # no torch

ARCHITECTURES = click.Choice(["orig", "skip", "resnet"])


@click.command("train-stylegan")
@click.option("--data", type=click.Path(), help="Folder or zip of pictures.")
@click.option(
    "--resolution", help="Of the training pictures: a side such as 256, or WIDTHxHEIGHT such as 384x256."
)
@click.option("--out", required=True, type=click.Path(), help="Run folder.")
@click.option("--kimg", type=float, help="Thousands of pictures to show, all in all. Default: the preset's.")
@resume_options
# The pictures.
@click.option(
    "--fit",
    type=click.Choice(["strict", "crop", "pad"]),
    default="strict",
    show_default=True,
    help="What to do with pictures of another shape.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--mirror/--no-mirror", default=None, help="Show mirrored pictures too. Default: the preset's.")
@click.option("--subset", type=int, help="Take so many pictures, chosen by --seed.")
@click.option(
    "--classes",
    default="auto",
    show_default=True,
    help="Labels to train with: auto (a dataset.json), folders, a JSON file, or none.",
)
@click.option(
    "--channels",
    type=click.Choice(["1", "3", "4"]),
    default="3",
    show_default=True,
    help="Grey, RGB or RGBA pictures.",
)
# The preset and what differs from it.
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="Default: auto with a GPU, cpu (at most 128 channels) without. small: for 200 to 3,000 pictures.",
)
@click.option("--batch", type=int, help="Pictures per step, over all processes.")
@click.option(
    "--batch-gpu",
    help="Pictures per pass of each process, or auto: what fits in memory. "
    "Gradients of several passes are added up. Default: all at once.",
)
@click.option("--gamma", type=float, help="Weight of the R1 penalty.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--ema-kimg", type=float, help="Half-life of the averaged generator.")
@click.option(
    "--width",
    type=float,
    help="32768 x width / side channels at each side, at most the preset's most (512; cpu: 128).",
)
@click.option("--mapping-layers", type=int, help="Depth of the mapping network.")
@click.option("--mbstd-group", type=int, help="Pictures whose deviation D sees.")
@click.option("--g-architecture", type=ARCHITECTURES, help="Of the generator. Default: the preset's (skip).")
@click.option(
    "--d-architecture", type=ARCHITECTURES, help="Of the discriminator. Default: the preset's (resnet)."
)
@click.option(
    "--noise/--no-noise",
    default=None,
    help="Noise in the generator's layers, for detail that differs by chance. Default: the preset's.",
)
# Augmentation.
@click.option("--augment", type=click.Choice(["ada", "fixed", "none"]), help="Default: the preset's (ada).")
@click.option("--augment-p", type=float, help="Where ada starts; what fixed keeps.")
@click.option(
    "--pipe", help="blit, geom, color, filter, noise, cutout, bg, bgc (default), bgcf, bgcfn, bgcfnc."
)
@click.option("--target", type=float, help="The r_t that ada aims at; default 0.6.")
# Transfer.
@click.option(
    "--init-from",
    type=click.Path(),
    help="Start from another model: a run folder, its checkpoint, another project's .pkl or .pt, or, with "
    "--allow-partial, `default`, the generator that ships with shoegen.",
)
@click.option(
    "--allow-partial", is_flag=True, help="Take what fits of --init-from where not everything does."
)
@click.option(
    "--freeze-d", type=int, help="So many layers of the discriminator, from the picture on, do not learn."
)
# The machine.
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Of the four highest resolutions. Default: float16 on a GPU.",
)
@click.option(
    "--tf32/--no-tf32", default=False, show_default=True, help="Let GPUs round products to 10 bits."
)
@click.option("--channels-last/--channels-first", default=True, show_default=True, help="Memory format.")
@click.option(
    "--ops",
    type=click.Choice(["auto", "native", "reference"]),
    help="Compiled operations or plain PyTorch, as with `shoegen --ops`.",
)
@process_options
@click.option("--seed", type=int, default=0, show_default=True)
# What is kept and measured.
@click.option("--snapshot-kimg", type=float, help="Kimg between checkpoints. Default: 4.")
@click.option("--keep", type=int, help="Checkpoints that stay, beside the best one's. Default: 2.")
@click.option(
    "--metrics",
    help="fid, kid, pr, is, ppl, swd, or none. Default: auto, kid or fid where their weights are, else swd.",
)
@click.option("--metric-kimg", type=float, help="Kimg between evaluations. Default: every fifth checkpoint.")
@click.option("--metric-samples", type=int, help="Pictures drawn to evaluate. Default: 1000.")
@click.option(
    "--weights", type=click.Path(), help="Folder or file of the metrics' weights; else SHOEGEN_ASSETS."
)
@click.pass_context
def command(
    ctx: click.Context,
    data: str | None,
    resolution: str | None,
    out: str,
    kimg: float | None,
    resume: bool,
    dry_run: bool,
    channels: str,
    preset: str | None,
    batch: int | None,
    batch_gpu: str | None,
    gamma: float | None,
    lr: float | None,
    augment: Literal["ada", "fixed", "none"] | None,
    augment_p: float | None,
    pipe: str | None,
    target: float | None,
    precision: str | None,
    device: str,
    ops: str | None,
    start_seconds: float,
    snapshot_kimg: float | None,
    keep: int | None,
    metrics: str | None,
    metric_kimg: float | None,
    metric_samples: int | None,
    weights: str | None,
    **same_names: Any,
) -> None:
    """Train StyleGAN2-ADA on a small set of pictures.

    \b
    shoegen train-stylegan --data shoes.zip --resolution 64 --kimg 100 --out runs/shoes
    shoegen train-stylegan --resume --kimg 200 --out runs/shoes
    torchrun --nproc-per-node 8 -m shoegen train-stylegan --data shoes.zip --resolution 256 --out runs/shoes

    SIGTERM saves and ends with exit code 0; --resume goes on. What torchrun starts again after a crash goes on by
    itself.
    """
    from shoegen.errors import ConfigError
    from shoegen.metrics.monitor import monitor
    from shoegen.ops import set_impl
    from shoegen.stylegan import training
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.distributed import launched_size

    if ops is not None:
        set_impl(ops)
    run: dict[str, Any] = {"monitor": monitor, "device": device, "start_seconds": start_seconds}
    # What a resumed run takes over unless it is given anew.
    later: dict[str, Any] = {
        "kimg": kimg,
        "batch_gpu": None if batch_gpu == "auto" else _whole("--batch-gpu", batch_gpu),
        "snapshot_kimg": snapshot_kimg,
        "keep": keep,
        "metrics": metrics,
        "metric_kimg": metric_kimg,
        "metric_samples": metric_samples,
        "weights": weights,
    }
    if resume:
        refuse_with_resume(ctx, allowed={*later, "data", "device", "start_seconds", "ops"})
        if batch_gpu == "auto":
            raise ConfigError("--batch-gpu auto: only to start a run; --resume takes a number")
        path = training.resume(out, data=data and os.path.abspath(data), **later, **run)
    elif not data or resolution is None:
        raise ConfigError("--data and --resolution are needed to start a run; --resume goes on with one")
    else:
        on_gpu = pick_device(device).type == "cuda"
        preset = preset or ("auto" if on_gpu else "cpu")
        config = PRESETS[preset](
            data, parse_size("--resolution", resolution), batch=batch, processes=launched_size()
        )
        precision = precision or ("float16" if on_gpu and config.generator.num_fp16_res else "float32")
        if precision != "float32" and not config.generator.num_fp16_res:
            config = override(config, num_fp16_res=4, conv_clamp=256.0)
        augmentation: dict[str, Any] = {"mode": augment, "p": augment_p, "pipe": pipe, "target": target}
        config = override(
            config,
            learning_rate=lr,
            r1_gamma=gamma,
            img_channels=int(channels),
            precision=precision,
            augment=dataclasses.replace(
                config.augment, **{name: value for name, value in augmentation.items() if value is not None}
            ),
            **later,
            **same_names,
        )
        _refuse_without_effect(config, augment_p=augment_p, pipe=pipe, target=target)
        path = training.train(config, out, auto_batch_gpu=batch_gpu == "auto", dry_run=dry_run, **run)
    if path:
        click.echo(f"generator: {path}")


def _refuse_without_effect(config: TrainingConfig, **augmentation: Any) -> None:
    mode = config.augment.mode
    without = {"none": ("augment_p", "pipe", "target"), "fixed": ("target",), "ada": ()}[mode]
    given = [f"--{name.replace('_', '-')}" for name in without if augmentation[name] is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: without effect with --augment {mode}; leave it out")
    if config.allow_partial and config.init_from is None:
        raise ConfigError("--allow-partial: without effect without --init-from; leave it out")


def _whole(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{option}: got {text!r}, expected a whole number of at least 1, or auto")
    return int(text)
