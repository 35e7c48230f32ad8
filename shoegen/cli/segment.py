"""`shoegen segment`: part maps and measures of pictures."""

from __future__ import annotations

import math
from pathlib import Path

import click

from shoegen.cli._progress import show_progress


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER…")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the part maps, palette PNGs, and labels.json."
)
@click.option("--overlay", is_flag=True, help="Also write each picture tinted, over a legend.")
@click.option(
    "--model",
    default="default",
    show_default=True,
    help="A segmenter.safetensors, or a run folder; `default` ships with shoegen.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--measure", "show_measures", is_flag=True, help="Print a table of the measured attributes.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the measured attributes to a file."
)
def command(
    sources: tuple[Path, ...],
    out: Path | None,
    overlay: bool,
    model: str,
    device: str,
    skip_bad: bool,
    show_measures: bool,
    json_path: Path | None,
) -> None:
    """Segment pictures: into the parts of shoes, and measure them, or into what any trained model knows.

    \b
    shoegen segment photo.jpg --out parts/ --overlay --measure
    shoegen segment street/ --model runs/street --out parts/

    Shoes are measured with their toe to the left. Lengths are fractions of the shoe's length.
    """
    from shoegen.data.images import read_image, write_image, write_part_map
    from shoegen.data.labels import SHOE_PARTS, LabelMap
    from shoegen.errors import ConfigError
    from shoegen.measure import measure
    from shoegen.segmentation.overlay import Overlay
    from shoegen.segmentation.parts import PartSegmenter
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable, write_json

    if out is None and not show_measures and json_path is None:
        raise ConfigError("nothing to do: got no --out, --measure or --json; give at least one")
    if overlay and out is None:
        raise ConfigError("--overlay has nowhere to go; give a folder with --out")
    names = _name_outputs(_readable(_find_pictures(sources), skip_bad=skip_bad))
    if json_path is not None:
        check_writable(json_path)
    if out is not None:
        check_writable(out / "part_map.png")
        kinds = [".png", ".overlay.png"] if overlay else [".png"]
        outputs = {(out / f"{name}{kind}").resolve() for name in names.values() for kind in kinds}
        overwritten = [source for source in names if source.resolve() in outputs]
        if overwritten:
            raise ConfigError(
                f"--out {out} would overwrite the picture {overwritten[0]}; choose another folder"
            )
    segmenter = PartSegmenter.load(model, pick_device(device))
    measuring = show_measures or json_path is not None
    if measuring and set(SHOE_PARTS.names) - set(segmenter.labels.names):
        raise ConfigError(
            f"{model} does not know a shoe's parts, so nothing can be measured; leave --measure and --json"
        )

    if out is not None:
        labels = out / "labels.json"
        if labels.exists() and LabelMap.read(labels) != segmenter.labels:
            raise ConfigError(f"--out {out} has a labels.json of other classes; choose another folder")
        write_json(labels, segmenter.labels.to_json())
    measures: dict[str, dict[str, float]] = {}
    with show_progress("segmenting", "pictures") as report:
        for done, (source, name) in enumerate(names.items(), 1):
            image = read_image(source)
            part_map = segmenter.segment(image)
            if out is not None:
                write_part_map(out / f"{name}.png", part_map, segmenter.labels)
            if out is not None and overlay:
                shown = Overlay(image, part_map, segmenter.labels)
                write_image(out / f"{name}.overlay.png", shown.pixels)
            if measuring:
                measures[str(source)] = measure(part_map, segmenter.labels, image=image)
            report(done, len(names))
    if show_measures:
        for each, values in measures.items():
            _print_table(each, values)
    if json_path is not None:
        write_json(json_path, {k: {n: _or_none(v) for n, v in m.items()} for k, m in measures.items()})
    if out is not None:
        click.echo(f"{out}: {len(names)} part maps")


def _find_pictures(sources: tuple[Path, ...]) -> list[Path]:
    """The files, and the pictures anywhere below the folders."""
    from shoegen.data.images import IMAGE_SUFFIXES
    from shoegen.errors import DataError

    pictures: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = sorted(
                path
                for path in source.rglob("*")
                if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
            )
            if not found:
                raise DataError(f"{source} has no pictures; expected {' '.join(sorted(IMAGE_SUFFIXES))}")
            pictures += found
        elif source.is_file():
            pictures.append(source)
        else:
            raise DataError(f"nothing at {source}; give a picture or a folder of pictures")
    return pictures


def _readable(pictures: list[Path], *, skip_bad: bool) -> list[Path]:
    """The pictures that can be decoded; the others are named."""
    from shoegen.data.images import read_image
    from shoegen.errors import DataError

    bad: dict[Path, str] = {}
    for picture in pictures:
        try:
            read_image(picture)
        except DataError as error:
            bad[picture] = str(error)
    if bad:
        listed = "; ".join(list(bad.values())[:3]) + ("; …" if len(bad) > 3 else "")
        if not skip_bad or len(bad) == len(pictures):
            raise DataError(
                f"{len(bad)} of {len(pictures)} pictures cannot be read: {listed}; mend them, or leave them out "
                "with --skip-bad"
            )
        click.echo(f"note: {len(bad)} of {len(pictures)} pictures left out: {listed}", err=True)
    return [picture for picture in pictures if picture not in bad]


def _name_outputs(pictures: list[Path]) -> dict[Path, str]:
    """The stem of the part map's file for each picture: its own, numbered where two pictures share one."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for picture in dict.fromkeys(pictures):
        name, number = picture.stem, 2
        while name in taken:
            name, number = f"{picture.stem}-{number}", number + 1
        names[picture] = name
        taken |= {name, f"{name}.overlay"}
    return names


def _print_table(name: str, measures: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    from shoegen.measure import ATTRIBUTES

    table = Table("attribute", "value", "unit", title=name)
    for attribute, value in measures.items():
        table.add_row(attribute, "–" if math.isnan(value) else f"{value:.3f}", ATTRIBUTES[attribute].unit)
    Console().print(table)


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
