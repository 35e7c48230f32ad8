"""`shoegen convert-direction`: boundaries that others published, in and out."""

from __future__ import annotations

from pathlib import Path

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import parse_integers, refuse_overwriting, refuse_without_effect
from shoegen.cli._samples import CACHE_HELP, sample
from shoegen.errors import ConfigError


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .safetensors, or a .npy.")
@click.option("--attribute", help="What grows along a .npy boundary, such as heel.")
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="Its generator's file, or a run folder.",
)
@click.option("--layers", default="all", show_default=True, help="Layers that follow: all, or such as 0-3.")
@click.option("--samples", default=1000, show_default=True, help="Latents to draw and measure.")
@click.option("--psi", default=0.7, show_default=True, help="Truncation of the samples.")
@click.option("--cache", type=click.Path(path_type=Path), help=CACHE_HELP)
@click.option("--seed", default=0, show_default=True, help="Of the latents.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    out: Path,
    attribute: str | None,
    model: str,
    layers: str,
    samples: int,
    psi: float,
    cache: Path | None,
    seed: int,
    device: str,
) -> None:
    """Turn a published boundary (SOURCE.npy) into a direction with a unit, or a direction into such a boundary.

    \b
    shoegen convert-direction boundary.npy --attribute heel --model runs/shoes --out heel.safetensors
    shoegen convert-direction heel.safetensors --out heel.npy

    A boundary is a unit normal in W: (w_dim,), (1, w_dim), or (num_ws, w_dim). What it moves, and how far, is measured
    on the model's samples.
    """
    refuse_overwriting("--out", out, [source])
    kinds = (source.suffix.lower(), out.suffix.lower())
    if kinds == (".safetensors", ".npy"):
        options = ("attribute", "model", "layers", "samples", "psi", "cache", "seed", "device")
        refuse_without_effect(ctx, options, "a direction as the source")
        _export(source, out)
        return
    if kinds != (".npy", ".safetensors"):
        raise ConfigError(
            f"got {source} and --out {out}, expected a .npy and a .safetensors, or the other way around"
        )
    if attribute is None:
        raise ConfigError("--attribute: got none, expected what grows along the boundary, such as heel")
    indices = None if layers == "all" else parse_integers("--layers", layers)

    from functools import partial

    from shoegen.directions.boundaries import check_boundary, import_boundary, read_boundary
    from shoegen.directions.sampling import measure_ws
    from shoegen.editing import load
    from shoegen.measure import attribute_name, format_measure
    from shoegen.torch_utils.files import check_writable

    name = attribute_name(attribute)
    vector = read_boundary(source)
    check_writable(out)
    shoes = load(model, device)
    generator = shoes.generator
    check_boundary(vector, generator.config.w_dim, generator.num_ws, indices)
    direction = import_boundary(
        vector,
        sample(shoes, model, samples, psi=psi, seed=seed, cache=cache),
        partial(measure_ws, generator, shoes.segmenter),
        attribute=name,
        num_ws=generator.num_ws,
        generator_hash=shoes.hash,
        layers=indices,
        say=click.echo,
    )
    direction.save(out)
    click.echo(
        f"{out}: strength 1 is {format_measure(name, direction.sigma)}, reach {direction.reach[0]:+g} to "
        f"{direction.reach[1]:+g}"
    )


def _export(source: Path, out: Path) -> None:
    from shoegen.directions.boundaries import write_boundary
    from shoegen.directions.direction import Direction, layers_name

    direction = Direction.load(source)
    write_boundary(out, direction)
    click.echo(f"{out}: a unit normal; the direction moves layers {layers_name(direction.layers)} alone")
