"""`shoegen style-mix`: a table of shoes that take their styles from two others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoegen.cli._drawing import check_sheet, drawing_options
from shoegen.cli._options import parse_integers

if TYPE_CHECKING:
    from shoegen.stylegan.networks import NoiseMode


@click.command("style-mix")
@click.option("--rows", default="0-3", show_default=True, help="Seeds, one for each row.")
@click.option("--cols", default="10-15", show_default=True, help="Seeds, one for each column.")
@click.option(
    "--layers",
    default="coarse",
    show_default=True,
    help="What is taken from the column's shoe: coarse (layers 0-3), middle (4-7), fine (from 8), or such as 0-5.",
)
@click.option("--psi", default=0.7, show_default=True, help="1: as varied as trained; 0: the mean shoe.")
@click.option("--class", "class_index", type=click.IntRange(min=0), help="Of a conditional generator.")
@drawing_options
@click.option(
    "--out",
    type=click.Path(),
    default="mix.png",
    show_default=True,
    help="The sheet to write: .png, .jpg or .webp.",
)
def command(
    rows: str,
    cols: str,
    layers: str,
    psi: float,
    class_index: int | None,
    model: str,
    cutoff: int | None,
    noise: NoiseMode,
    batch: int,
    device: str,
    out: str,
) -> None:
    """Mix styles: each row's shoe, with some layers of each column's. The sources stand on the margins.

    \b
    shoegen style-mix --rows 0-3 --cols 10-15 --layers coarse --out shapes.png
    shoegen style-mix --rows 0-3 --cols 10-15 --layers fine --out colours.png
    """
    row_seeds, column_seeds = parse_integers("--rows", rows), parse_integers("--cols", cols)
    wanted = layers if layers in ("coarse", "middle", "fine") else parse_integers("--layers", layers)

    from shoegen.data.images import image_format, image_grid, write_image
    from shoegen.torch_utils.files import check_writable

    image_format(out)
    check_writable(out)

    import numpy as np

    from shoegen.editing import load
    from shoegen.stylegan.sampling import latents, render, style_layers, style_mix

    generator = load(model, device).generator
    taken = style_layers(generator, wanted)
    across = len(column_seeds) + 1
    check_sheet(out, generator, columns=across, rows=len(row_seeds) + 1)
    ws = latents(generator, row_seeds + column_seeds, classes=class_index, psi=psi, cutoff=cutoff)
    row_ws, column_ws = ws.split([len(row_seeds), len(column_seeds)])

    sources = list(render(generator, ws, noise=noise, batch=batch))
    tiles = [np.full_like(sources[0], 255), *sources[len(row_seeds) :]]
    for source, mixed in zip(sources, style_mix(row_ws, column_ws, taken), strict=False):
        tiles += [source, *render(generator, mixed, noise=noise, batch=batch)]
    write_image(out, image_grid(tiles, across))
    click.echo(
        f"{out}: {len(row_seeds)} x {len(column_seeds)} shoes, layers {_ranges(taken)} of the columns'"
    )


def _ranges(layers: list[int]) -> str:
    """[0, 1, 2, 5] → "0-2, 5"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
