"""`shoegen convert-model`: networks of other projects, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.option(
    "--out", required=True, type=click.Path(), help="The file to write; its suffix follows from --to."
)
@click.option(
    "--to",
    type=click.Choice(["shoegen", "official", "rosinality"]),
    default="shoegen",
    show_default=True,
    help="Whose networks it is for.",
)
@click.option(
    "--network",
    type=click.Choice(["g_ema", "g", "d"]),
    default="g_ema",
    show_default=True,
    help="The averaged generator, the generator as trained, or the discriminator.",
)
def command(source: str, out: str, to: str, network: str) -> None:
    """Read a StyleGAN2 network of any kind and write it for another project.

    IN is an official network pickle (.pkl, of stylegan2-ada-pytorch; no code in it is run), a checkpoint of
    rosinality's stylegan2-pytorch (.pt), a run folder or checkpoint of our training, or a file that this command wrote.

    \b
    shoegen convert-model ffhq.pkl --out ffhq.safetensors
    shoegen convert-model runs/shoes/generator.safetensors --to rosinality --out shoes.pt
    shoegen convert-model checkpoint.pt --network d --to official --out d.pt

    \b
    --to shoegen     .safetensors: what --model takes, with the configuration and the origin
    --to official    .safetensors, or .pt with {"G_ema": state dict, "config": ...}: for load_state_dict of
                     their networks; a .pkl holds their source code, so only their own code can write one
    --to rosinality  .pt with {"g_ema": state dict, "latent_avg": ...}, which their generate.py takes

    The weights keep the licence of who trained them.
    """
    from shoegen.stylegan.legacy import (
        LICENCE,
        Format,
        Which,
        check_target,
        describe,
        origin,
        read_network,
        write_network,
    )
    from shoegen.torch_utils.files import check_writable

    which, target = cast(Which, network), cast(Format, to)
    check_target(out, target)
    check_writable(out)
    if Path(source).is_dir():  # a run folder
        source = str(Path(source) / "generator.safetensors")
    found = read_network(source, which)
    click.echo(f"{source}: {found.kind}")
    click.echo(describe(found.network))
    remarks = write_network(out, found.network, target, which=which, notes=origin(source, found))
    for remark in remarks:
        click.echo(f"note: {remark}")
    click.echo(f"licence: {LICENCE}")
    click.echo(f"{out}: for {to}")
