"""`shoegen discover-directions`: axes of W that nobody labelled."""

from __future__ import annotations

from pathlib import Path

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import parse_integers, parse_numbers
from shoegen.cli._samples import CACHE_HELP, sample


@click.command()
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option(
    "--method",
    type=click.Choice(["sefa", "pca"]),
    default="sefa",
    show_default=True,
    help="sefa: what the weights amplify most; pca: along which W spreads most.",
)
@click.option("--count", default=8, show_default=True, help="How many axes.")
@click.option("--layers", default="all", show_default=True, help="Layers that follow: all, or such as 0-3.")
@click.option("--samples", default=1000, show_default=True, help="Latents to draw and measure first.")
@click.option("--psi", default=0.7, show_default=True, help="Truncation of the samples.")
@click.option("--strengths", default="-3,-1.5,0,1.5,3", show_default=True, help="Columns of the sheet.")
@click.option("--seeds", default="1-3", show_default=True, help="Shoes of the sheet, for each axis.")
@click.option("--cache", type=click.Path(path_type=Path), help=CACHE_HELP)
@click.option("--seed", default=0, show_default=True, help="Of the latents.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for directions and sheet."
)
def command(
    model: str,
    method: str,
    count: int,
    layers: str,
    samples: int,
    psi: float,
    strengths: str,
    seeds: str,
    cache: Path | None,
    seed: int,
    device: str,
    out: Path,
) -> None:
    """Find axes without labels, name each by what it moves most, and draw them.

    \b
    shoegen discover-directions --method sefa --count 8 --out axes/
    shoegen edit --direction axes/sefa1_upper_l.safetensors --strength 2

    Writes a direction for each axis, leaks.csv, and sheet.png: a row for each axis and shoe, a column for each
    strength.
    """
    columns = parse_numbers("--strengths", strengths)
    shown = parse_integers("--seeds", seeds)
    indices = None if layers == "all" else parse_integers("--layers", layers)

    from functools import partial

    from shoegen.cli._progress import show_progress
    from shoegen.data.images import write_image
    from shoegen.directions.discovery import axes_sheet, discover_directions, find_axes
    from shoegen.directions.matrix import write_matrix
    from shoegen.directions.sampling import measure_ws
    from shoegen.editing import load
    from shoegen.stylegan.sampling import latents
    from shoegen.torch_utils.files import atomic_folder, check_writable

    shoes = load(model, device)
    chosen = range(shoes.generator.num_ws) if indices is None else indices
    find_axes(
        shoes.generator, method, count, chosen, psi=psi, seed=seed, drawn=2
    )  # refuses before the work starts
    check_writable(out / "sheet.png")
    drawn = sample(shoes, model, samples, psi=psi, seed=seed, cache=cache)
    with show_progress("measuring axes", "axes") as report:
        directions = discover_directions(
            shoes.generator,
            drawn,
            partial(measure_ws, shoes.generator, shoes.segmenter),
            method=method,  # type: ignore[arg-type]
            count=count,
            layers=indices,
            generator_hash=shoes.hash,
            say=click.echo,
            progress=lambda done: report(done, count),
        )
    ws = latents(shoes.generator, shown, psi=psi)
    with atomic_folder(out) as folder:
        for direction in directions:
            direction.save(folder / f"{direction.name}.safetensors")
        write_matrix(folder / "leaks.csv", directions)
        write_image(folder / "sheet.png", axes_sheet(shoes.generator, directions, ws, columns))
    click.echo(f"{out}: {len(directions)} directions, leaks.csv and sheet.png")
