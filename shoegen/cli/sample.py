"""`shoegen sample`: a sheet of shoes."""

from __future__ import annotations

import math

import click

from shoegen.cli._options import parse_integers


@click.command()
@click.option("--seeds", default="0-31", show_default=True, help="Such as 0-31 or 1,5,9-12.")
@click.option("--psi", default=0.7, show_default=True, help="1: as varied as trained; 0: the mean shoe.")
@click.option("--model", default="default", show_default=True, help="A generator's file, or a run folder.")
@click.option("--columns", type=click.IntRange(min=1), help="Pictures in a row; by default about a square.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--out", default="grid.png", show_default=True, type=click.Path(), help="The sheet to write.")
def command(seeds: str, psi: float, model: str, columns: int | None, device: str, out: str) -> None:
    """Draw shoes from seeds and write them on one sheet."""
    numbers = parse_integers("--seeds", seeds)

    from shoegen.data.images import image_format, image_grid, write_image
    from shoegen.torch_utils.files import check_writable

    image_format(out)
    check_writable(out)

    from shoegen.editing import load

    shoes = load(model, device)
    pictures = [shoes.sample(seed, psi).image for seed in numbers]
    write_image(out, image_grid(pictures, columns or math.ceil(math.sqrt(len(pictures)))))
    click.echo(f"{out}: {len(pictures)} shoes at psi {psi:g}")
