"""`shoegen convert-annotations`: from any annotation format to any other, or to a data set for training."""

from __future__ import annotations

import click

from shoegen.cli._options import parse_numbers

FORMATS = ["coco", "via", "via1", "labelbox", "imaterialist", "index-png", "color-png", "alpha", "dataset"]


@click.command()
@click.argument("source", type=click.Path(), metavar="FILE|FOLDER|ZIP")
@click.option(
    "--to",
    required=True,
    type=click.Choice(FORMATS),
    help="dataset: pictures, part maps and labels.json, as train-segmenter reads them, and instances as COCO JSON.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="A .json (coco, via), .ndjson or .csv; for the others and with --split a new folder or a .zip.",
)
@click.option("--images", type=click.Path(), help="Folder or zip of the pictures.")
@click.option(
    "--from",
    "format",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="The source's format.",
)
@click.option("--labels", type=click.Path(), help="Labels file with the classes' names and colours.")
@click.option(
    "--classes",
    help="Which to keep, and their new names: shoe,boots=shoe. What is not listed becomes background.",
)
@click.option("--split", help="Shares of train, val and test, such as 0.7,0.2,0.1.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the split.")
@click.option(
    "--points",
    type=click.Choice(["auto", "plane", "pixels"]),
    default="auto",
    show_default=True,
    help="Polygons' points are points of the plane as in COCO, or pixels that belong to the shape.",
)
@click.option(
    "--order",
    type=click.Choice(["given", "score"]),
    default="given",
    show_default=True,
    help="Where instances overlap in a part map: the later is on top, or the one with the higher score.",
)
@click.option(
    "--instances",
    type=click.Choice(["components", "classes"]),
    default="components",
    show_default=True,
    help="What an instance of a part map is: each connected component, or all of a class.",
)
@click.option(
    "--min-area",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Smaller components are left out, in pixels.",
)
@click.option(
    "--simplify",
    type=click.FloatRange(0, 100),
    default=0.0,
    show_default=True,
    help="Pixels by which an outline may move where a mask becomes a polygon; 0 is exact.",
)
@click.option("--rle", is_flag=True, help="COCO: run-lengths for all, no polygons.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures of which something cannot be used.")
def command(
    source: str,
    to: str,
    out: str,
    images: str | None,
    format: str,
    labels: str | None,
    classes: str | None,
    split: str | None,
    seed: int,
    points: str,
    order: str,
    instances: str,
    min_area: int,
    simplify: float,
    rle: bool,
    skip_bad: bool,
) -> None:
    """Convert annotations: VIA, COCO, Labelbox, iMaterialist, index or colour PNGs, cut-outs, in both directions.

    Nothing is written if something cannot be used, unless with --skip-bad.

    \b
    shoegen convert-annotations via.json --images photos/ --to coco --out coco.json
    shoegen convert-annotations via.json --images photos/ --to dataset --out shoes.zip
    shoegen convert-annotations ccp.zip --to coco --out coco.json --classes shoes,boots=shoes --min-area 60
    shoegen convert-annotations coco.json --images photos.zip --to dataset --out sets --split 0.7,0.2,0.1
    """
    from shoegen.data.annotations.convert import convert, parse_classes
    from shoegen.data.annotations.writing import WriteOptions

    report = convert(
        source,
        out,
        to=to,
        images=images,
        format=format,
        labels=labels,
        points=points,
        classes=parse_classes(classes) if classes is not None else None,
        split=parse_numbers("--split", split) if split is not None else (),
        seed=seed,
        skip_bad=skip_bad,
        options=WriteOptions(order=order, instances=instances, min_area=min_area, simplify=simplify, rle=rle),
    )
    for note in report.notes:
        click.echo(f"note: {note}")
    if sum(report.instances.values()):
        click.echo(
            "instances: " + ", ".join(f"{name} {count}" for name, count in report.instances.items() if count)
        )
    counts = ", ".join(f"{name} {count}" for name, count in report.images.items())
    click.echo(f"{out}: {to}, {counts} images")
