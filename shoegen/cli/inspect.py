"""`shoegen inspect`: what is in a data set, and what stands in the way of training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    from shoegen.data.inspect import Inspection

ROWS = 8  # of each table


@click.command()
@click.argument("source", type=click.Path(), metavar="FOLDER|ZIP")
@click.option(
    "--classes",
    default="auto",
    show_default=True,
    help="Labels for conditional training: auto (dataset.json), none, folders, or a JSON file.",
)
@click.option("--report", type=click.Path(), help="Every file that is not as it should be: a .json or .csv.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--out", type=click.Path(), help="A picture of 48 pictures taken by chance, such as sheet.png.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sheet's choice.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    classes: str,
    report: str | None,
    as_json: bool,
    out: str | None,
    seed: int,
) -> None:
    """Read all of a data set, change nothing, and say what is there and what to do about it.

    Exits with 1 if something cannot be read.

    \b
    shoegen inspect photos.zip
    shoegen inspect photos/ --report offenders.csv --out sheet.png
    """
    import json

    from shoegen.data.images import image_format, write_image
    from shoegen.data.inspect import contact_sheet, inspect
    from shoegen.data.report import check_report, write_report
    from shoegen.torch_utils.files import check_writable

    if report is not None:
        check_report(report)
    if out is not None:
        image_format(out)
        check_writable(out)
    with show_progress("inspecting", "pictures") as progress:
        found = inspect(source, classes=classes, progress=progress)
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
        listed = _some(found.part_map_classes, ", ")
        click.echo(f"part maps: {found.part_maps} in order, {len(found.part_map_classes)} classes ({listed})")
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
