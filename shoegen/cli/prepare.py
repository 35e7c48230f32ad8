"""`shoegen prepare`: pictures of any kind → a checked zip for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoegen.cli._options import parse_size
from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    from shoegen.data.prepare import PrepareReport


@click.command()
@click.argument("source", type=click.Path(), metavar="FOLDER|ZIP")
@click.option("--out", required=True, type=click.Path(), help="The zip to write.")
@click.option(
    "--resolution",
    help="Size of the pictures, 256 or WIDTHxHEIGHT such as 256x384. Default: the one that all have.",
)
@click.option(
    "--fit",
    type=click.Choice(["strict", "crop", "pad"]),
    default="strict",
    show_default=True,
    help="Pictures of another shape: refuse them, keep their centre, or add a margin.",
)
@click.option(
    "--filter",
    type=click.Choice(["auto", "lanczos", "box", "bicubic", "bilinear"]),
    default="auto",
    show_default=True,
    help="How pictures are resized; auto averages pixels in whole reductions, and is Lanczos otherwise.",
)
@click.option(
    "--channels",
    type=click.Choice(["1", "3", "4"]),
    default="3",
    show_default=True,
    help="1: greyscale, 3: RGB, transparent pictures on white, 4: RGBA.",
)
@click.option(
    "--classes",
    default="auto",
    show_default=True,
    help="Labels for conditional training: auto (dataset.json), none, folders, or a JSON file.",
)
@click.option("--format", type=click.Choice(["png", "jpeg", "webp"]), default="png", show_default=True)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be used.")
@click.option(
    "--duplicates",
    type=click.Choice(["keep", "drop", "fail"]),
    default="keep",
    show_default=True,
    help="Pictures with exactly the same pixels: keep all, drop all but the first, or refuse.",
)
@click.option("--subset", type=click.IntRange(1), help="Take only so many pictures, chosen by chance.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the subset.")
@click.option(
    "--report", type=click.Path(), help="Every picture that is bad or was converted: a .json or .csv."
)
def command(
    source: str,
    out: str,
    resolution: str | None,
    fit: str,
    filter: str,
    channels: str,
    classes: str,
    format: str,
    skip_bad: bool,
    duplicates: str,
    subset: int | None,
    seed: int,
    report: str | None,
) -> None:
    """Check, convert and fit pictures, and write them as a zip that training reads.

    Part maps (masks/ and labels.json) and attributes.json come along. Nothing is written if a picture is bad,
    unless with --skip-bad; the --report is written in any case.

    \b
    shoegen prepare photos/ --out shoes.zip --resolution 256 --fit pad
    shoegen prepare photos.zip --out shoes.zip --resolution 256x384 --fit crop --skip-bad --report bad.csv
    shoegen prepare by_kind/ --out shoes.zip --resolution 128 --fit pad --classes folders
    """
    from shoegen.data.prepare import PrepareConfig, prepare

    config = PrepareConfig(
        resolution=None if resolution is None else parse_size("--resolution", resolution),
        fit=fit,
        filter=filter,
        channels=int(channels),
        classes=classes,
        format=format,
        skip_bad=skip_bad,
        duplicates=duplicates,
        subset=subset,
        seed=seed,
    )
    with show_progress("preparing", "pictures") as progress:
        done = prepare(source, out, config, report=report, progress=progress)
    _print(done)
    height, width = done.size
    click.echo(f"{out}: {done.written} of {done.pictures} pictures at {width}x{height}")


def _print(done: PrepareReport) -> None:
    for problem, count in done.problems.items():
        click.echo(f"{problem}: {count}")
    left_out = done.with_action("left out")
    for each in left_out[:10]:
        click.echo(f"left out: {each.file}: {'; '.join(each.problems)}")
    if len(left_out) > 10:
        click.echo(f"left out: {len(left_out) - 10} more, see --report")
    if done.classes:
        counts = ", ".join(f"{name} {count}" for name, count in done.classes.items())
        click.echo(f"{len(done.classes)} classes: {counts}")
    if done.part_maps:
        click.echo(f"{done.part_maps} part maps")
    for note in done.notes:
        click.echo(f"note: {note}")
