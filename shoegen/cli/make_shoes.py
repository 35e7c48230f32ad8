"""`shoegen make-shoes`: a data set of synthetic shoes."""

from __future__ import annotations

import os

import click


@click.command()
@click.option("--count", default=20000, show_default=True, help="Number of shoes.")
@click.option("--resolution", default=128, show_default=True, help="Side of the square pictures, 32 to 1024.")
@click.option("--seed", default=0, show_default=True, help="The i-th shoe depends on the seed and i alone.")
@click.option("--workers", default=os.cpu_count() or 1, show_default="one per core", help="Processes.")
@click.option("--styles", help="Only shoes of these, such as pump,sandal.  [default: all]")
@click.option(
    "--backgrounds",
    type=click.Path(),
    help="A folder or zip of photographs: each shoe stands, or is worn, somewhere before a random crop of one.",
)
@click.option("--silhouettes", is_flag=True, help="Part maps of two classes, background and shoe.")
@click.option(
    "--worn",
    is_flag=True,
    help="Shoes on feet, with each shoe alone and with the same foot in another shoe: for networks that swap them.",
)
@click.option("--out", required=True, type=click.Path(), help="The zip to write.")
def command(
    count: int,
    resolution: int,
    seed: int,
    workers: int,
    styles: str | None,
    backgrounds: str | None,
    silhouettes: bool,
    worn: bool,
    out: str,
) -> None:
    """Draw shoes in side view with part maps and true measures, and write them as a data-set zip.

    \b
    shoegen make-shoes --count 20000 --resolution 128 --out shoes.zip
    shoegen make-shoes --count 6000 --resolution 256 --backgrounds photos/ --silhouettes --out scenes.zip
    shoegen make-shoes --count 4000 --resolution 128 --worn --out worn.zip

    The zip holds images/, masks/, labels.json and attributes.json (millimetres), which training reads. With --worn it
    holds photos/, articles/, masks/ (of the photos), truth/ (the photo with the article of another row) and pairs.csv.
    """
    from shoegen.data.synthetic import STYLES, make_dataset
    from shoegen.errors import ConfigError
    from shoegen.torch_utils.progress import LiveProgress

    if not str(out).endswith(".zip"):
        raise ConfigError(f"--out: got {out}, expected a name that ends in .zip")
    every = max(count // 50, 1)
    with LiveProgress("drawing", count, unit="shoes") as progress:

        def report(done: int) -> None:
            if done % every == 0:
                progress.update(done)

        make_dataset(
            out,
            count=count,
            resolution=resolution,
            seed=seed,
            workers=workers,
            styles=STYLES if styles is None else [style.strip() for style in styles.split(",")],
            backgrounds=backgrounds,
            silhouettes=silhouettes,
            worn=worn,
            progress=report,
        )
    click.echo(f"{out}: {count} {'worn ' * worn}shoes at {resolution}×{resolution}")
