"""`shoegen inspect`: what is in a data set or annotation file, and what stands in the way of training on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._options import refuse_overwriting
from shoegen.cli._progress import show_progress
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.data.annotations import Lint
    from shoegen.data.inspect import Inspection

ROWS = 8  # of each table
FINDINGS = 100  # printed, and of those that say the same:
ALIKE = 5


@click.command()
@click.argument("source", type=click.Path(), metavar="FOLDER|ZIP|FILE")
@click.option(
    "--classes",
    default="auto",
    show_default=True,
    help="Labels for conditional training: auto (dataset.json), none, folders, or a JSON file.",
)
@click.option("--images", type=click.Path(), help="Of annotations: the folder or zip of their pictures.")
@click.option("--labels", type=click.Path(), help="Of annotations: the labels file, where it is elsewhere.")
@click.option(
    "--points",
    type=click.Choice(["auto", "plane", "pixels"]),
    default="auto",
    show_default=True,
    help="Of annotations: polygons' points are points of the plane as in COCO, or pixels that belong to the shape.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Path(),
    help="Another split of the same data; pictures that both have are errors. May be given several times.",
)
@click.option("--report", type=click.Path(), help="Every file that is not as it should be: a .json or .csv.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--out",
    type=click.Path(),
    help="A sheet of pictures taken by chance, with what is annotated, such as sheet.png.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sheet's choice.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    classes: str,
    images: str | None,
    labels: str | None,
    points: str,
    against: tuple[str, ...],
    report: str | None,
    as_json: bool,
    out: str | None,
    seed: int,
) -> None:
    """Read all of a data set, change nothing, and say what is there and what to do about it.

    Takes pictures, with part maps or without, and annotations: VIA, COCO, Labelbox and iMaterialist files, and
    with --images also folders or zips of masks or cut-outs. Exits with 1 if something cannot be used.

    \b
    shoegen inspect photos.zip
    shoegen inspect photos/ --report offenders.csv --out sheet.png
    shoegen inspect via.json --images photos/ --out overlays.png
    shoegen inspect train.json --images photos/ --against test.json
    """
    import json

    from shoegen.data.images import image_format, write_image
    from shoegen.data.inspect import contact_sheet, inspect
    from shoegen.data.report import check_report, write_report
    from shoegen.torch_utils.files import check_writable

    given = [each for each in (source, images, labels, *against) if each is not None]
    refuse_overwriting("--report", report, given)
    refuse_overwriting("--out", out, given)
    if report is not None:
        check_report(report)
    if out is not None:
        for folder in given:
            if Path(folder).is_dir() and Path(out).resolve().is_relative_to(Path(folder).resolve()):
                raise ConfigError(
                    f"--out: {out} would become one of the pictures in {folder}; write it elsewhere"
                )
        image_format(out)
        check_writable(out)
    if images or labels or _is_annotations(source):
        return _inspect_annotations(ctx)
    with show_progress("inspecting", "pictures") as progress:
        found = inspect(source, classes=classes, against=against, progress=progress)
    if report is not None:
        write_report(report, found.to_json(), found.offenders)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print(found)
    if out is not None and len(found.unreadable) < found.pictures:
        write_image(out, contact_sheet(source, seed=seed))
        click.echo(f"sheet: {out}", err=as_json)
    ctx.exit(0 if found.is_usable else 1)


def _is_annotations(source: str) -> bool:
    """Whether it is a file, and no zip."""
    from pathlib import Path

    from shoegen.errors import DataError

    try:
        if not Path(source).is_file():
            return False
        with open(source, "rb") as file:
            return file.read(2) != b"PK"
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}; check the path") from error


def _inspect_annotations(ctx: click.Context) -> None:
    import json

    from shoegen.data.annotations import lint, overlay_sheet
    from shoegen.data.annotations.findings import write_findings
    from shoegen.data.images import write_image

    given = ctx.params
    if ctx.get_parameter_source("classes") == click.core.ParameterSource.COMMANDLINE:
        raise ConfigError("--classes is for data sets of pictures; leave it out")
    with show_progress("inspecting", "images") as progress:
        found = lint(
            given["source"],
            images=given["images"],
            labels=given["labels"],
            points=given["points"],
            against=given["against"],
            progress=progress,
        )
    if given["report"] is not None:
        write_findings(given["report"], found.to_json(), found.findings)
    if given["as_json"]:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print_lint(found)
    if given["out"] is not None and found.annotations is not None and found.annotations.images:
        write_image(given["out"], overlay_sheet(found.annotations, seed=given["seed"]))
        click.echo(f"sheet: {given['out']}", err=given["as_json"])
    ctx.exit(1 if found.errors else 0)


def _print_lint(found: Lint) -> None:
    click.echo(f"{found.source}: {found.format}, {found.images} images")
    _print_counts("instances", found.instances)
    if found.part_maps:
        click.echo(f"part maps: {found.part_maps}")
        _print_shares(found.pixels)
    alike: Counter[str] = Counter()
    lines = []
    for finding in found.findings:
        alike[finding.what] += 1
        if alike[finding.what] <= ALIKE:
            lines.append(f"{finding.severity}: {finding}")
    lines += [f"{count - ALIKE} more, see --report: {what}" for what, count in alike.items() if count > ALIKE]
    for line in lines[:FINDINGS]:
        click.echo(line)
    if len(lines) > FINDINGS:
        click.echo(f"{len(lines) - FINDINGS} more lines, see --report")
    for note in found.notes:
        click.echo(f"note: {note}")
    click.echo(f"{found.errors} errors, {len(found.findings) - found.errors} warnings")


def _print_shares(shares: dict[str, float]) -> None:
    for name, share in sorted(shares.items(), key=lambda item: -item[1])[:ROWS]:
        click.echo(f"  {share:>7.2%}  {name}")
    if len(shares) > ROWS:
        click.echo(f"           and {len(shares) - ROWS} others")


def _print(found: Inspection) -> None:
    click.echo(f"{found.source}: {found.pictures} pictures")
    if found.smallest:
        click.echo(f"smallest {found.smallest}, largest {found.largest} (width x height)")
    if found.aspect_ratios:
        lowest, middle, highest = found.aspect_ratios
        click.echo(f"width / height: {lowest:.2f} to {highest:.2f}, median {middle:.2f}")
    _print_counts("sizes", found.sizes)
    _print_counts("stored as", found.modes)
    _print_counts("to be converted", found.conversions)
    _print_counts("classes", found.classes)
    if found.part_maps is not None:
        click.echo(f"part maps: {found.part_maps} in order, {len(found.part_map_classes)} classes")
        _print_shares(found.part_map_classes)
    for names in found.duplicates[:ROWS]:
        click.echo(f"same pixels: {_some(names, ' = ')}")
    if len(found.duplicates) > ROWS:
        click.echo(f"same pixels: {len(found.duplicates) - ROWS} more groups, see --report")
    bad = [each for each in found.offenders if each.action == "bad"]
    for each in bad[:ROWS]:
        click.echo(f"bad: {each.file}: {'; '.join(each.problems)}")
    if len(bad) > ROWS:
        click.echo(f"bad: {len(bad) - ROWS} more, see --report")
    for note in found.notes:
        click.echo(f"note: {note}")
    for advice in found.recommendations:
        click.echo(f"→ {advice}")


def _print_counts(title: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    click.echo(f"{title}:")
    for name, count in list(counts.items())[:ROWS]:
        click.echo(f"  {count:>7}  {name}")
    if len(counts) > ROWS:
        rest = list(counts.values())[ROWS:]
        click.echo(f"  {sum(rest):>7}  in {len(rest)} others")


def _some(items: list[str], separator: str) -> str:
    return separator.join(items[:ROWS]) + (f"{separator}…" if len(items) > ROWS else "")
